"""Inbound events, stored once each before anything else happens, and what became of them.

stored → done | ignored (with a reason) | failed (parked for a person to look at)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from peewee import JSONField, TextField

from . import clock
from .base import TenantModel
from .database import database, is_sqlite
from .errors import NotFound
from .tenancy import Tenant

MAX_REASON = 500
_STRIPES = 64  # locks of a tenant's channel: a provider's largest batch takes no more than these

State = Literal["stored", "done", "ignored", "failed"]


class InboundEvent(TenantModel):
    """Something a channel told us; unique by tenant, channel and the provider's own event id.

    contact: what orders it. payload: what it says and the provider's own words. reason: why it was ignored, or failed.
    """

    channel = TextField()
    event_id = TextField()
    payload = JSONField()
    created_at = TextField()
    contact = TextField(null=True)
    state = TextField(default="done")
    reason = TextField(null=True)
    processed_at = TextField(null=True)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to store; one that is ignored says why."""

    event_id: str
    contact: str
    payload: dict[str, Any]
    reason: str | None = None


def line_up(lanes: Sequence[tuple[Tenant, str, str]]) -> None:
    """Be the only one to store events of these contacts until the transaction ends; (tenant, channel, contact) each.

    Events of one contact are then numbered in the order in which they become visible. SQLite's write lock does that.
    """
    if is_sqlite() or not lanes:
        return
    keys = sorted({_stripe(tenant, channel, contact) for tenant, channel, contact in lanes})  # sorted: no deadlock
    database.execute_sql("SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) AS key", (keys,))


def _stripe(tenant: Tenant, channel: str, contact: str) -> int:
    stripe = int.from_bytes(hashlib.sha256(contact.encode()).digest()[:8], "big") % _STRIPES
    whole = hashlib.sha256(f"inbound/{tenant.id}/{channel}/{stripe}".encode()).digest()
    return int.from_bytes(whole[:8], "big", signed=True)


def store(tenant: Tenant, channel: str, events: Sequence[NewEvent]) -> dict[str, int]:
    """Keep events, in the caller's transaction; row ids by event id of those that were not kept before.

    On PostgreSQL a repetition waits for the transaction that stores the first, and is told apart once that commits.
    """
    if not events:
        return {}
    moment = clock.stamp()
    rows: list[dict[Any, Any]] = [
        {
            InboundEvent.channel: channel,
            InboundEvent.event_id: event.event_id,
            InboundEvent.contact: event.contact,
            InboundEvent.payload: event.payload,
            InboundEvent.state: "stored" if event.reason is None else "ignored",
            InboundEvent.reason: event.reason,
            InboundEvent.created_at: moment,
            InboundEvent.processed_at: None if event.reason is None else moment,
        }
        for event in events
    ]
    inserting: Any = InboundEvent.add_all(tenant, rows).on_conflict(action="NOTHING")
    kept = inserting.returning(InboundEvent.id, InboundEvent.event_id).tuples().execute()
    return {event_id: int(row_id) for row_id, event_id in kept}


def get(tenant: Tenant, row_id: int) -> InboundEvent:
    """The event in this row. Raises NotFound."""
    found: InboundEvent | None = InboundEvent.of(tenant).where(InboundEvent.id == row_id).first()
    if found is None:
        raise NotFound("event_not_found", "Event not found")
    return found


def settle(tenant: Tenant, row_id: int, state: State, reason: str | None = None) -> None:
    """Note what became of an event, in the transaction of its effect."""
    InboundEvent.change(
        tenant,
        {
            InboundEvent.state: state,
            InboundEvent.reason: reason and reason[:MAX_REASON],
            InboundEvent.processed_at: clock.stamp(),
        },
    ).where(InboundEvent.id == row_id).execute()
