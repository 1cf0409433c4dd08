"""Quiet hours by the clock on the lead's own wall, which may jump twice a year and may not be known at all."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import phonenumbers

_FORESEEN = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `start` to before `end` on the wall clock, over midnight if `end` is the earlier, never if both are equal.

    replies_allowed: whether somebody who has just written is answered all the same.
    """

    start: time = time(21)
    end: time = time(8)
    replies_allowed: bool = True

    def includes(self, moment: datetime, zone: ZoneInfo) -> bool:
        """Whether it is quiet at this moment in this zone."""
        wall = moment.astimezone(zone).time()
        if self.start <= self.end:
            return self.start <= wall < self.end
        return wall >= self.start or wall < self.end


def zones_of(timezone: str | None, phone: str) -> tuple[ZoneInfo, ...]:
    """Where a person may be: in the zone they are known to live in, else in those their number is given out in.

    phone: in E.164, or "". Empty where nobody knows.
    """
    known = _zone(timezone) if timezone else None
    if known is not None:
        return (known,)
    return tuple(zone for name in _zones_of_phone(phone) if (zone := _zone(name)) is not None)


@functools.lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # no such zone, or not even a name of one
        return None


def _zones_of_phone(phone: str) -> Iterable[str]:
    if not phone:
        return ()
    from phonenumbers import timezone  # 4 MB of prefixes, for those who send

    try:
        number = phonenumbers.parse(phone)
    except phonenumbers.NumberParseException:
        return ()
    return [str(name) for name in timezone.time_zones_for_number(number) if name != timezone.UNKNOWN_TIMEZONE]


def loud_at(hours: QuietHours, zones: tuple[ZoneInfo, ...], now: datetime) -> datetime | None:
    """The first moment from `now` on at which it is quiet in none of these zones.

    None where there is none within two days: zones too far apart are as good as unknown.
    """
    moment = now
    while moment <= now + _FORESEEN:
        ends = [_end(hours, zone, moment) for zone in zones if hours.includes(moment, zone)]
        if not ends:
            return moment
        moment = max(ends)
    return None


def _end(hours: QuietHours, zone: ZoneInfo, moment: datetime) -> datetime:
    """When the quiet that there is at `moment` is over: the clock shows `end`, or has jumped past it."""
    today = moment.astimezone(zone).date()
    shown = [
        datetime.combine(today + timedelta(days=days), hours.end, zone).replace(fold=fold).astimezone(UTC)
        for days in range(3)
        for fold in (0, 1)
    ]
    return min(end for end in shown if end > moment and not hours.includes(end, zone))
