"""Analytics over HTTP, as JSON or as CSV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from engine.analytics import reports
from engine.analytics.ranges import Range
from storage.tenancy import Caller

from .answers import Answer
from .sheets import sheet

Json = dict[str, Any]
Reply = Json | Answer


def get_analytics_overview(
    user: Caller,
    range_: str = "30d",
    from_: str | None = None,
    to: str | None = None,
    timezone: str | None = None,
    format_: str = "json",
) -> Reply:
    """What there is and what became of it. Raises Blocked."""
    over = reports.days(user.tenant, range_, from_, to, timezone)
    body = reports.overview(user.tenant, over)
    if format_ == "json":
        return {**body, **_days(over)}
    flat = {**body, **{f"channelBreakdown.{name}": count for name, count in body["channelBreakdown"].items()}}
    del flat["channelBreakdown"]
    return _table(["metric", "value"], flat.items())


def get_analytics_timeseries(
    user: Caller,
    metric: str = "newLeads",
    interval: str = "day",
    range_: str = "30d",
    from_: str | None = None,
    to: str | None = None,
    timezone: str | None = None,
    format_: str = "json",
) -> Reply:
    """A metric day by day or week by week. Raises Blocked."""
    over = reports.days(user.tenant, range_, from_, to, timezone)
    points = [(day.isoformat(), amount) for day, amount in reports.timeseries(user.tenant, over, metric, interval)]
    if format_ == "csv":
        return _table(["date", metric], points)
    listed = [{"date": day, "value": amount} for day, amount in points]
    return {"metric": metric, "interval": interval, **_days(over), "points": listed}


def get_analytics_funnel(
    user: Caller,
    by: str | None = None,
    range_: str = "30d",
    from_: str | None = None,
    to: str | None = None,
    timezone: str | None = None,
    format_: str = "json",
) -> Reply:
    """How far leads came. Raises Blocked."""
    over = reports.days(user.tenant, range_, from_, to, timezone)
    stages, groups = reports.funnel(user.tenant, over, by)
    if format_ == "csv":
        rows = [{"value": "", **stages}] if by is None else groups
        return _table(["value", *stages], [row.values() for row in rows])
    return {**_days(over), "stages": stages, **({} if by is None else {"by": by, "groups": groups})}


def get_analytics_agents(
    user: Caller,
    range_: str = "30d",
    from_: str | None = None,
    to: str | None = None,
    timezone: str | None = None,
    format_: str = "json",
) -> Reply:
    """What became of the conversations of each agent. Raises Blocked."""
    over = reports.days(user.tenant, range_, from_, to, timezone)
    return _rows(over, "agents", reports.by_agent(user.tenant, over), format_, _AGENT)


def get_analytics_campaigns(
    user: Caller,
    range_: str = "30d",
    from_: str | None = None,
    to: str | None = None,
    timezone: str | None = None,
    format_: str = "json",
) -> Reply:
    """What became of the conversations of each campaign. Raises Blocked."""
    over = reports.days(user.tenant, range_, from_, to, timezone)
    return _rows(over, "campaigns", reports.by_campaign(user.tenant, over), format_, _CAMPAIGN)


def get_analytics_response_times(
    user: Caller,
    range_: str = "30d",
    from_: str | None = None,
    to: str | None = None,
    timezone: str | None = None,
    format_: str = "json",
) -> Reply:
    """How long answers took. Raises Blocked."""
    over = reports.days(user.tenant, range_, from_, to, timezone)
    found = reports.response_times(user.tenant, over)
    if format_ == "csv":
        return _table(["who", *found["lead"]], [(who, *waits.values()) for who, waits in found.items()])
    return {**_days(over), **{who: _present(waits) for who, waits in found.items()}}


_OUTCOME = (
    *("conversations", "active", "handedOff", "completed", "dropped", "qualified", "disqualified"),
    *("qualificationRate", "avgMessagesPerConversation"),
)
_AGENT = ("agentConfigId", "agentConfigName", *_OUTCOME, "medianResponseSeconds")
_CAMPAIGN = ("campaignId", *_OUTCOME)


def _rows(over: Range, name: str, rows: list[Json], format_: str, columns: Sequence[str]) -> Reply:
    if format_ == "csv":
        return _table(columns, [[row[column] for column in columns] for row in rows])
    return {**_days(over), name: [_present(row) for row in rows]}


def _days(over: Range) -> Json:
    return {"from": over.first.isoformat(), "to": over.last.isoformat(), "timezone": over.zone.key}


def _present(members: Json) -> Json:
    return {name: value for name, value in members.items() if value is not None}


def _table(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> Answer:
    return Answer(sheet([header, *rows]), media_type="text/csv; charset=utf-8")
