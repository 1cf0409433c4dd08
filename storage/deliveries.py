"""What was tried to deliver messages, and how fast each provider may be asked.

An attempt is written down before its call, so that a call whose outcome nobody recorded is known to have been made:

    started → accepted | refused | deferred | unknown
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from peewee import JOIN, BigIntegerField, IntegerField, TextField, fn

from . import clock
from .base import TenantModel
from .conversations import Conversation, Message
from .tenancy import Tenant

Outcome = Literal["accepted", "refused", "deferred", "unknown"]
_MAY_HAVE_GONE = ["started", "accepted", "unknown"]


class DeliveryAttempt(TenantModel):
    """One call to a provider for one message; `number` counts from 1 within the message."""

    message_id = BigIntegerField()
    number = IntegerField()
    state = TextField(default="started")
    code = TextField(null=True)
    detail = TextField(null=True)
    started_at = TextField()
    finished_at = TextField(null=True)


def begin(tenant: Tenant, message: Message, now: datetime) -> DeliveryAttempt:
    """Write down that the provider is about to be called; the caller holds the message's outbox row."""
    last = latest(tenant, message)
    number = 1 if last is None else last.number + 1
    return DeliveryAttempt.add(tenant, message_id=message.id, number=number, started_at=clock.iso(now))


def finish(attempt: DeliveryAttempt, state: Outcome, code: str | None = None, detail: str | None = None) -> None:
    """Write down how a call went."""
    attempt.store(state=state, code=code, detail=detail, finished_at=clock.stamp())


def latest(tenant: Tenant, message: Message) -> DeliveryAttempt | None:
    """The last call for this message; None if there was none."""
    found: DeliveryAttempt | None = (
        DeliveryAttempt.of(tenant)
        .where(DeliveryAttempt.message_id == message.id)
        .order_by(DeliveryAttempt.number.desc())
        .first()
    )
    return found


def of_message(tenant: Tenant, message: Message) -> list[DeliveryAttempt]:
    """All calls for this message, in order."""
    mine: Any = DeliveryAttempt.of(tenant).where(DeliveryAttempt.message_id == message.id)
    return list(mine.order_by(DeliveryAttempt.number))


def sent_to(
    tenant: Tenant, lead_number: int, since: datetime, limit: int, *, besides: Message | None = None
) -> list[datetime]:
    """When the latest messages went to this person on any channel, or may have gone; the latest first.

    besides: a message that does not count.
    """
    at: Any = fn.MAX(DeliveryAttempt.started_at)
    query: Any = (
        DeliveryAttempt.of(tenant, at)
        .join(Message, JOIN.INNER, on=(Message.id == DeliveryAttempt.message_id))
        .join(Conversation, JOIN.INNER, on=(Conversation.id == Message.conversation_id))
        .where((Conversation.tenant_id == tenant.id) & (Conversation.lead_number == lead_number))
        .where((DeliveryAttempt.started_at > clock.iso(since)) & DeliveryAttempt.state.in_(_MAY_HAVE_GONE))
        .group_by(Message.id)
        .order_by(at.desc())
        .limit(limit)
    )
    if besides is not None:
        query = query.where(Message.id != besides.id)
    return [clock.parse(moment) for (moment,) in query.tuples()]


def heard_from(tenant: Tenant, lead_number: int) -> dict[str, datetime]:
    """When this person last wrote, by channel."""
    mine = (Conversation.lead_number == lead_number) & Conversation.last_lead_message_at.is_null(False)
    query: Any = Conversation.of(tenant, Conversation.channel, fn.MAX(Conversation.last_lead_message_at)).where(mine)
    return {channel: clock.parse(at) for channel, at in query.group_by(Conversation.channel).tuples()}
