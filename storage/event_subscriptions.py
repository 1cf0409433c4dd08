"""Event subscriptions: addresses of an account that want to hear what happens.

    active ⇄ inactive        by the account
    active → disabled        by newleaf: the address said 410, or failed for days

`events` are types and patterns, separated by blanks. `secrets` is sealed text that only the engine opens.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from peewee import SQL, IntegerField, ModelSelect, TextField

from . import clock
from .base import TenantModel
from .database import is_sqlite
from .errors import NotFound
from .ids import new_id
from .paging import paginate
from .statements import ANY_TENANT, statement
from .tenancy import Tenant

ACTIVE = SQL("'active'")  # a literal, as in the index that holds active ones only


class EventSubscription(TenantModel):
    """An address, what it wants to hear, and how it has been doing."""

    oid = TextField()
    url = TextField()
    description = TextField(null=True)
    events = TextField()
    state = TextField(default="active")
    disabled_reason = TextField(null=True)
    secrets = TextField()
    previous_until = TextField(null=True)  # until when the secret before the last rotation signs too
    failures = IntegerField(default=0)  # in a row
    failing_since = TextField(null=True)
    paused_until = TextField(null=True)
    created_at = TextField()
    updated_at = TextField()


class Listener(NamedTuple):
    """An active subscription, as far as one needs to know it when something happens."""

    id: int
    oid: str
    patterns: tuple[str, ...]

    def wants(self, type_: str) -> bool:
        """Whether a pattern is this type, all types, or all of its kind."""
        return any(each in ("*", type_, f"{type_.partition('.')[0]}.*") for each in self.patterns)


def listeners(tenant: Tenant, type_: str) -> list[Listener]:
    """The tenant's active subscriptions that want this type: one look into a small index, with every event."""
    rows = statement("event_subscriptions.listeners", _listeners).run({"tenant": tenant.id}).fetchall()
    if not rows:
        return []
    return [each for id_, oid, events in rows if (each := Listener(id_, oid, tuple(events.split()))).wants(type_)]


def _listeners() -> ModelSelect:
    columns = (EventSubscription.id, EventSubscription.oid, EventSubscription.events)
    active = EventSubscription.of(ANY_TENANT, *columns).where(EventSubscription.state == ACTIVE)
    return active.order_by(EventSubscription.id)


def get(tenant: Tenant, oid: str) -> EventSubscription:
    """The subscription with this id. Raises NotFound, for another tenant's too."""
    return _found(EventSubscription.of(tenant).where(EventSubscription.oid == oid).first())


def lock(tenant: Tenant, oid: str) -> EventSubscription:
    """The subscription with this id, held until the caller's transaction ends. Raises NotFound."""
    return _found(taking(EventSubscription.of(tenant).where(EventSubscription.oid == oid)).first())


def taking(query: Any) -> Any:
    """The query, holding its rows until the transaction ends; others may refer to them meanwhile, as `emit` does."""
    return query if is_sqlite() else query.for_update("FOR NO KEY UPDATE")


def _found(subscription: EventSubscription | None) -> EventSubscription:
    if subscription is None:
        raise NotFound("event_subscription_not_found", "Event subscription not found")
    return subscription


def count(tenant: Tenant) -> int:
    """How many subscriptions the tenant has."""
    return int(EventSubscription.of(tenant).count())


def page(
    tenant: Tenant, *, limit: int, skip: int = 0, cursor: str | None = None
) -> tuple[list[EventSubscription], int, str | None]:
    """A page of subscriptions, the newest first: (subscriptions, how many there are, cursor of the next or None)."""
    keys = [EventSubscription.created_at, EventSubscription.oid]
    query = EventSubscription.of(tenant)
    rows, following = paginate(query, keys, order="event_subscriptions", limit=limit, skip=skip, cursor=cursor)
    return rows, count(tenant), following


def add(tenant: Tenant, **columns: Any) -> EventSubscription:
    """Store a new subscription. columns: oid, url, description, events, state, secrets."""
    moment = clock.stamp()
    return EventSubscription.add(tenant, **{"oid": new_id(), "created_at": moment, "updated_at": moment, **columns})


def delete(tenant: Tenant, subscription: EventSubscription) -> None:
    """Remove a held subscription with all that was delivered to it."""
    EventSubscription.remove(tenant).where(EventSubscription.id == subscription.id).execute()


def after(row_id: int, limit: int) -> list[EventSubscription]:
    """Subscriptions of all tenants in the order of their rows, from the one after this row on: to seal them anew."""
    rows: Any = ModelSelect(EventSubscription, EventSubscription._meta.sorted_fields)
    return list(rows.where(EventSubscription.id > row_id).order_by(EventSubscription.id).limit(limit))
