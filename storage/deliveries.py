"""What was tried to deliver messages, and how fast each provider may be asked.

An attempt is written down before its call, so that a call whose outcome nobody recorded is known to have been made:

    started → accepted | refused | deferred | unknown
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from peewee import JOIN, BigIntegerField, IntegerField, ModelDelete, ModelUpdate, TextField, fn

from . import clock, conversation_events
from .base import TenantModel
from .conversations import Conversation, Message
from .database import transaction
from .leads import locked
from .tenancy import Tenant

Outcome = Literal["accepted", "refused", "deferred", "unknown"]
IN_DOUBT = ("started", "unknown")
_MAY_HAVE_GONE = [*IN_DOUBT, "accepted"]


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
    """Write down how a call went; one that the provider is known to have accepted stays so."""
    values = {
        DeliveryAttempt.state: state,
        DeliveryAttempt.code: code,
        DeliveryAttempt.detail: detail,
        DeliveryAttempt.finished_at: clock.stamp(),
    }
    is_open = (DeliveryAttempt.id == attempt.id) & (DeliveryAttempt.state != "accepted")
    ModelUpdate(DeliveryAttempt, values).where(is_open).execute()


def doubt(tenant: Tenant, attempt: DeliveryAttempt, code: str, detail: str) -> None:
    """Write down that nobody is left to tell how a call went; nothing to do where somebody just did."""
    values = {
        DeliveryAttempt.state: "unknown",
        DeliveryAttempt.code: code,
        DeliveryAttempt.detail: detail,
        DeliveryAttempt.finished_at: clock.stamp(),
    }
    is_open = (DeliveryAttempt.id == attempt.id) & (DeliveryAttempt.state == "started")
    DeliveryAttempt.change(tenant, values).where(is_open).execute()


def latest(tenant: Tenant, message: Message) -> DeliveryAttempt | None:
    """The last call for this message; None if there was none."""
    found: DeliveryAttempt | None = (
        DeliveryAttempt.of(tenant)
        .where(DeliveryAttempt.message_id == message.id)
        .order_by(DeliveryAttempt.number.desc())
        .first()
    )
    return found


def is_accepted(tenant: Tenant, message: Message) -> bool:
    """Whether some call for this message is known to have been accepted."""
    accepted = (DeliveryAttempt.message_id == message.id) & (DeliveryAttempt.state == "accepted")
    return DeliveryAttempt.of(tenant, DeliveryAttempt.id).where(accepted).first() is not None


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
        Conversation.of(tenant, at)
        .join(Message, JOIN.INNER, on=(Message.conversation_id == Conversation.id))
        .join(DeliveryAttempt, JOIN.INNER, on=(DeliveryAttempt.message_id == Message.id))
        .where(Conversation.lead_number == lead_number)
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


class DeliveryPace(TenantModel):
    """When a provider may be asked next, by channel and scope: everybody, one person, or a pause of either."""

    channel = TextField()
    scope = TextField()
    free_at = TextField()


@dataclass(frozen=True, slots=True)
class Slot:
    """When a message may go. is_pause: the provider wants nothing before, and no place in the row is kept."""

    at: datetime
    is_pause: bool = False


EVERYBODY = "all"


def to_lead(number: int) -> str:
    """The scope of one person."""
    return f"lead/{number}"


def take_slot(tenant: Tenant, channel: str, paces_s: Mapping[str, float], now: datetime, *, has_one: bool) -> Slot:
    """The next free place in the row of a channel, kept for the caller, who comes back at that time (GCRA, no bursts).

    paces_s: the least seconds between two messages of each scope; where it is 0 nothing is kept. has_one: the caller
    comes back to a place that was kept.
    """
    held = _held(tenant, channel, [*paces_s, *map(_pause_of, paces_s)])
    pauses = [row.free_at for scope, row in held.items() if scope not in paces_s]
    until = max(map(clock.parse, pauses), default=now)
    if until > now:
        return Slot(until, is_pause=True)
    if has_one:
        return Slot(now)
    paced = sorted(scope for scope, pace_s in paces_s.items() if pace_s > 0)
    if any(scope not in held for scope in paced):
        _open(tenant, channel, paced, now)
        held = _held(tenant, channel, list(paces_s))
    at = max([now, *(clock.parse(row.free_at) for scope, row in held.items() if scope in paces_s)])
    for scope in paced:
        held[scope].store(free_at=clock.iso(at + timedelta(seconds=paces_s[scope])))
    return Slot(at)


def pause(tenant: Tenant, channel: str, scope: str, until: datetime) -> None:
    """Have nothing handed to the provider in this scope before then."""
    name, moment = _pause_of(scope), clock.iso(until)
    _open(tenant, channel, [name], until)
    same = (DeliveryPace.channel == channel) & (DeliveryPace.scope == name) & (DeliveryPace.free_at < moment)
    DeliveryPace.change(tenant, {DeliveryPace.free_at: moment}).where(same).execute()


def end_pause(tenant: Tenant, channel: str) -> None:
    """Forget that the provider wanted nothing from anybody."""
    same = (DeliveryPace.channel == channel) & (DeliveryPace.scope == _pause_of(EVERYBODY))
    DeliveryPace.remove(tenant).where(same).execute()


def purge_paces(before: datetime) -> int:
    """Delete what has not held anything back since then, of all tenants; returns how many."""
    old: Any = ModelDelete(DeliveryPace).where(DeliveryPace.free_at < clock.iso(before))
    with transaction():
        return int(old.execute())


def _pause_of(scope: str) -> str:
    return f"{scope}/pause"


def _held(tenant: Tenant, channel: str, scopes: list[str]) -> dict[str, DeliveryPace]:
    """The rows of these scopes, taken in one order by everybody until the caller's transaction ends."""
    mine = (DeliveryPace.channel == channel) & DeliveryPace.scope.in_(scopes)
    query: Any = DeliveryPace.of(tenant).where(mine).order_by(DeliveryPace.scope)
    return {row.scope: row for row in locked(query)}


def _open(tenant: Tenant, channel: str, scopes: list[str], free_at: datetime) -> None:
    rows: list[dict[Any, Any]] = [
        {DeliveryPace.channel: channel, DeliveryPace.scope: scope, DeliveryPace.free_at: clock.iso(free_at)}
        for scope in scopes
    ]
    DeliveryPace.add_all(tenant, rows).on_conflict(action="NOTHING").execute()


def note_wait(tenant: Tenant, message: Message, code: str, detail: str, until: datetime) -> None:
    """Show on a message why it waits, and until when; nothing to do where it is queued no more."""
    values = {
        Message.delivery_code: code,
        Message.delivery_detail: detail,
        Message.held_until: clock.iso(until),
    }
    is_queued = (Message.id == message.id) & (Message.delivery_status == "queued")
    if Message.change(tenant, values).where(is_queued).execute() and message.delivery_code != code:
        told = {"messageId": message.oid, "deliveryStatus": "queued", "deliveryCode": code}
        conversation_events.record(tenant, message.conversation_id, "delivery", told)


def note_disclosure(tenant: Tenant, conversation: Conversation, now: datetime) -> None:
    """Note that the person was told, for the first time in this conversation, that an AI is writing."""
    untold = (Conversation.id == conversation.id) & Conversation.ai_disclosed_at.is_null()
    Conversation.change(tenant, {Conversation.ai_disclosed_at: clock.iso(now)}).where(untold).execute()


def thread_of(tenant: Tenant, message: Message, limit: int) -> list[str]:
    """What the provider calls the lead's latest messages before this one, in order; the same at every attempt."""
    names = _heard_before(tenant, message, Message.provider_message_id).limit(limit)
    return [name for (name,) in names.tuples()][::-1]


def subject_of(tenant: Tenant, message: Message) -> str:
    """What the lead's latest email before this message was about; "" where none had a subject."""
    return next((subject for (subject,) in _heard_before(tenant, message, Message.subject).limit(1).tuples()), "")


def _heard_before(tenant: Tenant, message: Message, column: Any) -> Any:
    """A column of the lead's messages before this one where it says something, the latest first."""
    same = (Message.conversation_id == message.conversation_id) & (Message.seq < message.seq)
    query: Any = Message.of(tenant, column).where(same & (Message.role == "lead") & column.is_null(False))
    return query.order_by(Message.seq.desc())


def lanes_to(tenant: Tenant, lead_number: int) -> list[str]:
    """The lanes of the outbox in which messages to this person stand."""
    found: Any = Conversation.of(tenant, Conversation.oid).where(Conversation.lead_number == lead_number)
    return [lane_of(oid) for (oid,) in found.tuples()]


def lane_of(conversation_oid: str) -> str:
    """The lane in which a conversation's messages leave, one after the other."""
    return f"{conversation_oid}/out"
