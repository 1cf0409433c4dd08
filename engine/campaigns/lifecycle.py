"""What changes a campaign: making, editing, starting, pausing, ending it.

    draft ─ start ┬→ running ⇄ paused
                  └→ scheduled ↗  │
                       └──────────┴→ completed (finished, cancelled)

Whom it is for is fixed when it starts to run, so it can be edited only before. Each start and each resumption is
another `run`: what an earlier one left in the outbox does nothing any more.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from engine import channels
from engine.campaigns import wording
from engine.events import emit
from engine.jobs import doorbell
from storage import agents, audit, campaign_audience, campaign_bodies, campaigns, clock, lead_filters, outbox
from storage.campaigns import Campaign
from storage.database import after_commit, is_sqlite, transaction
from storage.errors import Blocked, Conflict, NotFound, Problem
from storage.tenancy import SYSTEM, Actor, Tenant

LANES = 8  # of a campaign on PostgreSQL: how many workers may dispatch it at once
COLUMNS = {
    "name": "name",
    "channel": "channel",
    "agentConfigId": "agent_config_id",
    "message": "message",
    "template": "template",
    "schedule": "schedule",
    "leadFilter": "lead_filter",
    "advancedFilter": "advanced_filter",
    "leadIds": "lead_ids",
}


def create(tenant: Tenant, body: Mapping[str, Any], *, actor: Actor) -> Campaign:
    """Store a new draft. Raises NotFound (agent), Invalid (filter), Blocked for a place that stands for nothing."""
    with transaction():
        campaign = campaigns.add(tenant, _columns(tenant, body))
        audit.record(tenant, actor, "campaign.created", campaign.oid, {"name": campaign.name})
        return campaign


def update(tenant: Tenant, oid: str, body: Mapping[str, Any], *, actor: Actor) -> Campaign:
    """Change what the body names. Raises NotFound, Conflict unless it is a draft, Invalid, Blocked."""
    with transaction():
        campaign = campaigns.lock(tenant, oid)
        _require_draft(campaign, "edited")
        columns = _columns(tenant, body)
        named = {member: column for member, column in COLUMNS.items() if column in columns}
        changed = [member for member, column in named.items() if getattr(campaign, column) != columns[column]]
        if changed:
            campaigns.change(campaign, **columns)
            audit.record(tenant, actor, "campaign.updated", oid, {"changed": sorted(changed)})
        return campaign


def _columns(tenant: Tenant, body: Mapping[str, Any]) -> dict[str, Any]:
    columns = {column: body[member] for member, column in COLUMNS.items() if member in body}
    if columns.get("agent_config_id") is not None:
        _hold_agent(tenant, columns["agent_config_id"])
    if columns.get("advanced_filter") is not None:
        lead_filters.matching(columns["advanced_filter"], path="/advancedFilter")
    if "schedule" in columns:
        columns["schedule"] = _readable(columns["schedule"])
    unknown = wording.unknown_places(columns.get("message") or "")
    if unknown:
        message = f"The message has a place {unknown[0]!r}, which is nothing of a lead's"
        raise Blocked("unknown_placeholder", message, problems=[Problem("/message", message)])
    return columns


def _readable(schedule: Mapping[str, Any]) -> dict[str, Any]:
    """The schedule with its start as it is answered. Raises Blocked for a zone or a moment that is none."""
    read = dict(schedule)
    if "timezone" in read and read["timezone"] not in zoneinfo.available_timezones():
        message = f"There is no time zone {read['timezone']!r}"
        raise Blocked("unknown_timezone", message, problems=[Problem("/schedule/timezone", message)])
    try:
        if "startAt" in read:
            read["startAt"] = clock.iso(clock.parse(read["startAt"].upper()))
    except (ValueError, OverflowError) as error:
        message = "startAt is no moment that the calendar has"
        raise Blocked("invalid_start", message, problems=[Problem("/schedule/startAt", message)]) from error
    return read


def _hold_agent(tenant: Tenant, oid: str) -> agents.AgentConfig:
    try:
        return agents.lock(tenant, oid)
    except NotFound as error:
        problem = Problem("/agentConfigId", error.message)
        raise NotFound("agent_not_found", error.message, problems=[problem]) from error


def _require_draft(campaign: Campaign, done: str) -> None:
    if campaign.status != "draft":
        message = f"The campaign is {campaign.status}; only a draft can be {done}. Duplicate it."
        raise Conflict("campaign_not_draft", message)


def delete(tenant: Tenant, oid: str, *, actor: Actor) -> None:
    """Remove a draft for good. Raises NotFound, Conflict."""
    with transaction():
        campaign = campaigns.lock(tenant, oid)
        _require_draft(campaign, "deleted")
        campaigns.delete(tenant, campaign)
        audit.record(tenant, actor, "campaign.deleted", oid, {"name": campaign.name})


def duplicate(tenant: Tenant, oid: str, *, actor: Actor) -> Campaign:
    """A new draft that says the same to the same. Raises NotFound."""
    with transaction():
        source = campaigns.get(tenant, oid)
        columns = {column: getattr(source, column) for column in COLUMNS.values()}
        columns["name"] = f"{source.name[:190]} (copy)"
        columns["schedule"] = {name: value for name, value in source.schedule.items() if name != "startAt"}
        campaign = campaigns.add(tenant, columns)
        audit.record(tenant, actor, "campaign.created", campaign.oid, {"name": campaign.name, "from": oid})
        return campaign


def start(tenant: Tenant, oid: str, *, actor: Actor) -> Campaign:
    """Start a draft, or have it started at its time. Raises NotFound, Conflict, Blocked."""
    with transaction():
        campaign = campaigns.lock(tenant, oid)
        if campaign.status != "draft":
            raise _illegal(campaign, "started", "Duplicate it to run it again.")
        _require_ready(tenant, campaign)
        at = campaign.schedule.get("startAt")
        moment = None if at is None else clock.parse(at)
        if moment is None or moment <= clock.now():
            launch(tenant, campaign, actor)
            return campaign
        campaigns.change(campaign, status="scheduled", run=campaign.run + 1)
        _put(tenant, campaign, "campaign_start", "start", moment)
        audit.record(tenant, actor, "campaign.scheduled", oid, {"startAt": clock.iso(moment)})
        return campaign


def _require_ready(tenant: Tenant, campaign: Campaign) -> None:
    if not campaign_audience.is_named(campaign):
        message = "The campaign does not say whom it is for. Give leadFilter, advancedFilter or leadIds."
        raise Blocked("no_audience", message)
    if channels.of(tenant, campaign.channel) is None:
        advice = f"No integration is configured for {campaign.channel}. Configure one first."
        raise Blocked("channel_not_configured", advice)
    if campaign.agent_config_id is None:
        if agents.newest(tenant, status="active") is None:
            raise Conflict("no_active_agent", "There is no active agent. Create one, or activate one, first.")
    elif _hold_agent(tenant, campaign.agent_config_id).status != "active":
        message = "The campaign's agent is not active. Activate it first."
        raise Conflict("agent_not_active", message, details=campaign.agent_config_id)


def _illegal(campaign: Campaign, done: str, advice: str) -> Conflict:
    return Conflict("illegal_status_change", f"A {campaign.status} campaign cannot be {done}. {advice}")


def launch(tenant: Tenant, campaign: Campaign, actor: Actor) -> None:
    """Let a held campaign run: from now on its audience is what it is."""
    campaigns.change(
        campaign,
        status="running",
        run=campaign.run + 1,
        started_at=clock.stamp(),
        freeze_until=campaigns.last_lead_number(tenant),
    )
    _put(tenant, campaign, "campaign_freeze", "freeze")
    tell(tenant, campaign, "started", actor)


def tell(tenant: Tenant, campaign: Campaign, verb: str, actor: Actor, **metadata: Any) -> None:
    """Say in the audit log and to those who subscribed what became of a held campaign."""
    audit.record(tenant, actor, f"campaign.{verb}", campaign.oid, metadata)
    emit(tenant, f"campaign.{verb}", lambda: campaign_bodies.campaign(tenant, campaign))


def _put(tenant: Tenant, campaign: Campaign, kind: str, lane: str, at: datetime | None = None) -> None:
    name = f"{campaign.oid}/{campaign.run}/{lane}"
    outbox.put(tenant, kind, name, {"campaign": campaign.oid, "run": campaign.run}, available_at=at)
    if at is None:
        after_commit(partial(doorbell.ring, name))


def put_lanes(tenant: Tenant, campaign: Campaign) -> None:
    """Have a held running campaign dispatched. One that is paced has one lane, for its messages wait for each other."""
    for number in range(1 if is_sqlite() or campaigns.is_paced(campaign) else LANES):
        _put(tenant, campaign, "campaign_dispatch", str(number))


def pause(tenant: Tenant, oid: str, *, actor: Actor, reason: str = "requested") -> Campaign:
    """Contact nobody more until it is resumed; a paused one stays so. Raises NotFound, Conflict."""
    with transaction():
        campaign = campaigns.lock(tenant, oid)
        if campaign.status == "paused":
            return campaign
        if campaign.status != "running":
            raise _illegal(campaign, "paused", "Only a running one can.")
        campaigns.change(campaign, status="paused", reason=reason)
        tell(tenant, campaign, "paused", actor, reason=reason)
        return campaign


def resume(tenant: Tenant, oid: str, *, actor: Actor) -> Campaign:
    """Go on with those who were not contacted yet; a running one goes on anyway. Raises NotFound, Conflict, Blocked."""
    with transaction():
        campaign = campaigns.lock(tenant, oid)
        if campaign.status == "running":
            return campaign
        if campaign.status != "paused":
            raise _illegal(campaign, "resumed", "Only a paused one can.")
        _require_ready(tenant, campaign)
        campaigns.change(campaign, status="running", reason=None, run=campaign.run + 1)
        if campaign.is_frozen:
            put_lanes(tenant, campaign)
        else:
            _put(tenant, campaign, "campaign_freeze", "freeze")
        tell(tenant, campaign, "resumed", actor)
        return campaign


def cancel(tenant: Tenant, oid: str, *, actor: Actor) -> Campaign:
    """End it; who was not contacted yet is left out. Raises NotFound, Conflict for a draft and one that is over."""
    with transaction():
        campaign = campaigns.lock(tenant, oid)
        if campaign.status in ("draft", "completed"):
            advice = "Delete it instead." if campaign.status == "draft" else "It is over."
            raise _illegal(campaign, "cancelled", advice)
        _complete(tenant, campaign, "cancelled")
        _put(tenant, campaign, "campaign_close", "close")
        tell(tenant, campaign, "cancelled", actor)
        return campaign


def finish(tenant: Tenant, campaign: Campaign) -> None:
    """Complete a held campaign in which nothing is left to do."""
    _complete(tenant, campaign, "finished")
    tell(tenant, campaign, "completed", SYSTEM)


def _complete(tenant: Tenant, campaign: Campaign, reason: str) -> None:
    campaigns.change(campaign, status="completed", reason=reason, completed_at=clock.stamp())
    campaigns.forget_pace(tenant, campaign)
