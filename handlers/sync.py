"""Lead sync: a CRM's leads, up to a hundred at once."""

from __future__ import annotations

from typing import Any

from engine import phones
from storage import lead_sync, sync_items
from storage.sync_items import SyncItem, SyncRefusal
from storage.tenancy import Caller

from .answers import Body


def sync_leads(user: Caller, body: dict[str, Any]) -> Body:
    """What became of each item; items fail one by one."""
    read = [_read(index, raw, user.default_region) for index, raw in enumerate(body["leads"])]
    outcomes, refused = lead_sync.sync(
        user.tenant,
        [item for item in read if isinstance(item, SyncItem)],
        source=body.get("source", "api"),
        actor=user.actor,
        validate_only=body.get("validateOnly", False),
    )
    refused = sorted([*refused, *(item for item in read if isinstance(item, SyncRefusal))], key=lambda each: each.index)
    verbs = [outcome.verb for outcome in outcomes]
    return {
        "total": len(read),
        **{verb: verbs.count(verb) for verb in ("created", "updated", "unchanged")},
        "failed": len(refused),
        "errors": refused,
        "results": outcomes,
    }


def delete_synced_leads(user: Caller, body: dict[str, Any]) -> Body:
    """How many of the named leads were deleted; an id named twice counts once."""
    lead_ids = set(body["lead_ids"])
    deleted = lead_sync.delete(user.tenant, lead_ids, user.actor)
    return {"total": len(lead_ids), "deleted": deleted, "notFound": len(lead_ids) - deleted}


def _read(index: int, raw: dict[str, Any], region: str | None) -> SyncItem | SyncRefusal:
    if not raw.get("phone"):
        return sync_items.read(index, raw, "", True)
    try:
        phone = phones.normalize(raw["phone"], region)
    except phones.PhoneError as error:
        return SyncRefusal(index, "invalid_phone", str(error), raw.get("lead_id"))
    return sync_items.read(index, raw, phone.e164, phone.valid)
