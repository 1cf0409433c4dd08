"""Addresses of email, Message-IDs, and where a conversation stands in both."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from email.errors import MessageError
from email.header import decode_header, make_header
from email.utils import parseaddr
from typing import Any

from engine.channels.payloads import line

_LONGEST = 254  # characters of an address
_ADDRESS = re.compile(r"[^\s@<>,;\"]{1,64}@[^\s@<>,;\"]{1,253}")
_MESSAGE_ID = re.compile(r"<[^<>\s]{3,900}>")
_REPLY_TO = re.compile(r"[^@+]+\+c?([0-9a-f]{24})@")
_ROOT = re.compile(r"<conversation\.([0-9a-f]{24})@[^<>\s]+>")


def mailbox(value: Any) -> tuple[str, str]:
    """Name and address (lower case) of `Name <address>`; "" for what is not there or no address."""
    name, address = parseaddr(line(value, 1000))
    address = address.lower()
    if len(address) > _LONGEST or not _ADDRESS.fullmatch(address):
        address = ""
    if "=?" in name:
        with contextlib.suppress(LookupError, MessageError, ValueError):  # a charset or encoding of its own
            name = line(str(make_header(decode_header(name))))
    return name[:200], address


def domain(address: str) -> str:
    """What stands behind the @."""
    return address.rpartition("@")[2]


def reply_address(conversation_id: str, inbound_domain: str) -> str:
    """Where a reply to this conversation goes."""
    return f"reply+{conversation_id}@{inbound_domain}"


def thread_root(conversation_id: str, inbound_domain: str) -> str:
    """A Message-ID that no email has: every email of the conversation refers to it, and so do the replies."""
    return f"<conversation.{conversation_id}@{inbound_domain}>"


def conversation_of_address(address: str) -> str:
    """The conversation that a reply address names, else ""."""
    match = _REPLY_TO.match(address)
    return match[1] if match else ""


def conversation_of_references(references: Iterable[str]) -> str:
    """The conversation whose root is among these Message-IDs, else ""."""
    matches = (_ROOT.fullmatch(reference) for reference in references)
    return next((match[1] for match in matches if match), "")


def message_ids(value: str) -> list[str]:
    """The Message-IDs in a header's value, brackets included."""
    return _MESSAGE_ID.findall(value)
