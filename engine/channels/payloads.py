"""Values out of a provider's JSON, whatever it really holds: what is not of the kind that is asked for is not there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

_LARGEST = 2**63 - 1  # beyond it no provider counts, and Python refuses to print thousands of digits


def text(value: Any, longest: int = 100_000) -> str:
    """The string without what no database stores (NUL, lone surrogates), cut after `longest` characters; else ""."""
    if not isinstance(value, str):
        return ""
    return value[:longest].encode("utf-8", "replace").decode().replace("\x00", "")


def line(value: Any, longest: int = 200) -> str:
    """The string on one line: white space and control characters as single spaces."""
    printable = "".join(char if char.isprintable() else " " for char in text(value, longest))
    return " ".join(printable.split())


def whole(value: Any) -> int | None:
    """The integer; a boolean is none, nor is what does not fit into 64 bits."""
    return value if type(value) is int and -_LARGEST <= value <= _LARGEST else None


def moment(value: Any) -> datetime | None:
    """The time of a number of seconds since 1970; 0 is how a provider says that it does not know."""
    seconds = whole(value)
    if not seconds or not 0 < seconds < 253_402_300_800:  # the year 10000
        return None
    return datetime.fromtimestamp(seconds, UTC)


def instant(value: Any) -> datetime | None:
    """The time of an ISO 8601 string in UTC; one without an offset is taken as UTC."""
    try:
        parsed = datetime.fromisoformat(text(value, 64))
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
