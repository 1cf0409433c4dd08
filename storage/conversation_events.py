"""What happened in a conversation, in order, for those who follow it while it goes on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from peewee import BigIntegerField, JSONField, ModelDelete, ModelSelect, TextField, fn

from . import clock
from .base import TenantModel
from .database import transaction
from .tenancy import Tenant


class ConversationEvent(TenantModel):
    """One thing that happened: message | delivery | stage | status. `id` counts up within a conversation."""

    conversation_id = BigIntegerField()
    type = TextField()
    data = JSONField(default=dict)
    created_at = TextField()


def record(tenant: Tenant, conversation_id: int, type_: str, data: dict[str, Any]) -> None:
    """Write an event, in the caller's transaction, which holds the conversation or the message that it is about."""
    ConversationEvent.add(tenant, conversation_id=conversation_id, type=type_, data=data, created_at=clock.stamp())


def after(tenant: Tenant, conversation_id: int, event_id: int, limit: int = 100) -> list[ConversationEvent]:
    """The events of a conversation that follow this one, in order."""
    later = (ConversationEvent.conversation_id == conversation_id) & (ConversationEvent.id > event_id)
    query: Any = ConversationEvent.of(tenant).where(later).order_by(ConversationEvent.id).limit(limit)
    return list(query)


def latest(tenant: Tenant, conversation_id: int) -> int:
    """The id of the last event of a conversation; 0 if there is none."""
    of_conversation = ConversationEvent.conversation_id == conversation_id
    found = ConversationEvent.of(tenant, fn.MAX(ConversationEvent.id)).where(of_conversation).scalar()
    return int(found or 0)


def purge(before: datetime, batch: int = 1000) -> int:
    """Delete events of all tenants made before this moment, at most `batch`; returns how many.

    The conversation keeps what they told: they are only for those who follow it while it goes on.
    """
    old: Any = ModelSelect(ConversationEvent, [ConversationEvent.id])
    old = (
        old.where(ConversationEvent.created_at < clock.iso(before)).order_by(ConversationEvent.created_at).limit(batch)
    )
    with transaction():
        ids = [row.id for row in old]
        return int(ModelDelete(ConversationEvent).where(ConversationEvent.id.in_(ids)).execute())
