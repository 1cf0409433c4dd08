"""The reports, each from a few sums."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from engine import account_settings
from storage import accounts, agents, analytics, clock
from storage.analytics import EVER
from storage.errors import Blocked, Problem
from storage.tenancy import Tenant

from . import folding, ranges
from .counting import STAGES, percentile_s
from .ranges import Range

CHANNELS = ("whatsapp", "telegram", "email", "sms")
MOST_GROUPS = 1000
_SERIES = {
    "newLeads": ("leads", "new"),
    "qualifiedLeads": ("leads", "qualified"),
    "conversations": ("by_channel", "opened"),
    "qualifiedConversations": ("by_channel", "qualified"),
    "messages": ("by_channel", "messages"),
}
_DIGITS = 2
Json = dict[str, Any]


def days(tenant: Tenant, range_: str, from_: str | None, to: str | None, timezone: str | None) -> Range:
    """The days that a report is about, in the zone that is named or else in the account's. Raises Blocked.

    What changed until now is counted first. Raises TooSlow where a read must be quick.
    """
    folding.catch_up(tenant)
    if timezone is not None and timezone not in account_settings.zones():
        message = "There is no such time zone"
        raise Blocked("unknown_timezone", message, problems=[Problem("timezone", message)])
    zone = ZoneInfo(timezone or accounts.get(tenant.account_id).timezone)
    return ranges.chosen(range_, from_, to, zone, clock.now())


def overview(tenant: Tenant, over: Range) -> Json:
    """What there is, and what became of the leads and conversations of these days."""
    ever = _by_value(analytics.sums(tenant, ["leads", "by_channel"], [EVER]))
    found = _by_value(analytics.sums(tenant, ["leads", "by_channel"], over.pieces))
    leads, talks = found["leads", ""], _together(found, "by_channel")
    return {
        "totalLeads": ever["leads", ""]["new"],
        "newLeads": leads["new"],
        "totalConversations": talks["opened"],
        "activeConversations": _together(ever, "by_channel")["active"],
        "qualifiedLeads": leads["qualified"],
        "disqualifiedLeads": leads["disqualified"],
        "qualificationRate": _percent(talks["completed_qualified"], talks["completed"]),
        "avgMessagesPerConversation": _ratio(talks["messages"], talks["opened"]),
        "channelBreakdown": {channel: found["by_channel", channel]["opened"] for channel in CHANNELS},
    }


def timeseries(tenant: Tenant, over: Range, metric: str, interval: str) -> list[tuple[date, int]]:
    """The sum of a metric for each interval, by the interval's first day."""
    starts = over.starts(interval)
    slots = [over.slot_of(day) for day in starts]
    amounts = [0] * len(starts)
    for slot, amount in analytics.series(tenant, *_SERIES[metric], over.quarters):
        amounts[bisect_right(slots, slot) - 1] += amount
    return list(zip(starts, amounts, strict=True))


def funnel(tenant: Tenant, over: Range, by: str | None) -> tuple[Json, list[Json]]:
    """How many leads of these days came how far: all, and by each value, the largest first."""
    found = _by_value(analytics.sums(tenant, ["leads"] if by is None else ["leads", by], over.pieces))
    groups = [{"value": value, **_stages(each)} for (subject, value), each in found.items() if subject == by]
    groups.sort(key=lambda group: (-group["new"], group["value"]))
    return _stages(found["leads", ""]), groups[:MOST_GROUPS]


def _stages(measures: Mapping[str, int]) -> Json:
    return {stage: measures[stage] for stage in STAGES}


def by_agent(tenant: Tenant, over: Range) -> list[Json]:
    """What became of the conversations that each agent leads, and how fast it answers; the busiest first."""
    found = _by_value(analytics.sums(tenant, ["by_agent", "answers_of_agent"], over.pieces))
    ids = {value for _, value in found}
    names = agents.names(tenant) if ids else {}
    rows = [
        {"agentConfigId": oid, "agentConfigName": names.get(oid), **_outcome(found["by_agent", oid])}
        | {"medianResponseSeconds": _waits(found["answers_of_agent", oid])["p50Seconds"]}
        for oid in ids
    ]
    rows.sort(key=lambda row: (-row["conversations"], row["agentConfigId"]))
    return rows[:MOST_GROUPS]


def by_campaign(tenant: Tenant, over: Range) -> list[Json]:
    """What became of the conversations that each campaign opened; the busiest first."""
    found = _by_value(analytics.sums(tenant, ["by_campaign"], over.pieces))
    rows = [{"campaignId": oid, **_outcome(each)} for (_, oid), each in found.items()]
    rows.sort(key=lambda row: (-row["conversations"], row["campaignId"]))
    return rows[:MOST_GROUPS]


def _outcome(measures: Mapping[str, int]) -> Json:
    names = ("active", "handed_off", "completed", "dropped", "qualified", "disqualified")
    words = {"handed_off": "handedOff"}
    return {
        "conversations": measures["opened"],
        **{words.get(name, name): measures[name] for name in names},
        "qualificationRate": _percent(measures["completed_qualified"], measures["completed"]),
        "avgMessagesPerConversation": _ratio(measures["messages"], measures["opened"]),
    }


def response_times(tenant: Tenant, over: Range) -> Json:
    """How long answers took that were given on these days, by who gave them."""
    who = ("agent", "human", "lead")
    found = _by_value(analytics.sums(tenant, [f"answers_of_{each}" for each in who], over.pieces))
    return {each: _waits(_together(found, f"answers_of_{each}")) for each in who}


def _waits(measures: Mapping[str, int]) -> Json:
    buckets = {int(name[1:]): amount for name, amount in measures.items() if name.startswith("b") and amount}
    percentiles = {
        f"p{share}Seconds": percentile_s(buckets, share / 100) if buckets else None for share in (50, 90, 99)
    }
    count = measures["count"]
    return {
        "count": count,
        "averageSeconds": round(measures["ms"] / count / 1000, 3) if count else None,
        **{name: None if wait is None else round(wait, 3) for name, wait in percentiles.items()},
    }


def _by_value(sums: dict[tuple[str, str, str], int]) -> dict[tuple[str, str], dict[str, int]]:
    found: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (subject, value, measure), amount in sums.items():
        found[subject, value][measure] = amount
    return found


def _together(found: dict[tuple[str, str], dict[str, int]], subject: str) -> dict[str, int]:
    total: dict[str, int] = defaultdict(int)
    for (of, _), measures in list(found.items()):
        if of == subject:
            for measure, amount in measures.items():
                total[measure] += amount
    return total


def _ratio(part: int, whole: int) -> float:
    return round(part / whole, _DIGITS) if whole else 0.0


def _percent(part: int, whole: int) -> float:
    return _ratio(100 * part, whole)
