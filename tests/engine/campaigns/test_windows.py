"""When a window opens, by clocks that jump and in several places at once."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from engine.campaigns.windows import open_at

LISBON, TOKYO, NEW_YORK = ZoneInfo("Europe/Lisbon"), ZoneInfo("Asia/Tokyo"), ZoneInfo("America/New_York")
OFFICE = [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "17:00"}]


def utc(day, hour, minute=0):
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("windows", "zones", "now", "opens"),
    [
        ([], [LISBON], utc(9, 3), utc(9, 3)),
        (OFFICE, [LISBON], utc(9, 12), utc(9, 12)),
        (OFFICE, [LISBON], utc(9, 17), utc(10, 9)),
        (OFFICE, [LISBON], utc(13, 17), utc(16, 9)),  # Friday evening: Monday morning
        (OFFICE, [NEW_YORK], utc(6, 14), utc(6, 14)),
        (OFFICE, [NEW_YORK], utc(9, 12, 59), utc(9, 13)),  # the clock went forward on the eighth
        (OFFICE, [NEW_YORK, LISBON], utc(9, 9), utc(9, 13)),
        (OFFICE, [TOKYO, NEW_YORK], utc(9, 9), None),
        ([{"from": "22:00", "to": "02:00"}], [LISBON], utc(9, 1), utc(9, 1)),
        ([{"from": "22:00", "to": "02:00"}], [LISBON], utc(9, 2), utc(9, 22)),
        ([{"days": ["sun"], "from": "10:00", "to": "11:00"}], [LISBON], utc(9, 1), utc(15, 10)),
    ],
)
def test_window_opens(windows, zones, now, opens):
    assert open_at(windows, zones, now) == opens
