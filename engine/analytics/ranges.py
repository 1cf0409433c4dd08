"""From when to when a report looks: whole days of a time zone, as slots that sums are kept for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from storage.analytics import Piece
from storage.errors import Blocked, Problem

from .counting import QUARTER_S, QUARTERS_OF_DAY

LONGEST_DAYS = 731
DAYS = {"7d": 7, "30d": 30, "90d": 90}


@dataclass(frozen=True)
class Range:
    """Days of a time zone, the first and the last included."""

    first: date
    last: date
    zone: ZoneInfo

    def slot_of(self, day: date) -> int:
        """The quarter of an hour in which this day begins, whichever offset the zone has on it."""
        return int(datetime.combine(day, time(), self.zone).timestamp()) // QUARTER_S

    @property
    def quarters(self) -> Piece:
        """All of it in quarters of an hour."""
        return Piece("quarter", self.slot_of(self.first), self.slot_of(self.last + timedelta(days=1)))

    @property
    def pieces(self) -> list[Piece]:
        """All of it in few slots: days of UTC, and the quarters of an hour by which those are too few or too many."""
        _, first, end, _ = self.quarters
        first_day, end_day = round(first / QUARTERS_OF_DAY), round(end / QUARTERS_OF_DAY)
        days = Piece("day", first_day, end_day)
        edges = [*_between(first, first_day * QUARTERS_OF_DAY), *_between(end_day * QUARTERS_OF_DAY, end)]
        return [days, *edges] if first_day < end_day else edges

    def starts(self, interval: str) -> list[date]:
        """The first days of its intervals. A week begins on Monday, the first one where the range does."""
        days = [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]
        return [day for day in days if interval == "day" or day == self.first or day.weekday() == 0]


def _between(first: int, end: int) -> list[Piece]:
    """The quarters of an hour from `first` to `end`; to be taken away where the end comes first."""
    if first == end:
        return []
    return [Piece("quarter", first, end) if first < end else Piece("quarter", end, first, -1)]


def chosen(range_: str, from_: str | None, to: str | None, zone: ZoneInfo, now: datetime) -> Range:
    """The days from `from_` to `to`, or the latest ones up to today. Raises Blocked where the two make no range."""
    if from_ is None and to is None:
        today = now.astimezone(zone).date()
        return Range(today - timedelta(days=DAYS[range_] - 1), today, zone)
    if from_ is None or to is None:
        raise _refused("from" if from_ is None else "to", "from and to go together")
    first, last = date.fromisoformat(from_), date.fromisoformat(to)
    if first > last:
        raise _refused("from", "from must not be after to")
    if (last - first).days >= LONGEST_DAYS:
        raise _refused("from", f"from and to may be {LONGEST_DAYS} days at most")
    return Range(first, last, zone)


def _refused(parameter: str, message: str) -> Blocked:
    return Blocked("invalid_range", message, problems=[Problem(parameter, message)])
