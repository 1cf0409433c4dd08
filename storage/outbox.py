"""The outbox: intents that committed with the state they follow from. Workers act from these rows and no others."""

from __future__ import annotations

from peewee import BigAutoField, IntegerField, JSONField, TextField

from .base import Row


class OutboxRow(Row):
    """One thing to do: pending → claimed (under a lease) → done | failed. Rows of one `lane` are done in order."""

    id = BigAutoField()
    tenant_id = IntegerField()
    kind = TextField()
    lane = TextField()
    payload = JSONField(default=dict)
    state = TextField(default="pending")
    attempts = IntegerField(default=0)
    available_at = TextField()
    lease_until = TextField(null=True)
    lease_token = TextField(null=True)
    error = TextField(null=True)
    created_at = TextField()
    finished_at = TextField(null=True)
