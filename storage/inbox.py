"""Inbound events, stored once each before anything else happens."""

from __future__ import annotations

from typing import Any

from peewee import JSONField, TextField

from . import clock
from .base import TenantModel
from .tenancy import Tenant


class InboundEvent(TenantModel):
    """Something a channel told us; unique by tenant, channel and the provider's own event id."""

    channel = TextField()
    event_id = TextField()
    payload = JSONField()
    created_at = TextField()


def store(tenant: Tenant, channel: str, event_id: str, payload: dict[str, Any]) -> bool:
    """Keep the event, in the caller's transaction; False if this very event was kept before.

    On PostgreSQL a repetition waits for the transaction that stores the first, and is told apart once that commits.
    """
    event = {
        InboundEvent.channel: channel,
        InboundEvent.event_id: event_id,
        InboundEvent.payload: payload,
        InboundEvent.created_at: clock.stamp(),
    }
    return bool(InboundEvent.add_all(tenant, [event]).on_conflict_ignore().as_rowcount().execute())
