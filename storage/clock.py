"""Time: always UTC, stored and answered as RFC 3339 text with milliseconds, which sorts as it reads."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """`2026-11-24T07:00:00.123Z`: 24 characters, so that text order is order in time."""
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return in_utc.isoformat(timespec="milliseconds")[:23] + "Z"


def stamp() -> str:
    """The present as text."""
    return iso(now())


def parse(text: str) -> datetime:
    """The moment that an RFC 3339 date-time or a bare date (its start in UTC) names. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
