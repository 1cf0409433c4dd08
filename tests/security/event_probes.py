"""Probes of event subscriptions: what hangs on a subscription or a delivery that was read in another tenant."""

from __future__ import annotations

from typing import Any

from storage import event_log, event_subscriptions
from storage.errors import NotFound
from storage.event_log import EventDelivery, EventOccurrence
from storage.event_subscriptions import EventSubscription
from storage.tenancy import Tenant

from .worlds import Party, World

_WANTED = "event_subscription.disabled"  # by the active subscription of each party
_SOME_LEAD = 900007  # of whom an event is told
_LONG_AGO = "2000-01-01T00:00:00.000Z"


def _parties(world: World) -> tuple[Tenant, Party]:
    assert world.victim is not None
    return world.attacker.tenant, world.victim


def _said(name: str, answer: Any) -> str | None:
    return f"{name} found {answer!r}" if answer else None


def _owned(party: Party, number: int = 0) -> tuple[EventSubscription, EventDelivery]:
    """A subscription of the party, the first an active one, and what was delivered to it."""
    subscription = event_subscriptions.get(party.tenant, party.values["event subscription"][number])
    return subscription, event_log.delivery(party.tenant, subscription, party.values["event delivery"][number])


def _finds(call: Any) -> bool:
    try:
        return bool(call())
    except NotFound:
        return False


def who_hears_what_happens_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    subscription, _ = _owned(victim)
    heard = [each.oid for each in event_subscriptions.listeners(attacker, _WANTED)]
    return _said("listeners", subscription.oid in heard)


def a_subscription_by_its_id(world: World) -> str | None:
    attacker, victim = _parties(world)
    subscription, delivery = _owned(victim)
    ways: dict[str, Any] = {
        "get": lambda: event_subscriptions.get(attacker, subscription.oid),
        "lock": lambda: event_subscriptions.lock(attacker, subscription.oid),
        "held": lambda: event_log.held(attacker, delivery.oid),
    }
    return _said("a subscription", [name for name, call in ways.items() if _finds(call)])


def a_count_of_subscriptions(world: World) -> str | None:
    own = len(world.attacker.values["event subscription"])
    counted = event_subscriptions.count(world.attacker.tenant)
    listed, _, _ = event_subscriptions.page(world.attacker.tenant, limit=100)
    return _said("count or page", counted - own or len(listed) - own)


def what_hangs_on_a_subscription(world: World) -> str | None:
    attacker, victim = _parties(world)
    subscription, delivery = _owned(victim)
    ways: dict[str, Any] = {
        "delivery": lambda: event_log.delivery(attacker, subscription, delivery.oid),
        "page": lambda: event_log.page(attacker, subscription, limit=10)[0],
        "finished_since": lambda: event_log.finished_since(attacker, subscription, _LONG_AGO, only_failed=False),
        "event_of": lambda: event_log.event_of(attacker, delivery),
        "attempts": lambda: event_log.attempts(attacker, [delivery])[delivery.id],
    }
    return _said("what hangs on it", [name for name, call in ways.items() if _finds(call)])


def a_delivery_that_has_strayed_to_a_subscription(world: World) -> str | None:
    """A delivery to the other's subscription, once of the attacker's and once of the victim's: neither may be held."""
    attacker, victim = _parties(world)
    (own, ours), (other, theirs) = _owned(world.attacker), _owned(victim)
    ours.store(subscription_id=other.id)
    theirs.store(subscription_id=own.id)
    return _said("held", [each for each in (ours, theirs) if event_log.held(attacker, each.oid)])


def deleting_a_subscription_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    subscription, _ = _owned(victim)
    event_subscriptions.delete(attacker, subscription)
    kept = EventSubscription.of(victim.tenant).where(EventSubscription.id == subscription.id).count()
    return _said("delete", not kept)


def replaying_a_delivery_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    subscription, delivery = _owned(victim)
    event_log.replay(attacker, subscription, [delivery])
    after = event_log.delivery(victim.tenant, subscription, delivery.oid)
    return _said("replay", after.round != delivery.round)


def doubting_an_attempt_that_was_begun_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    subscription, _ = _owned(victim)
    delivery = event_log.emit_to(victim.tenant, subscription, "ping", {})
    begun = event_log.begin_attempt(victim.tenant, delivery)
    event_log.begin_attempt(attacker, delivery)
    [after] = event_log.attempts(victim.tenant, [delivery])[delivery.id]
    return _said("begin_attempt", after.id != begun.id or after.outcome != "started")


def erasing_events_of_a_lead_of_the_same_number(world: World) -> str | None:
    attacker, victim = _parties(world)
    for tenant in (attacker, victim.tenant):
        event_log.emit(tenant, _WANTED, dict, lead=_SOME_LEAD)
    event_log.erase_subject(attacker, _SOME_LEAD)
    kept = EventOccurrence.of(victim.tenant).where(EventOccurrence.lead_number == _SOME_LEAD).count()
    return _said("erase_subject", kept != 1)


EVENT_PROBES = (
    who_hears_what_happens_elsewhere,
    a_subscription_by_its_id,
    a_count_of_subscriptions,
    what_hangs_on_a_subscription,
    a_delivery_that_has_strayed_to_a_subscription,
    deleting_a_subscription_that_was_read_elsewhere,
    replaying_a_delivery_that_was_read_elsewhere,
    doubting_an_attempt_that_was_begun_elsewhere,
    erasing_events_of_a_lead_of_the_same_number,
)
