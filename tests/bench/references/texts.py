"""The derived texts of a lead, the same as newleaf stores: what a name is sorted by, what a search looks through."""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime

import phonenumbers


class BadPhone(Exception):
    """A text that holds no phone number."""


def e164(text: str, region: str | None) -> tuple[str, bool]:
    """The phone in E.164 and whether it is a number that can exist. Raises BadPhone."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        raise BadPhone(f"There is no phone number in '{text}'.") from None
    return (
        phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164),
        phonenumbers.is_valid_number(number),
    )


def key(text: str) -> str:
    """The text without case, compatible forms united, white space one space."""
    if text.isascii():
        return " ".join(text.casefold().split())
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


def searched(values: Iterable[str]) -> str:
    """All that can be searched of a lead, a line for each value."""
    return "".join(f"\n{each}" for each in map(key, values) if each) + "\n"


def stamp() -> str:
    """The present, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def object_id() -> str:
    """24 hex digits that sort by time."""
    return f"{int(time.time()):08x}{os.urandom(8).hex()}"
