"""Taking events in: each is stored once, with the outbox row that has it processed, before a provider gets its answer.

A provider that was answered 200 never sends that event again, so what is stored here is all there will ever be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from engine.channels import Event
from engine.inbound.events import contact_of, to_store
from engine.jobs import doorbell
from storage import inbox, outbox
from storage.database import after_commit, transaction
from storage.tenancy import Tenant


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of one tenant on one channel, in the order in which they came."""

    tenant: Tenant
    channel: str
    events: Sequence[Event]


def accept(tenant: Tenant, channel: str, events: Sequence[Event]) -> int:
    """Store these events, in order, and queue them; how many were new. One that was stored before changes nothing."""
    return accept_all([Batch(tenant, channel, events)])


def accept_all(batches: Sequence[Batch]) -> int:
    """Store events of several tenants in one transaction: all of a webhook's body, or nothing of it."""
    with transaction():
        inbox.line_up([(batch.tenant, batch.channel, contact_of(event)) for batch in batches for event in batch.events])
        return sum(_accept(batch) for batch in batches)


def _accept(batch: Batch) -> int:
    new = [to_store(event) for event in batch.events]
    kept = inbox.store(batch.tenant, batch.channel, new)
    stored = len(kept)
    for event in new:
        row_id = kept.pop(event.event_id, None)  # an id twice in one body is one event
        if row_id is None or event.reason is not None:
            continue
        lane = lane_of(batch.tenant, batch.channel, event.contact)
        outbox.put(batch.tenant, "inbound", lane, {"event": row_id})
        after_commit(partial(doorbell.ring, lane))
    return stored


def lane_of(tenant: Tenant, channel: str, contact: str) -> str:
    """The lane in which a contact's events are processed, one after the other."""
    return f"in/{tenant.id}/{channel}/{contact}"
