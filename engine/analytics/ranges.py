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
        """All of it in few slots: the days of UTC that lie in it, and quarters of an hour at both ends."""
        _, first, end = self.quarters
        first_day, end_day = -(-first // QUARTERS_OF_DAY), end // QUARTERS_OF_DAY
        if end_day <= first_day:
            return [self.quarters]
        ends = [(first, first_day * QUARTERS_OF_DAY), (end_day * QUARTERS_OF_DAY, end)]
        return [Piece("day", first_day, end_day), *(Piece("quarter", *each) for each in ends if each[0] < each[1])]

    def starts(self, interval: str) -> list[date]:
        """The first days of its intervals. A week begins on Monday, the first one where the range does."""
        days = [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]
        return [day for day in days if interval == "day" or day == self.first or day.weekday() == 0]


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
