"""The facts of a decision, read for the lead that the caller holds or merely asks about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any

from engine import budgets, channels
from engine.compliance.decision import Decision, Facts, FrequencyCap, Kind, decide
from engine.compliance.hours import QuietHours
from engine.privacy import silence
from storage import accounts, clock, deliveries, identities
from storage.conversations import Message
from storage.leads import Lead
from storage.tenancy import Environment, Tenant


def facts_of(
    tenant: Tenant,
    lead: Lead,
    channel: str,
    *,
    kind: Kind = "text",
    message: Message | None = None,
    now: datetime | None = None,
    is_configured: bool | None = None,
) -> Facts:
    """What is known for a message to this lead on this channel; true for as long as the caller holds the lead.

    message: the one in question where it exists already, which does not count as sent. is_configured: if the caller
    knows; else it is looked up.
    """
    now = now or clock.now()
    settings = accounts.settings(tenant.account_id)
    cap = frequency_cap(tenant.environment, settings)
    heard = deliveries.heard_from(tenant, lead.number)
    return Facts(
        environment=tenant.environment,
        channel=channel,
        kind=kind,
        is_configured=channels.of(tenant, channel) is not None if is_configured is None else is_configured,
        opted_out=lead.opted_out or silence.kept_of(tenant, lead),
        phone=lead.phone,
        phone_valid=lead.phone_valid,
        email=lead.email,
        identities=identities.addresses(tenant, lead.number, channel),
        timezone=lead.timezone,
        heard_at=max(heard.values(), default=None),
        heard_here_at=heard.get(channel),
        sent_at=_sent_at(tenant, lead, cap, message, now),
        quiet_hours=quiet_hours(tenant.environment, settings),
        frequency_cap=cap,
        exhausted_budget=budgets.exhausted(tenant, now, [budgets.MESSAGES]),
    )


def _sent_at(
    tenant: Tenant, lead: Lead, cap: FrequencyCap | None, message: Message | None, now: datetime
) -> list[datetime]:
    if cap is None:
        return []
    since = now - timedelta(hours=cap.hours)
    return deliveries.sent_to(tenant, lead.number, since, cap.messages, besides=message)


def quiet_hours(environment: Environment, settings: Mapping[str, Any]) -> QuietHours | None:
    """The account's quiet hours. The test environment, where nobody is woken, has those that were set."""
    own = settings.get("quietHours")
    if own is None:
        return QuietHours() if environment == "live" else None
    usual = QuietHours()
    return QuietHours(
        start=time.fromisoformat(own["start"]) if "start" in own else usual.start,
        end=time.fromisoformat(own["end"]) if "end" in own else usual.end,
        replies_allowed=own.get("repliesAllowed", usual.replies_allowed),
    )


def frequency_cap(environment: Environment, settings: Mapping[str, Any]) -> FrequencyCap | None:
    """How often the account writes to somebody who does not answer. The test environment has what was set."""
    own = settings.get("frequencyCap")
    if own is None:
        return FrequencyCap() if environment == "live" else None
    usual = FrequencyCap()
    return FrequencyCap(own.get("messages", usual.messages), own.get("hours", usual.hours))


def permission(tenant: Tenant, lead: Lead, channel: str, *, kind: Kind = "text") -> Decision:
    """Whether a new message may go to this lead on this channel now."""
    now = clock.now()
    return decide(facts_of(tenant, lead, channel, kind=kind, now=now), now)
