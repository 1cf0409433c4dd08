"""When a campaign may write to somebody, by the clock on that person's own wall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FORESEEN = timedelta(days=9)  # a week, and what a change of the clock may add
_MOST_JUMPS = 40


def open_at(windows: Sequence[Mapping[str, Any]], zones: Sequence[ZoneInfo], now: datetime) -> datetime | None:
    """The first moment from `now` on that lies in some window in each of these zones.

    Always `now` where there are no windows; None where no such moment is near: the zones are too far apart.
    """
    moment = now
    for _ in range(_MOST_JUMPS):
        later = max((_open_in(windows, zone, moment) for zone in zones), default=moment) if windows else moment
        if later == moment:
            return moment
        moment = later
        if moment > now + _FORESEEN:
            break
    return None


def _open_in(windows: Sequence[Mapping[str, Any]], zone: ZoneInfo, now: datetime) -> datetime:
    """The first moment from `now` on that lies in a window in this zone."""
    today = now.astimezone(zone).date()
    openings = []
    for ahead in range(-1, 9):
        for start, end in _spans(windows, today + timedelta(days=ahead), zone):
            if end > now:
                openings.append(max(start, now))
    return min(openings, default=now + 2 * _FORESEEN)


def _spans(windows: Sequence[Mapping[str, Any]], day: date, zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """The windows that open on this day; one whose end is not after its start closes on the next day."""
    spans = []
    for window in windows:
        if DAYS[day.weekday()] not in window.get("days", DAYS):
            continue
        opens, closes = time.fromisoformat(window["from"]), time.fromisoformat(window["to"])
        last = day if closes > opens else day + timedelta(days=1)
        start = datetime.combine(day, opens, zone).astimezone(UTC)
        end = datetime.combine(last, closes, zone).astimezone(UTC)
        if end > start:
            spans.append((start, end))
    return spans


def day_of(zone: ZoneInfo, now: datetime) -> tuple[str, datetime]:
    """The date in this zone, and when the next one begins."""
    today = now.astimezone(zone).date()
    tomorrow = datetime.combine(today + timedelta(days=1), time(), zone).astimezone(UTC)
    return today.isoformat(), tomorrow
