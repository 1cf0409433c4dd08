"""What many conversations of a campaign need at once: facts of their leads, their rows, what became of messages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from peewee import JOIN, SQL, Case, NodeList, fn

from . import clock, usage
from .base import revived
from .bulk import any_id, as_ids, insert_all, insert_named
from .campaign_ledger import deliver_all
from .conversation_events import ConversationEvent
from .conversations import Conversation, Message
from .database import is_sqlite
from .deliveries import DeliveryAttempt
from .identities import ChannelIdentity
from .leads import Lead, live, locked
from .outbox import OutboxRow
from .statements import ANY_TENANT, slot, statement
from .tenancy import Tenant

_encode = msgspec.json.Encoder().encode
_MAY_HAVE_GONE = ["started", "unknown", "accepted"]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the leads of a batch, by their numbers."""

    leads: Mapping[int, Lead]
    heard: Mapping[int, Mapping[str, datetime]]
    sent: Mapping[int, Sequence[datetime]]
    addresses: Mapping[int, Sequence[str]]


def hold_leads(tenant: Tenant, numbers: Collection[int]) -> dict[int, Lead]:
    """Those of these leads that are not deleted, taken in the order of their numbers until the transaction ends."""
    rows = statement("campaign_batches.leads", _held_leads).run({"tenant": tenant.id, "leads": as_ids(numbers)})
    return {lead.number: lead for lead in revived(Lead, rows.fetchall())}


def _held_leads(*columns: Any) -> Any:
    named = any_id(Lead.number, slot("leads"))
    return locked(live(ANY_TENANT, *columns).where(named).order_by(Lead.number))


def take_leads(tenant: Tenant, numbers: Collection[int]) -> None:
    """Take these leads until the transaction ends, as `hold_leads` does, where it is known who they are."""
    if not is_sqlite():
        taking = statement("campaign_batches.take_leads", lambda: _held_leads(Lead.number))
        taking.run({"tenant": tenant.id, "leads": as_ids(numbers)})


def known_of(
    tenant: Tenant, leads: Mapping[int, Lead], channel: str, since: datetime | None, besides: Collection[int] = ()
) -> Known:
    """What compliance asks of held leads. since: how far back sent messages count; besides: messages that do not."""
    numbers = list(leads)
    sent = {} if since is None else _sent(tenant, numbers, since, set(besides))
    return Known(leads, _heard(tenant, numbers), sent, _addresses(tenant, numbers, channel))


def _heard(tenant: Tenant, numbers: Collection[int]) -> dict[int, dict[str, datetime]]:
    heard: dict[int, dict[str, datetime]] = defaultdict(dict)
    rows = statement("campaign_batches.heard", _last_heard).run({"tenant": tenant.id, "leads": as_ids(numbers)})
    for number, channel, at in rows.fetchall():
        heard[number][channel] = clock.parse(at)
    return heard


def _last_heard() -> Any:
    columns = (Conversation.lead_number, Conversation.channel, fn.MAX(Conversation.last_lead_message_at))
    return (
        Conversation.of(ANY_TENANT, *columns)
        .where(any_id(Conversation.lead_number, slot("leads")), Conversation.last_lead_message_at.is_null(False))
        .group_by(Conversation.lead_number, Conversation.channel)
    )


def _sent(
    tenant: Tenant, numbers: Collection[int], since: datetime, besides: Collection[int]
) -> dict[int, list[datetime]]:
    sent: dict[int, list[datetime]] = defaultdict(list)
    values = {"tenant": tenant.id, "leads": as_ids(numbers), "since": clock.iso(since)}
    for number, message_id, at in statement("campaign_batches.sent", _went).run(values).fetchall():
        if message_id not in besides:
            sent[number].append(clock.parse(at))
    return sent


def _went() -> Any:
    return (
        Conversation.of(ANY_TENANT, Conversation.lead_number, Message.id, fn.MAX(DeliveryAttempt.started_at))
        .join(Message, JOIN.INNER, on=(Message.conversation_id == Conversation.id))
        .join(DeliveryAttempt, JOIN.INNER, on=(DeliveryAttempt.message_id == Message.id))
        .where(any_id(Conversation.lead_number, slot("leads")), DeliveryAttempt.state.in_(_MAY_HAVE_GONE))
        .where(DeliveryAttempt.started_at > slot("since"))
        .group_by(Conversation.lead_number, Message.id)
    )


def _addresses(tenant: Tenant, numbers: Collection[int], channel: str) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    values = {"tenant": tenant.id, "leads": as_ids(numbers), "channel": channel}
    for number, address in statement("campaign_batches.addresses", _known_as).run(values).fetchall():
        found[number].append(address)
    return found


def _known_as() -> Any:
    mine = any_id(ChannelIdentity.lead_number, slot("leads"))
    query: Any = ChannelIdentity.of(ANY_TENANT, ChannelIdentity.lead_number, ChannelIdentity.address)
    query = query.where(mine, ChannelIdentity.channel == slot("channel"))
    return query.order_by(ChannelIdentity.created_at.desc(), ChannelIdentity.id.desc())


def talking(tenant: Tenant, numbers: Collection[int], channel: str) -> set[int]:
    """Those of these leads who have an active conversation on this channel."""
    values = {"tenant": tenant.id, "leads": as_ids(numbers), "channel": channel}
    return {number for (number,) in statement("campaign_batches.talking", _talking).run(values).fetchall()}


def _talking() -> Any:
    return Conversation.of(ANY_TENANT, Conversation.lead_number).where(
        any_id(Conversation.lead_number, slot("leads")),
        Conversation.channel == slot("channel"),
        Conversation.status == SQL("'active'"),
    )


def contacted(tenant: Tenant, numbers: Collection[int]) -> None:
    """Note on held leads that they are being written to now; a status beyond `new` stays."""
    values = {"tenant": tenant.id, "leads": as_ids(numbers), "now": clock.stamp()}
    statement("campaign_batches.contacted", _contacted).run(values)


def _contacted() -> Any:
    status = Case(None, [(Lead.status == SQL("'new'"), SQL("'contacted'"))], Lead.status)
    marks = {Lead.status: status, Lead.last_contacted_at: slot("now"), Lead.updated_at: slot("now")}
    return Lead.change(ANY_TENANT, marks).where(any_id(Lead.number, slot("leads")))


def open_all(tenant: Tenant, conversations: Sequence[Conversation], messages: Sequence[Message]) -> None:
    """Store new conversations and, where there are any, the first message of each in the same order."""
    insert_named(conversations)
    for conversation, message in zip(conversations, messages, strict=False):
        message.conversation_id = conversation.id
    insert_named(messages)
    note_events(tenant, "message", [(each.conversation_id, {"messageId": each.oid}) for each in messages])


def note_events(tenant: Tenant, type_: str, events: Sequence[tuple[int, dict[str, Any]]]) -> None:
    """Write an event of each of these conversations."""
    columns: dict[str, list[Any]] = {
        "conversation_id": [row_id for row_id, _ in events],
        "data": [data for _, data in events],
    }
    insert_all(ConversationEvent, columns, tenant_id=tenant.id, type=type_, created_at=clock.stamp())


def put_all(tenant: Tenant, rows: Sequence[tuple[str, str, dict[str, Any], datetime]]) -> None:
    """Store many intents at once, each as (kind, lane, payload, when it is due); their lanes are free."""
    columns: dict[str, list[Any]] = {
        "kind": [kind for kind, *_ in rows],
        "lane": [lane for _, lane, *_ in rows],
        "payload": [payload for *_, payload, _ in rows],
        "available_at": [clock.iso(at) for *_, at in rows],
    }
    insert_all(OutboxRow, columns, tenant_id=tenant.id, created_at=clock.stamp())


def queued(tenant: Tenant, ids: Collection[int]) -> tuple[list[tuple[Message, Conversation]], list[Message]]:
    """Those of these messages that are queued still: with their conversations where nobody has tried to deliver them,
    and those that somebody has begun to deliver.
    """
    rows = statement("campaign_batches.queued", _queued).run({"tenant": tenant.id, "ids": as_ids(ids)}).fetchall()
    messages = list(revived(Message, [row[:-1] for row in rows]))
    of_them = {"tenant": tenant.id, "ids": as_ids([each.conversation_id for each in messages])}
    found = statement("campaign_batches.conversations", _conversations).run(of_them).fetchall()
    talks = {each.id: each for each in revived(Conversation, found)}
    are_tried = [bool(row[-1]) for row in rows]
    fresh = [(each, talks[each.conversation_id]) for each, tried in zip(messages, are_tried, strict=True) if not tried]
    return fresh, [each for each, tried in zip(messages, are_tried, strict=True) if tried]


def _queued() -> Any:
    tried = DeliveryAttempt.of(ANY_TENANT, DeliveryAttempt.id).where(DeliveryAttempt.message_id == Message.id)
    query: Any = Message.of(ANY_TENANT, *Message._meta.sorted_fields, fn.EXISTS(tried))
    return query.where(any_id(Message.id, slot("ids")), Message.delivery_status == "queued").order_by(Message.id)


def _conversations() -> Any:
    return Conversation.of(ANY_TENANT).where(any_id(Conversation.id, slot("ids")))


def begin_all(tenant: Tenant, messages: Sequence[Message], now: datetime) -> None:
    """Write down that the provider is about to be called for each of these messages for the first time."""
    shared = {"tenant_id": tenant.id, "number": 1, "started_at": clock.iso(now)}
    insert_all(DeliveryAttempt, {"message_id": [each.id for each in messages]}, **shared)


def accept_all(tenant: Tenant, taken: Mapping[int, str], now: datetime) -> set[int]:
    """Note that these messages, by row id with what the provider calls each, were delivered; the ids for which that
    is news. Their leads are held.
    """
    values = {"tenant": tenant.id, "ids": as_ids(taken), "now": clock.iso(now)}
    statement("campaign_batches.accepted", _accepted).run(values)
    values["names"] = _encode({str(row_id): name for row_id, name in taken.items()}).decode()
    rows = statement("campaign_batches.delivered", _delivered).run(values).fetchall()
    told = [(place, {"messageId": oid, "deliveryStatus": "delivered"}) for _, oid, place, _ in rows]
    note_events(tenant, "delivery", told)
    deliver_all(tenant, [recipient for *_, recipient in rows if recipient is not None])
    usage.add(tenant, now, messages_sent=len(rows))
    return {row_id for row_id, *_ in rows}


def _accepted() -> Any:
    values = {DeliveryAttempt.state: "accepted", DeliveryAttempt.finished_at: slot("now")}
    return DeliveryAttempt.change(ANY_TENANT, values).where(
        any_id(DeliveryAttempt.message_id, slot("ids")), DeliveryAttempt.state == "started"
    )


def _delivered() -> Any:
    if is_sqlite():
        name = NodeList((SQL("json_extract("), slot("names"), SQL(", '$.\"' || "), Message.id, SQL(" || '\"')")))
    else:
        name = NodeList((SQL("("), slot("names"), SQL("::jsonb ->> "), Message.id, SQL("::text)")))
    values = {Message.delivery_status: "delivered", Message.provider_message_id: name, Message.held_until: None}
    moved = Message.change(ANY_TENANT, values).where(
        any_id(Message.id, slot("ids")), Message.delivery_status == "queued"
    )
    return moved.returning(Message.id, Message.oid, Message.conversation_id, Message.campaign_recipient_id)
