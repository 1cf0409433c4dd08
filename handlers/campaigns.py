"""Campaigns over HTTP."""

from __future__ import annotations

from typing import Any

from engine.campaigns import lifecycle
from storage import campaign_audience, campaign_bodies, campaign_ledger, campaigns
from storage.campaign_ledger import CampaignRecipient
from storage.tenancy import Caller

from .answers import Answer, Page


def list_campaigns(
    user: Caller, status: str | None = None, skip: int = 0, limit: int = 50, cursor: str | None = None
) -> Page:
    """A page of campaigns, the newest first."""
    found, total, following = campaigns.page(user.tenant, status=status, limit=limit, skip=skip, cursor=cursor)
    counts = campaign_ledger.counts(user.tenant, found)
    return Page([campaign_bodies.campaign(user.tenant, each, counts[each.id]) for each in found], total, following)


def create_campaign(user: Caller, body: dict[str, Any]) -> Answer:
    """A new draft. Raises NotFound (agent), Invalid (filter), Blocked."""
    return _made(user, lifecycle.create(user.tenant, body, actor=user.actor))


def _made(user: Caller, campaign: campaigns.Campaign) -> Answer:
    body = campaign_bodies.campaign(user.tenant, campaign)
    return Answer(body, status=201, location=f"/api/campaigns/{campaign.oid}")


def get_campaign(id_: str, user: Caller) -> dict[str, Any]:
    """One campaign. Raises NotFound."""
    return campaign_bodies.campaign(user.tenant, campaigns.get(user.tenant, id_))


def update_campaign(id_: str, user: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """The draft with what the body names changed. Raises NotFound, Conflict, Invalid, Blocked."""
    return campaign_bodies.campaign(user.tenant, lifecycle.update(user.tenant, id_, body, actor=user.actor))


def replace_campaign(id_: str, user: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """The same as `update_campaign`: both methods are partial."""
    return update_campaign(id_, user, body)


def delete_campaign(id_: str, user: Caller) -> dict[str, bool]:
    """Remove a draft. Raises NotFound, Conflict."""
    lifecycle.delete(user.tenant, id_, actor=user.actor)
    return {"success": True}


def preview_campaign(id_: str, user: Caller) -> dict[str, Any]:
    """Whom the campaign would be for now. Raises NotFound."""
    numbers, sample = campaign_audience.preview(user.tenant, campaigns.get(user.tenant, id_))
    recipients = numbers.pop(None, 0)
    left_out = [{"reason": reason, "count": number} for reason, number in numbers.items()]
    skipped = sum(numbers.values())
    return {
        "total": recipients + skipped,
        "recipients": recipients,
        "skipped": skipped,
        "leftOut": sorted(left_out, key=lambda each: str(each["reason"])),
        "sample": [
            {"leadId": number, "name": name} | ({"reason": reason} if reason else {}) for number, name, reason in sample
        ],
    }


def start_campaign(id_: str, user: Caller) -> dict[str, Any]:
    """The campaign, running or scheduled. Raises NotFound, Conflict, Blocked."""
    return campaign_bodies.campaign(user.tenant, lifecycle.start(user.tenant, id_, actor=user.actor))


def pause_campaign(id_: str, user: Caller) -> dict[str, Any]:
    """The campaign, paused. Raises NotFound, Conflict."""
    return campaign_bodies.campaign(user.tenant, lifecycle.pause(user.tenant, id_, actor=user.actor))


def resume_campaign(id_: str, user: Caller) -> dict[str, Any]:
    """The campaign, running again. Raises NotFound, Conflict, Blocked."""
    return campaign_bodies.campaign(user.tenant, lifecycle.resume(user.tenant, id_, actor=user.actor))


def cancel_campaign(id_: str, user: Caller) -> dict[str, Any]:
    """The campaign, completed. Raises NotFound, Conflict."""
    return campaign_bodies.campaign(user.tenant, lifecycle.cancel(user.tenant, id_, actor=user.actor))


def duplicate_campaign(id_: str, user: Caller) -> Answer:
    """A new draft like this campaign. Raises NotFound."""
    return _made(user, lifecycle.duplicate(user.tenant, id_, actor=user.actor))


def list_campaign_leads(
    id_: str, user: Caller, status: str | None = None, skip: int = 0, limit: int = 50, cursor: str | None = None
) -> Page:
    """`{"leads", "total"}`: a page of the ledger. Raises NotFound."""
    campaign = campaigns.get(user.tenant, id_)
    rows, following = campaign_ledger.page(user.tenant, campaign, status=status, limit=limit, skip=skip, cursor=cursor)
    talks = campaign_ledger.conversations_of(user.tenant, rows)
    total = campaign_ledger.count_of(user.tenant, campaign, status)
    return Page({"leads": [_lead(row, talks.get(row.id)) for row in rows], "total": total}, total, following)


def _lead(row: CampaignRecipient, conversation_oid: str | None) -> dict[str, Any]:
    members = {
        "leadId": row.lead_number,
        "status": row.status,
        "conversationId": conversation_oid,
        "reason": row.reason,
        "dueAt": row.due_at if row.state == "pending" else None,
        "at": row.updated_at,
    }
    return {name: value for name, value in members.items() if value}
