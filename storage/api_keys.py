"""API keys: only their SHA-256 is stored."""

from __future__ import annotations

from peewee import IntegerField, JSONField, TextField

from .base import AccountModel


class ApiKey(AccountModel):
    """A credential of an account for one of its environments."""

    tenant_id = IntegerField()
    environment = TextField()
    name = TextField()
    key_hash = TextField()
    key_hint = TextField()
    scopes = JSONField(default=list)
    roles = JSONField(default=list)
    status = TextField(default="active")  # active | revoked; `expired` follows from expires_at
    ip_allowlist = JSONField(default=list)
    expires_at = TextField(null=True)
    last_used_at = TextField(null=True)
    created_at = TextField()
