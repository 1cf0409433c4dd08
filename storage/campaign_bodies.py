"""A campaign in the contract's words: what the API answers and what events carry."""

from __future__ import annotations

from typing import Any

from . import campaign_ledger
from .campaign_ledger import Counts
from .campaigns import Campaign
from .tenancy import Tenant


def campaign(tenant: Tenant, found: Campaign, counts: Counts | None = None) -> dict[str, Any]:
    """A Campaign of the contract, with its stats as they stand."""
    counts = counts or campaign_ledger.counts(tenant, [found])[found.id]
    members = {
        "_id": found.oid,
        "accountId": tenant.account_id,
        "name": found.name,
        "agentConfigId": found.agent_config_id,
        "channel": found.channel,
        "status": found.status,
        "pausedReason": found.reason if found.status == "paused" else None,
        "completedReason": found.reason if found.status == "completed" else None,
        "message": found.message,
        "template": found.template,
        "schedule": found.schedule,
        "leadFilter": found.lead_filter,
        "advancedFilter": found.advanced_filter,
        "leadIds": found.lead_ids,
        "stats": stats(counts),
        "startedAt": found.started_at,
        "completedAt": found.completed_at,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
    }
    return {name: value for name, value in members.items() if value is not None}


def stats(counts: Counts) -> dict[str, int]:
    """The counts; whose first message is on its way is pending still."""
    shown = counts._asdict()
    shown["pending"] += shown.pop("queued")
    return shown
