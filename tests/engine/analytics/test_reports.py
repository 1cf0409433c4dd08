"""Days of a zone as slots of UTC, waits as percentiles, and what a stage is."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.analytics import counting, folding, ranges, reports
from engine.analytics.ranges import Range
from storage import accounts, analytics, conversations
from storage.conversations import Conversation, Message
from storage.errors import Blocked
from storage.leads import Lead

MARCH_8 = date(2026, 3, 8)  # 23 hours long in New York
NOVEMBER_1 = date(2026, 11, 1)  # 25 hours long in New York


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [("America/New_York", MARCH_8, 23), ("America/New_York", NOVEMBER_1, 25), ("Asia/Kathmandu", MARCH_8, 24)],
    ids=["an hour lost", "an hour won", "45 minutes off"],
)
def test_day_is_as_long_as_it_is_in_its_zone(zone, day, hours):
    over = Range(day, day, ZoneInfo(zone))

    assert over.quarters.end - over.quarters.first == 4 * hours


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/New_York", "Pacific/Kiritimati"])
@pytest.mark.parametrize("days", [1, 2, 30, 366])
def test_pieces_of_a_range_are_all_of_it_and_each_part_once(zone, days):
    over = Range(date(2026, 2, 1), date(2026, 2, 1) + timedelta(days=days - 1), ZoneInfo(zone))

    whole = range(over.quarters.first, over.quarters.end)
    covered, read = Counter[int](), 0
    for grain, first, end, sign in over.pieces:
        width = counting.QUARTERS_OF_DAY if grain == "day" else 1
        for quarter in range(first * width, end * width):
            covered[quarter] += sign
        read += end - first

    assert {quarter: times for quarter, times in covered.items() if times} == dict.fromkeys(whole, 1)
    assert read <= days + counting.QUARTERS_OF_DAY


@pytest.mark.parametrize(
    ("from_", "to"),
    [("2026-03-02", None), (None, "2026-03-02"), ("2026-03-02", "2026-03-01"), ("2020-01-01", "2026-01-01")],
    ids=["no end", "no start", "backwards", "too long"],
)
def test_range_that_is_none_is_refused(from_, to):
    with pytest.raises(Blocked):
        ranges.chosen("30d", from_, to, ZoneInfo("UTC"), datetime(2026, 3, 1, tzinfo=UTC))


def test_latest_days_end_with_the_zones_own_today():
    over = ranges.chosen("7d", None, None, ZoneInfo("Asia/Kolkata"), datetime(2026, 3, 1, 20, tzinfo=UTC))

    assert (over.first, over.last) == (date(2026, 2, 24), date(2026, 3, 2))


def test_week_begins_on_monday_and_the_first_where_the_range_does():
    over = Range(date(2026, 3, 4), date(2026, 3, 17), ZoneInfo("UTC"))

    assert over.starts("week") == [date(2026, 3, 4), date(2026, 3, 9), date(2026, 3, 16)]


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_percentile_is_off_by_a_twentieth_at_most(share):
    waits = [1000 + 37 * number for number in range(1000)]
    buckets = {}
    for wait in waits:
        buckets[counting.bucket(wait)] = buckets.get(counting.bucket(wait), 0) + 1

    exact_s = waits[int(share * len(waits)) - 1] / 1000

    assert counting.percentile_s(buckets, share) == pytest.approx(exact_s, rel=0.05)


def said(role, second):
    stamp = f"2026-03-01T10:00:{second:02}.000Z"
    return Message(role=role, created_at=stamp, agent_config_id="1a" * 12 if role == "agent" else None)


def test_answer_is_to_the_first_message_that_had_none_and_notes_are_none():
    roles = [("agent", 0), ("lead", 5), ("lead", 7), ("system", 8), ("agent", 9), ("agent", 10), ("human", 11)]
    talk = Conversation(
        created_at="2026-03-01T10:00:00.000Z", channel="sms", agent_config_id="1a" * 12, status="active"
    )

    facts = counting.conversation_facts(talk, [said(*each) for each in [*roles, ("lead", 20)]])

    assert [(who, wait_ms) for _, who, _, wait_ms in facts[-1]] == [("lead", 5000), ("agent", 4000), ("lead", 11000)]


def created(tenant, lead, stamp):
    Lead.change(tenant, {Lead.created_at: stamp}).where(Lead.number == lead.number).execute()


def test_other_zone_of_the_account_moves_what_was_counted_before_to_other_days(tenant, make_lead):
    created(tenant, make_lead(), "2026-03-08T20:15:00.000Z")  # the 9th in India from 18:30 on
    account = accounts.get(tenant.account_id)

    def days():
        over = reports.days(tenant, "30d", "2026-03-08", "2026-03-09", None)
        return [amount for _, amount in reports.timeseries(tenant, over, "newLeads", "day")]

    in_utc = days()
    accounts.save(account, timezone="Asia/Kolkata")

    assert (in_utc, days()) == ([1, 0], [0, 1])


def test_every_report_tells_of_a_conversation(tenant, make_lead):
    lead = make_lead(tags=["vip", "new"])
    make_lead()
    agent = "1a" * 12
    talk = conversations.add(tenant, lead, "sms", agent, None)
    for role in ("agent", "lead", "agent"):
        conversations.append(tenant, talk, role, "Hello")
    talk.store(qualification_result={"qualified": True, "reason": "x"}, status="completed", campaign_id="3a" * 12)

    over = reports.days(tenant, "7d", None, None, None)

    overview = reports.overview(tenant, over)
    assert (overview["totalLeads"], overview["newLeads"], overview["totalConversations"]) == (2, 2, 1)
    assert (overview["qualificationRate"], overview["avgMessagesPerConversation"]) == (100.0, 3.0)
    assert overview["channelBreakdown"] == {"whatsapp": 0, "telegram": 0, "email": 0, "sms": 1}
    stages, by_tag = reports.funnel(tenant, over, "tag")
    assert stages == {"new": 2, "contacted": 1, "replied": 1, "qualified": 1}
    assert [group["value"] for group in by_tag] == ["new", "vip"]
    for by, value in (("agent", agent), ("channel", "sms"), ("campaign", "3a" * 12), ("source", "api")):
        assert reports.funnel(tenant, over, by)[1][0]["value"] == value
    assert reports.by_agent(tenant, over)[0]["conversations"] == 1
    assert reports.by_campaign(tenant, over)[0]["qualified"] == 1
    assert {who: waits["count"] for who, waits in reports.response_times(tenant, over).items()} == {
        "agent": 1,
        "human": 0,
        "lead": 1,
    }


def test_totals_agree_whichever_pieces_they_come_from(tenant, make_lead):
    for hour in range(0, 96, 5):
        created(tenant, make_lead(), f"2026-03-{7 + hour // 24:02}T{hour % 24:02}:10:00.000Z")
    while folding.fold(tenant):
        continue
    over = Range(MARCH_8, date(2026, 3, 10), ZoneInfo("America/New_York"))

    by_pieces = analytics.sums(tenant, ["leads"], over.pieces)["leads", "", "new"]
    first, last = (f"2026-03-{day:02}T{hour:02}:00" for day, hour in ((8, 5), (11, 4)))

    assert by_pieces == Lead.of(tenant).where(Lead.created_at >= first, Lead.created_at < last).count()
    assert by_pieces == sum(amount for _, amount in reports.timeseries(tenant, over, "newLeads", "week"))
