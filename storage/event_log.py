"""What happened, for those outside who want to hear it: events, to whom each goes, and every attempt to tell them.

An event is written in the transaction of what it tells, with a delivery and an outbox row for every subscription that
wants it; where none does, nothing is written and its body is not even made.

    pending → delivered
       ↑ ↓        ↑       round: how often it was asked for; tries: attempts in this round
       └ failed ──┘       replay begins a new round
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
from peewee import BigIntegerField, IntegerField, ModelDelete, ModelSelect, TextField

from . import clock, event_subscriptions, outbox
from .base import TenantModel
from .database import after_commit, transaction
from .errors import NotFound
from .event_subscriptions import EventSubscription, Listener, taking
from .ids import new_id
from .outbox import OutboxRow
from .paging import paginate
from .tenancy import Tenant

KIND = "send_event"
MOST_REPLAYED = 1000  # with one request
_AT_ONCE = 500  # rows of one INSERT
_encode = msgspec.json.Encoder().encode

_announce: list[Callable[[str], Any]] = []  # who is told of lanes; storage knows no doorbell


class EventOccurrence(TenantModel):
    """Something that happened; `oid` is the `webhook-id` of every attempt to tell it, `payload` their body."""

    oid = TextField()
    type = TextField()
    lead_number = IntegerField(null=True)  # of the person whom it is about
    payload = TextField()
    created_at = TextField()


class EventDelivery(TenantModel):
    """An event on its way to one subscription."""

    oid = TextField()
    subscription_id = BigIntegerField()
    event_oid = TextField()
    type = TextField()
    state = TextField(default="pending")
    round = IntegerField(default=1)
    tries = IntegerField(default=0)
    attempts = IntegerField(default=0)  # of all rounds
    next_attempt_at = TextField(null=True)
    failure_code = TextField(null=True)
    created_at = TextField()
    finished_at = TextField(null=True)


class EventAttempt(TenantModel):
    """One call of the address: `started` stands there before it is made, so that none is made unseen."""

    delivery_id = BigIntegerField()
    number = IntegerField()
    outcome = TextField(default="started")
    status_code = IntegerField(null=True)
    duration_ms = IntegerField(null=True)
    answer = TextField(null=True)
    detail = TextField(null=True)
    created_at = TextField()


def announce_to(tell: Callable[[str], Any]) -> None:
    """Have this told the lane of what was stored, once that is committed."""
    _announce[:] = [tell]


def lane_of(subscription_oid: str) -> str:
    """The lane in which a subscription is told things for the first time, in order."""
    return f"event/{subscription_oid}"


def emit(tenant: Tenant, type_: str, data: Callable[[], Any], *, lead: int | None = None) -> int:
    """Note that something happened, in the caller's transaction; how many subscriptions will hear it.

    data: makes the object that the event is about, in the contract's JSON; it is called only if somebody wants it.
    lead: the number of the lead whose data that is, so that it can be erased.
    """
    wanted = event_subscriptions.listeners(tenant, type_)
    if wanted:
        _store(tenant, type_, [(lead, data())], wanted)
    return len(wanted)


def is_wanted(tenant: Tenant, type_: str) -> bool:
    """Whether an active subscription wants this type: for those who have to look up whom an event is about."""
    return bool(event_subscriptions.listeners(tenant, type_))


def emit_all(tenant: Tenant, type_: str, facts: Callable[[], Iterable[tuple[int | None, Any]]]) -> int:
    """The same for many at once, with a few statements. facts: (lead, data) of each."""
    wanted = event_subscriptions.listeners(tenant, type_)
    if wanted:
        _store(tenant, type_, list(facts()), wanted)
    return len(wanted)


def emit_to(tenant: Tenant, subscription: EventSubscription, type_: str, data: Any) -> EventDelivery:
    """Tell this one subscription alone, whatever it wants."""
    listener = Listener(subscription.id, subscription.oid, ())
    [oid] = _store(tenant, type_, [(None, data)], [listener])
    return delivery(tenant, subscription, oid)


def _store(
    tenant: Tenant, type_: str, facts: Sequence[tuple[int | None, Any]], wanted: Sequence[Listener]
) -> list[str]:
    """Write events with deliveries and outbox rows; the ids of the deliveries."""
    moment = clock.stamp()
    events = [
        {
            "oid": new_id(),
            "type": type_,
            "lead_number": lead,
            "payload": _encode({"type": type_, "timestamp": moment, "data": data}).decode(),
            "created_at": moment,
        }
        for lead, data in facts
    ]
    _insert_all(tenant, EventOccurrence, events)
    made: list[str] = []
    for listener in wanted:
        rows = [_new_delivery(listener, event, moment) for event in events]
        _insert_all(tenant, EventDelivery, rows)
        _queue(tenant, listener.oid, [(row["oid"], 1) for row in rows])
        made += [row["oid"] for row in rows]
    return made


def _new_delivery(listener: Listener, event: dict[str, Any], moment: str) -> dict[str, Any]:
    return {
        "oid": new_id(),
        "subscription_id": listener.id,
        "event_oid": event["oid"],
        "type": event["type"],
        "state": "pending",
        "round": 1,
        "tries": 0,
        "attempts": 0,
        "next_attempt_at": moment,
        "created_at": moment,
    }


def _insert_all(tenant: Tenant, model: type[TenantModel], rows: Sequence[dict[str, Any]]) -> None:
    columns = model._meta.fields
    for start in range(0, len(rows), _AT_ONCE):
        values = [{columns[name]: value for name, value in row.items()} for row in rows[start : start + _AT_ONCE]]
        model.add_all(tenant, values).execute()


def _queue(tenant: Tenant, subscription_oid: str, deliveries: Sequence[tuple[str, int]]) -> None:
    """Have deliveries attempted, each in this round."""
    lane, moment = lane_of(subscription_oid), clock.stamp()
    shared = {"tenant_id": tenant.id, "kind": KIND, "lane": lane, "available_at": moment, "created_at": moment}
    rows = [{**shared, "payload": {"delivery": oid, "round": turn}} for oid, turn in deliveries]
    for start in range(0, len(rows), _AT_ONCE):
        OutboxRow.insert_many(rows[start : start + _AT_ONCE]).execute()
    for tell in _announce:
        after_commit(partial(tell, lane))


def queue_retry(tenant: Tenant, subscription_oid: str, found: EventDelivery, at: datetime) -> None:
    """Have a delivery attempted again at `at`, in a lane of its own: those behind it need not wait for days."""
    lane = f"{lane_of(subscription_oid)}/{found.oid}"
    outbox.put(tenant, KIND, lane, {"delivery": found.oid, "round": found.round}, available_at=at)


def delivery(tenant: Tenant, subscription: EventSubscription, oid: str) -> EventDelivery:
    """The delivery to this subscription with this id. Raises NotFound."""
    of_subscription = EventDelivery.subscription_id == subscription.id
    return _found(EventDelivery.of(tenant).where(of_subscription & (EventDelivery.oid == oid)).first())


def held(tenant: Tenant, oid: str) -> tuple[EventSubscription, EventDelivery] | None:
    """The delivery with this id and to whom it is, both held until the caller's transaction ends; None if it is gone.

    The subscription is locked first, by everybody.
    """
    query = EventDelivery.of(tenant).where(EventDelivery.oid == oid)
    known = query.first()
    if known is None:
        return None
    owner = EventSubscription.of(tenant).where(EventSubscription.id == known.subscription_id)
    subscription = taking(owner).first()
    found = taking(query).first()
    return None if subscription is None or found is None else (subscription, found)


def _found(found: EventDelivery | None) -> EventDelivery:
    if found is None:
        raise NotFound("event_delivery_not_found", "Event delivery not found")
    return found


def event_of(tenant: Tenant, found: EventDelivery) -> EventOccurrence:
    """What is delivered."""
    event: EventOccurrence = EventOccurrence.of(tenant).where(EventOccurrence.oid == found.event_oid).first()
    return event


def page(
    tenant: Tenant,
    subscription: EventSubscription,
    *,
    state: str | None = None,
    limit: int,
    skip: int = 0,
    cursor: str | None = None,
) -> tuple[list[EventDelivery], int, str | None]:
    """A page of a subscription's deliveries, the newest first: (deliveries, how many, cursor of the next or None)."""
    query = EventDelivery.of(tenant).where(EventDelivery.subscription_id == subscription.id)
    if state is not None:
        query = query.where(EventDelivery.state == state)
    keys = [EventDelivery.created_at, EventDelivery.oid]
    rows, following = paginate(query, keys, order="event_deliveries", limit=limit, skip=skip, cursor=cursor)
    return rows, query.count(), following


def attempts(tenant: Tenant, found: Sequence[EventDelivery]) -> dict[int, list[EventAttempt]]:
    """The attempts of each of these deliveries in their order, by the delivery's row id: one query."""
    by_id: dict[int, list[EventAttempt]] = {each.id: [] for each in found}
    if by_id:
        query: Any = EventAttempt.of(tenant).where(EventAttempt.delivery_id.in_(list(by_id)))
        for row in query.order_by(EventAttempt.number):
            by_id[row.delivery_id].append(row)
    return by_id


def begin_attempt(tenant: Tenant, found: EventDelivery) -> EventAttempt:
    """Note on a held delivery that its address is about to be called. One that nobody finished stays `unknown`."""
    unfinished = (EventAttempt.delivery_id == found.id) & (EventAttempt.outcome == "started")
    EventAttempt.change(tenant, {EventAttempt.outcome: "unknown"}).where(unfinished).execute()
    found.store(tries=found.tries + 1, attempts=found.attempts + 1)
    return EventAttempt.add(tenant, delivery_id=found.id, number=found.attempts, created_at=clock.stamp())


def replay(tenant: Tenant, subscription: EventSubscription, found: Sequence[EventDelivery]) -> int:
    """Begin a new round of these deliveries to a held subscription; how many. One that is pending goes on as it is."""
    again = [each for each in found if each.state != "pending"]
    moment = clock.stamp()
    if again:
        values = {
            EventDelivery.state: "pending",
            EventDelivery.round: EventDelivery.round + 1,
            EventDelivery.tries: 0,
            EventDelivery.next_attempt_at: moment,
            EventDelivery.failure_code: None,
            EventDelivery.finished_at: None,
        }
        EventDelivery.change(tenant, values).where(EventDelivery.id.in_([each.id for each in again])).execute()
        _queue(tenant, subscription.oid, [(each.oid, each.round + 1) for each in again])
    return len(again)


def finished_since(
    tenant: Tenant, subscription: EventSubscription, since: str, *, only_failed: bool
) -> list[EventDelivery]:
    """Deliveries of events from `since` on that are not pending, the oldest first, at most MOST_REPLAYED."""
    states = ["failed"] if only_failed else ["delivered", "failed"]
    query: Any = EventDelivery.of(tenant).where(
        (EventDelivery.subscription_id == subscription.id)
        & (EventDelivery.created_at >= since)
        & EventDelivery.state.in_(states)
    )
    ordered = query.order_by(EventDelivery.created_at, EventDelivery.oid)
    return list(taking(ordered.limit(MOST_REPLAYED)))


def erase_subject(tenant: Tenant, lead_number: int) -> int:
    """Remove all events about a lead with their deliveries and attempts, in the caller's transaction; how many."""
    return int(EventOccurrence.remove(tenant).where(EventOccurrence.lead_number == lead_number).execute())


def purge(before: datetime, batch: int = 1000) -> int:
    """Delete events of all tenants older than this, with all that hangs on them, at most `batch`; returns how many."""
    old: Any = ModelSelect(EventOccurrence, [EventOccurrence.id]).where(EventOccurrence.created_at < clock.iso(before))
    with transaction():
        ids = [row.id for row in old.order_by(EventOccurrence.created_at).limit(batch)]
        return int(ModelDelete(EventOccurrence).where(EventOccurrence.id.in_(ids)).execute())
