"""The audit log: every write leaves an entry in its own transaction."""

from __future__ import annotations

from typing import Any

import msgspec
from peewee import JSONField, ModelInsert, TextField

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


def record(
    tenant: Tenant,
    actor: Actor,
    action: str,
    resource_id: str | int,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Write an entry, in the caller's transaction. `action` is `resource_type.verb`; metadata holds no secret."""
    recording = statement("audit.record", _inserted)
    recording.run(
        {
            "id": new_id(),
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
        }
    )


def _inserted() -> ModelInsert:
    return ModelInsert(AuditEntry, {column.name: slot(column.name) for column in AuditEntry._meta.sorted_fields})
