"""What an inbound email says: its body from Resend, in the person's own words, unless a machine wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from engine.channels import Credentials, Deferred, Endpoints, Ignored, OutcomeUnknown, Said
from engine.channels.email.api import call
from engine.channels.email.html import html_to_text
from engine.channels.email.mailboxes import conversation_of_references, domain, mailbox, message_ids
from engine.channels.email.replies import own_words
from engine.channels.members import items, mapping
from engine.channels.payloads import line, text
from engine.channels.wording import labelled

_MAX_BYTES = 10_000_000
_ROBOTS = ("mailer-daemon@", "postmaster@")
_MARKS = ("x-autoreply", "x-autorespond", "x-auto-reply", "x-autoresponder")
# Not "list": a shared mailbox that forwards to us marks people's emails so.
_MACHINE_PRECEDENCE = ("bulk", "junk", "auto_reply")


def fetch(credentials: Credentials, endpoints: Endpoints, said: Said) -> Said | Ignored:
    """The message with its text, or why it is none of a lead's. Raises SendError; asking again is safe."""
    email_id = (said.fetch or {}).get("email_id")
    if not email_id:
        return said
    sender, home = said.sender.email, mailbox(credentials.settings.get("fromAddress"))[1]
    inbound = line(credentials.settings.get("inboundDomain"), 253).lower()
    if sender == home or (inbound and domain(sender) == inbound):
        return Ignored("own_address")  # else two of our mailboxes could talk to each other for ever
    path = f"/emails/receiving/{quote(email_id, safe='')}"
    try:
        email = call(credentials, endpoints, "GET", path, max_bytes=_MAX_BYTES)
    except OutcomeUnknown as error:
        raise Deferred(error.code, error.detail) from None  # a question may be asked twice
    return taken_in(email, said)


def taken_in(email: Mapping[str, Any], said: Said) -> Said | Ignored:
    """What GET /emails/receiving/{id} answered, as a message of the person."""
    headers = _headers(email.get("headers"))
    if _is_by_a_machine(headers, said.sender.email):
        return Ignored("autoreply")
    references = message_ids(headers.get("references", ""))
    answered = message_ids(headers.get("in-reply-to", "")) or references[-1:]
    subject = said.subject or line(email.get("subject"), 500)
    return replace(
        said,
        text=_words(email, subject, is_reply=bool(answered)),
        provider_id=next(iter(message_ids(line(email.get("message_id"), 1000))), said.provider_id),
        subject=subject,
        reply_to=answered[0] if answered else None,
        conversation_id=said.conversation_id or conversation_of_references([*references, *answered]),
        fetch=None,
    )


def _words(email: Mapping[str, Any], subject: str, *, is_reply: bool) -> str:
    """The person's words and the names of what they attached; the subject where it is all there is."""
    body = text(email.get("text"))
    if not body.strip():
        body = html_to_text(text(email.get("html"), _MAX_BYTES))
    words = own_words(body)
    attached = [_attachment(entry) for entry in items(email, "attachments") if not (words and _is_inline(entry))]
    if not words and not is_reply:
        words = subject
    return "\n".join(filter(None, [words, *attached]))


def _is_inline(attachment: Mapping[str, Any]) -> bool:
    """The logos of signatures; a picture in an email without words is what the person wanted to say."""
    return attachment.get("content_disposition") == "inline"


def _attachment(attachment: Mapping[str, Any]) -> str:
    return labelled("attachment", line(attachment.get("filename")) or line(attachment.get("content_type")))


def _headers(value: Any) -> dict[str, str]:
    """Values by lower-case name; of a header that stands there several times they are joined."""
    if isinstance(value, list):
        pairs = [(entry.get("name"), entry.get("value")) for entry in items(value)]
    else:
        pairs = list(mapping(value).items())
    headers: dict[str, str] = {}
    for name, content in pairs:
        values = content if isinstance(content, list) else [content]
        joined = " ".join(filter(None, (line(one, 10_000) for one in values)))
        key = line(name).lower()
        headers[key] = " ".join(filter(None, (headers.get(key), joined)))
    return headers


def _is_by_a_machine(headers: Mapping[str, str], sender: str) -> bool:
    """Out of office, bounces, mass email: an answer to it would be answered by a machine again."""
    submitted = headers.get("auto-submitted", "no").split(";")[0].strip().lower()
    precedence = headers.get("precedence", "").strip().lower()
    return (
        submitted not in ("", "no")
        or precedence in _MACHINE_PRECEDENCE
        or any(headers.get(mark) for mark in _MARKS)
        or headers.get("return-path", "").strip() == "<>"
        or headers.get("content-type", "").lower().startswith("multipart/report")
        or sender.startswith(_ROBOTS)
    )
