"""What an account may do with its event subscriptions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from engine import vault
from engine.knowledge import urls
from engine.knowledge.fetch_errors import UrlRefused
from storage import audit, clock, event_log, event_subscriptions
from storage.database import transaction
from storage.errors import Blocked, Conflict, Problem
from storage.event_log import EventDelivery
from storage.event_subscriptions import EventSubscription
from storage.ids import new_id
from storage.tenancy import Actor, Tenant

from . import signing

MOST = 50  # of one environment: each event is written once for every one
TEST = "ping"


def create(tenant: Tenant, body: Mapping[str, Any], *, actor: Actor) -> tuple[EventSubscription, str]:
    """A new subscription and its secret, not shown again. Raises Blocked, Conflict where there are too many."""
    vault.require_key()
    _require_address(body["url"])
    oid, secret = new_id(), signing.new_secret()
    with transaction():
        if event_subscriptions.count(tenant) >= MOST:
            raise Conflict("too_many_subscriptions", f"There are {MOST} event subscriptions. Delete one first.")
        subscription = event_subscriptions.add(
            tenant,
            oid=oid,
            url=body["url"],
            description=body.get("description") or None,
            events=_patterns(body["events"]),
            state="active" if body.get("isActive", True) else "inactive",
            secrets=vault.seal(tenant, oid, {"current": secret}),
        )
        audit.record(tenant, actor, "event_subscription.created", oid, {"events": subscription.events.split()})
    return subscription, secret


def update(tenant: Tenant, oid: str, body: Mapping[str, Any], *, actor: Actor) -> EventSubscription:
    """Change what the body names; to activate one forgives its failures. Raises NotFound, Blocked."""
    if "url" in body:
        _require_address(body["url"])
    with transaction():
        subscription = event_subscriptions.lock(tenant, oid)
        wanted: dict[str, Any] = {name: body[name] for name in ("url",) if name in body}
        if "description" in body:
            wanted["description"] = body["description"] or None
        if "events" in body:
            wanted["events"] = _patterns(body["events"])
        if "isActive" in body and body["isActive"] != (subscription.state == "active"):
            wanted["state"] = "active" if body["isActive"] else "inactive"
        changes = {name: value for name, value in wanted.items() if getattr(subscription, name) != value}
        if changes:
            forgiven = {"failures": 0, "failing_since": None, "paused_until": None, "disabled_reason": None}
            anew = forgiven if {"url", "state"} & changes.keys() else {}
            subscription.store(**changes, **anew, updated_at=clock.stamp())
            audit.record(tenant, actor, "event_subscription.updated", oid, {"changed": sorted(changes)})
        return subscription


def delete(tenant: Tenant, oid: str, *, actor: Actor) -> None:
    """Remove a subscription and all that was delivered to it. Raises NotFound."""
    with transaction():
        event_subscriptions.delete(tenant, event_subscriptions.lock(tenant, oid))
        audit.record(tenant, actor, "event_subscription.deleted", oid)


def rotate(tenant: Tenant, oid: str, overlap_s: int, *, actor: Actor) -> tuple[EventSubscription, str]:
    """The subscription and its new secret; the old one signs too for `overlap_s` seconds. Raises NotFound, Blocked."""
    secret = signing.new_secret()
    with transaction():
        subscription = event_subscriptions.lock(tenant, oid)
        kept = {"current": secret}
        until = None
        if overlap_s:
            kept["previous"] = vault.open_(tenant, oid, subscription.secrets)["current"]
            until = clock.iso(clock.now() + timedelta(seconds=overlap_s))
        sealed = vault.seal(tenant, oid, kept)
        subscription.store(secrets=sealed, previous_until=until, updated_at=clock.stamp())
        audit.record(tenant, actor, "event_subscription.secret_rotated", oid, {"overlapSeconds": overlap_s})
    return subscription, secret


def test(tenant: Tenant, oid: str, *, actor: Actor) -> tuple[EventSubscription, EventDelivery]:
    """Queue a `ping` to this subscription alone. Raises NotFound, Conflict for one that is not active."""
    with transaction():
        subscription = _active(tenant, oid)
        subscription.store(paused_until=None)
        made = event_log.emit_to(tenant, subscription, TEST, {"subscriptionId": oid})
        audit.record(tenant, actor, "event_subscription.tested", oid)
        return subscription, made


def replay(tenant: Tenant, oid: str, delivery_oid: str, *, actor: Actor) -> tuple[EventSubscription, EventDelivery]:
    """Deliver an event again, under the same id. Raises NotFound, Conflict: not active, or still being delivered."""
    with transaction():
        subscription = _active(tenant, oid)
        event_log.delivery(tenant, subscription, delivery_oid)
        found = event_log.held(tenant, delivery_oid)
        if found is None or not event_log.replay(tenant, subscription, [found[1]]):
            raise Conflict("delivery_pending", "The event is being delivered already.")
        audit.record(tenant, actor, "event_subscription.replayed", oid, {"replayed": 1})
        return subscription, event_log.delivery(tenant, subscription, delivery_oid)


def replay_since(tenant: Tenant, oid: str, since: str, *, only_failed: bool, actor: Actor) -> tuple[int, bool]:
    """Deliver again what happened since then, the oldest first: how many, and whether there are more.

    Raises NotFound, Conflict for one that is not active.
    """
    with transaction():
        subscription = _active(tenant, oid)
        moment = clock.iso(clock.parse(since))
        found = event_log.finished_since(tenant, subscription, moment, only_failed=only_failed)
        count = event_log.replay(tenant, subscription, found)
        audit.record(tenant, actor, "event_subscription.replayed", oid, {"replayed": count, "since": moment})
        return count, count == event_log.MOST_REPLAYED


def _active(tenant: Tenant, oid: str) -> EventSubscription:
    subscription = event_subscriptions.lock(tenant, oid)
    if subscription.state != "active":
        raise Conflict("subscription_not_active", "The subscription is not active. Set isActive to true first.")
    return subscription


def _patterns(events: list[str]) -> str:
    return " ".join(dict.fromkeys(events))


def _require_address(url: str) -> None:
    try:
        urls.parse(url)
    except UrlRefused as error:
        raise Blocked("invalid_url", error.message, problems=[Problem("/url", error.message)]) from error
