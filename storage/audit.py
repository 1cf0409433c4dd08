"""The audit log: every write leaves an entry in its own transaction."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from peewee import BigIntegerField, JSONField, ModelInsert, TextField

from . import clock
from .base import AccountModel
from .ids import new_id
from .statements import slot, statement
from .tenancy import Actor, Tenant

_encode = msgspec.json.Encoder().encode


class AuditEntry(AccountModel):
    """Who did what to which object, when and from where."""

    environment = TextField()
    actor_type = TextField()
    actor_id = TextField()
    actor_name = TextField()
    actor_ip = TextField(null=True)
    request_id = TextField(null=True)
    action = TextField()
    resource_type = TextField()
    resource_id = TextField()
    metadata = JSONField(default=dict)
    created_at = TextField()
    seq = BigIntegerField(null=True)  # this and what follows is of storage/audit_chain.py
    hash = TextField(null=True)
    salt = TextField(null=True)
    digests = TextField(null=True)


def record(
    tenant: Tenant,
    actor: Actor,
    action: str,
    resource_id: str | int,
    metadata: dict[str, Any] | None = None,
) -> str:
    """Write an entry, in the caller's transaction; its id. `action` is `resource_type.verb`; metadata has no secret.

    It gets its place in the account's chain later, so that writers do not wait for each other.
    """
    recording, entry_id = statement("audit.record", _inserted), new_id()
    recording.run(
        {
            "id": entry_id,
            "account_id": tenant.account_id,
            "environment": tenant.environment,
            "actor_type": actor.type,
            "actor_id": actor.id,
            "actor_name": actor.display_name,
            "actor_ip": actor.ip,
            "request_id": actor.request_id,
            "action": action,
            "resource_type": action.partition(".")[0],
            "resource_id": str(resource_id),
            "metadata": _encode(metadata or {}).decode(),
            "created_at": clock.stamp(),
            "salt": new_salt(),
        }
    )
    return entry_id


def new_salt() -> str:
    """What makes the digest of a short value impossible to guess."""
    return secrets.token_hex(16)


def _inserted() -> ModelInsert:
    given = [column.name for column in AuditEntry._meta.sorted_fields if column.name not in ("seq", "hash", "digests")]
    return ModelInsert(AuditEntry, {name: slot(name) for name in given})
