"""Campaigns: an audience, what it is told and when, and where the campaign stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peewee import BigIntegerField, IntegerField, JSONField, TextField

from . import clock
from .base import TenantModel
from .database import is_sqlite
from .errors import NotFound
from .ids import new_id
from .leads import LeadCounter, locked
from .paging import paginate
from .tenancy import Tenant


class Campaign(TenantModel):
    """draft → (scheduled →) running ⇄ paused → completed.

    reason: why it is paused or completed. run: counts the starts and resumptions; what an earlier run left in the
    outbox is worth nothing. freeze_after, freeze_until: the ledger is still to be written for the leads between these.
    """

    oid = TextField()
    name = TextField()
    channel = TextField()
    agent_config_id = TextField(null=True)
    message = TextField(null=True)
    template = JSONField(null=True)
    schedule = JSONField(default=dict)
    lead_filter = JSONField(null=True)
    advanced_filter = JSONField(null=True)
    lead_ids = JSONField(null=True)
    status = TextField(default="draft")
    reason = TextField(null=True)
    run = IntegerField(default=0)
    is_frozen = IntegerField(default=0)
    freeze_after = IntegerField(default=0)
    freeze_until = IntegerField(default=0)
    started_at = TextField(null=True)
    completed_at = TextField(null=True)
    created_at = TextField()
    updated_at = TextField()


class CampaignPace(TenantModel):
    """When the next message of a campaign is due, and how many conversations it opened on which day."""

    campaign_id = BigIntegerField()
    free_at = TextField()
    day = TextField()
    opened = IntegerField()


def get(tenant: Tenant, oid: str) -> Campaign:
    """The campaign with this id. Raises NotFound, for another tenant's campaign too."""
    return _found(Campaign.of(tenant).where(Campaign.oid == oid).first())


def lock(tenant: Tenant, oid: str) -> Campaign:
    """The campaign with this id, held until the caller's transaction ends. Raises NotFound."""
    return _found(locked(Campaign.of(tenant).where(Campaign.oid == oid)).first())


def keep(tenant: Tenant, oid: str) -> Campaign:
    """The campaign with this id, which nobody changes before the caller's transaction ends. Raises NotFound.

    Any number may keep it at once; who pauses it waits for them, and nobody begins after that.
    """
    query: Any = Campaign.of(tenant).where(Campaign.oid == oid)
    return _found((query if is_sqlite() else query.for_update("FOR SHARE")).first())


def _found(campaign: Campaign | None) -> Campaign:
    if campaign is None:
        raise NotFound("campaign_not_found", "Campaign not found")
    return campaign


def is_paced(campaign: Campaign) -> bool:
    """Whether its messages wait for each other."""
    return bool({"messagesPerMinute", "dailyCap"} & campaign.schedule.keys())


def page(
    tenant: Tenant, *, status: str | None = None, limit: int, skip: int = 0, cursor: str | None = None
) -> tuple[list[Campaign], int, str | None]:
    """A page of campaigns, the newest first: (campaigns, how many there are, cursor of the next page or None)."""
    query = Campaign.of(tenant)
    if status is not None:
        query = query.where(Campaign.status == status)
    keys = [Campaign.created_at, Campaign.oid]
    rows, following = paginate(query, keys, order="campaigns", limit=limit, skip=skip, cursor=cursor)
    return rows, query.count(), following


def add(tenant: Tenant, columns: Mapping[str, Any]) -> Campaign:
    """Store a new draft with these columns."""
    moment = clock.stamp()
    return Campaign.add(tenant, oid=new_id(), created_at=moment, updated_at=moment, **columns)


def change(campaign: Campaign, **columns: Any) -> None:
    """Store these columns of a held campaign."""
    campaign.store(**columns, updated_at=clock.stamp())


def delete(tenant: Tenant, campaign: Campaign) -> None:
    """Remove a held campaign for good, with its ledger."""
    Campaign.remove(tenant).where(Campaign.id == campaign.id).execute()


def last_lead_number(tenant: Tenant) -> int:
    """The number of the lead that came last: the audience of a campaign that starts now ends there."""
    found = LeadCounter.select(LeadCounter.last_number).where(LeadCounter.tenant_id == tenant.id).scalar()
    return int(found or 0)


def are_using(tenant: Tenant, agent_config_id: str) -> bool:
    """Whether a campaign that is not completed names this agent."""
    query = Campaign.of(tenant, Campaign.id).where(
        (Campaign.agent_config_id == agent_config_id) & (Campaign.status != "completed")
    )
    return query.first() is not None


def lock_pace(tenant: Tenant, campaign: Campaign) -> CampaignPace:
    """The pace of a campaign, held until the caller's transaction ends."""
    fresh = {"campaign_id": campaign.id, "free_at": "", "day": "", "opened": 0}
    columns = CampaignPace._meta.fields
    adding = CampaignPace.add_all(tenant, [{columns[name]: value for name, value in fresh.items()}])
    adding.on_conflict(action="NOTHING").execute()
    found: Any = locked(CampaignPace.of(tenant).where(CampaignPace.campaign_id == campaign.id)).first()
    assert isinstance(found, CampaignPace)
    return found


def forget_pace(tenant: Tenant, campaign: Campaign) -> None:
    """Begin anew with the pace of a campaign."""
    CampaignPace.remove(tenant).where(CampaignPace.campaign_id == campaign.id).execute()
