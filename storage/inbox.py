"""Inbound events, stored once each before anything else happens."""

from __future__ import annotations

from peewee import JSONField, TextField

from .base import TenantModel


class InboundEvent(TenantModel):
    """Something a channel told us; unique by tenant, channel and the provider's own event id."""

    channel = TextField()
    event_id = TextField()
    payload = JSONField()
    created_at = TextField()
