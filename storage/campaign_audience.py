"""Who a campaign is for: its filters as conditions on leads, and who of those is left out for what."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import and_
from typing import Any

from peewee import SQL, Case, ModelInsert, ModelSelect, Value, fn

from . import clock
from .bulk import any_id, as_ids, insert_all
from .campaign_ledger import CampaignRecipient, count
from .campaigns import Campaign
from .conversations import Conversation
from .identities import ChannelIdentity
from .lead_filters import has_any, matching
from .lead_lists import LeadFilter
from .leads import Lead, live
from .tenancy import Tenant

SAMPLE = 10
UNKNOWN_LEAD = "lead_not_found"


def is_named(campaign: Campaign) -> bool:
    """Whether the campaign says at all whom it is for."""
    return any(each is not None for each in (campaign.lead_filter, campaign.advanced_filter, campaign.lead_ids))


def _wanted(campaign: Campaign) -> Any:
    """The leads that all filters let through, and those that are named."""
    parts = []
    basic: Mapping[str, Any] | None = campaign.lead_filter
    if basic is not None:
        simple = LeadFilter(statuses=basic.get("statuses") or None, tags=basic.get("tags") or None)
        parts += [condition.node for condition in simple.all_conditions()]
        parts += [Lead.source == basic["source"]] if basic.get("source") else []
    if campaign.advanced_filter is not None:
        parts += [condition.node for condition in matching(campaign.advanced_filter, path="/advancedFilter")]
    is_filtered = basic is not None or campaign.advanced_filter is not None
    filtered = reduce(and_, parts) if parts else SQL("1 = 1")
    if campaign.lead_ids is None:
        return filtered if is_filtered else SQL("1 = 0")
    named = any_id(Lead.number, Value(as_ids(campaign.lead_ids), False, unpack=False))
    return _either(filtered, named) if is_filtered else named


def _either(one: Any, other: Any) -> Any:
    return Case(None, [(one, 1), (other, 1)], 0) == 1


def _obstacle(tenant: Tenant, campaign: Campaign) -> Any:
    """Why a lead is left out already at the launch, in compliance's words; NULL where nothing stands against it."""
    channel, in_test = campaign.channel, tenant.environment == "test"
    identity = ChannelIdentity.of(tenant, ChannelIdentity.id).where(
        (ChannelIdentity.lead_number == Lead.number) & (ChannelIdentity.channel == channel)
    )
    active = Conversation.of(tenant, Conversation.id).where(
        (Conversation.lead_number == Lead.number)
        & (Conversation.channel == channel)
        & (Conversation.status == SQL("'active'"))
    )
    cases: list[Any] = [(has_any(Lead.opted_out, [channel]), SQL("'opted_out'"))]
    no_phone = (Lead.phone == SQL("''")) if in_test else ((Lead.phone == SQL("''")) | ~Lead.phone_valid)
    if channel == "sms":
        cases.append((no_phone, SQL("'no_valid_phone'")))
    elif channel == "whatsapp":
        cases.append((no_phone & ~fn.EXISTS(identity), SQL("'no_valid_phone'")))
    elif channel == "email":
        cases.append(((Lead.email == SQL("''")) & ~fn.EXISTS(identity), SQL("'no_email'")))
    elif not in_test:
        cases.append((~fn.EXISTS(identity), SQL("'no_identity'")))
    cases.append((fn.EXISTS(active), SQL("'conversation_active'")))
    return Case(None, cases, None)


def freeze(tenant: Tenant, campaign: Campaign, after: int, until: int) -> None:
    """Write the ledger for the audience among the leads of these numbers, in the caller's transaction."""
    reason = _obstacle(tenant, campaign)
    state = Case(None, [(reason.is_null(), SQL("'pending'"))], SQL("'skipped'"))
    moment = clock.stamp()
    constants = [Value(campaign.id, False), Lead.number, state, Value(0, False), state, reason]
    chosen: Any = live(tenant, Lead.tenant_id, *constants, Value("", False), Value(moment, False))
    chosen = chosen.where((Lead.number > after) & (Lead.number <= until) & _wanted(campaign)).order_by(Lead.number)
    names = ("tenant_id", "campaign_id", "lead_number", "state", "replied", "status", "reason", "due_at", "updated_at")
    fields = CampaignRecipient._meta.fields
    ModelInsert(CampaignRecipient, chosen, columns=[fields[name] for name in names]).execute()
    _count(tenant, campaign, after, until)


def _count(tenant: Tenant, campaign: Campaign, after: int, until: int) -> None:
    query: Any = CampaignRecipient.of(tenant, CampaignRecipient.state, fn.COUNT(CampaignRecipient.id)).where(
        (CampaignRecipient.campaign_id == campaign.id)
        & (CampaignRecipient.lead_number > after)
        & (CampaignRecipient.lead_number <= until)
    )
    found = dict(query.group_by(CampaignRecipient.state).tuples())
    pending, skipped = found.get("pending", 0), found.get("skipped", 0)
    count(tenant, campaign.id, total=pending + skipped, pending=pending, skipped=skipped)


def freeze_unknown(tenant: Tenant, campaign: Campaign) -> None:
    """Write down, after all others, the leads that are named and that nobody has."""
    unknown = _unknown(tenant, campaign)
    shared = {"tenant_id": tenant.id, "campaign_id": campaign.id, "updated_at": clock.stamp()}
    out = {"state": "skipped", "status": "skipped", "reason": UNKNOWN_LEAD}
    insert_all(CampaignRecipient, {"lead_number": unknown}, **shared, **out)
    count(tenant, campaign.id, total=len(unknown), skipped=len(unknown))


def _unknown(tenant: Tenant, campaign: Campaign) -> list[int]:
    wanted = set(campaign.lead_ids or ())
    if not wanted:
        return []
    named = any_id(Lead.number, Value(as_ids(wanted), False, unpack=False))
    known: Any = live(tenant, Lead.number).where(named).tuples()
    return sorted(wanted - {number for (number,) in known})


def preview(tenant: Tenant, campaign: Campaign) -> tuple[dict[str | None, int], list[tuple[int, str, str | None]]]:
    """How many of the audience of a draft are left out for which reason (None: nobody stands against it), and a sample
    of each, as (lead number, name, reason).
    """
    reason = _obstacle(tenant, campaign)
    audience = live(tenant, Lead.number, Lead.name, reason.alias("reason")).where(_wanted(campaign))
    grouped: Any = ModelSelect(Lead, [SQL("reason"), fn.COUNT(SQL("1"))]).from_(audience.alias("audience"))
    numbers = dict(grouped.group_by(SQL("reason")).tuples())
    some: list[tuple[int, str, str | None]] = []
    for is_out in (False, True):
        part: Any = audience.where(reason.is_null(not is_out)).order_by(Lead.number.desc()).limit(SAMPLE)
        some += list(part.tuples())
    unknown = _unknown(tenant, campaign)
    if unknown:
        numbers[UNKNOWN_LEAD] = len(unknown)
    return numbers, some
