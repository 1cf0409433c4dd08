"""Event subscriptions over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.events import subscriptions
from storage import bodies, event_log, event_subscriptions
from storage.event_log import EventAttempt, EventDelivery
from storage.event_subscriptions import EventSubscription
from storage.tenancy import Caller, Tenant

from .answers import Answer, Page

_OVERLAP_S = 86_400


def list_event_subscriptions(user: Caller, skip: int = 0, limit: int = 50, cursor: str | None = None) -> Page:
    """A page of subscriptions, the newest first."""
    found, total, following = event_subscriptions.page(user.tenant, limit=limit, skip=skip, cursor=cursor)
    return Page([bodies.event_subscription(user.tenant, row) for row in found], total, following)


def create_event_subscription(user: Caller, body: dict[str, Any]) -> Answer:
    """A new subscription, with its secret this once. Raises Blocked, Conflict."""
    made, secret = subscriptions.create(user.tenant, body, actor=user.actor)
    shown = {**bodies.event_subscription(user.tenant, made), "secret": secret}
    return Answer(shown, status=201, location=f"/api/event-subscriptions/{made.oid}")


def get_event_subscription(id_: str, user: Caller) -> dict[str, Any]:
    """One subscription. Raises NotFound."""
    return bodies.event_subscription(user.tenant, event_subscriptions.get(user.tenant, id_))


def update_event_subscription(id_: str, user: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """The subscription with what the body names changed. Raises NotFound, Blocked."""
    return bodies.event_subscription(user.tenant, subscriptions.update(user.tenant, id_, body, actor=user.actor))


def delete_event_subscription(id_: str, user: Caller) -> dict[str, bool]:
    """Remove a subscription. Raises NotFound."""
    subscriptions.delete(user.tenant, id_, actor=user.actor)
    return {"success": True}


def rotate_event_subscription_secret(id_: str, user: Caller, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The subscription with its new secret, this once. Raises NotFound, Blocked."""
    overlap_s = (body or {}).get("overlapSeconds", _OVERLAP_S)
    changed, secret = subscriptions.rotate(user.tenant, id_, overlap_s, actor=user.actor)
    return {**bodies.event_subscription(user.tenant, changed), "secret": secret}


def test_event_subscription(id_: str, user: Caller) -> Answer:
    """The delivery of a `ping`, on its way. Raises NotFound, Conflict."""
    subscription, delivery = subscriptions.test(user.tenant, id_, actor=user.actor)
    return _on_its_way(user.tenant, subscription, delivery)


def list_event_deliveries(
    id_: str, user: Caller, state: str | None = None, skip: int = 0, limit: int = 50, cursor: str | None = None
) -> Page:
    """A page of what was or is delivered to a subscription, with the attempts. Raises NotFound."""
    subscription = event_subscriptions.get(user.tenant, id_)
    found, total, following = event_log.page(
        user.tenant, subscription, state=state, limit=limit, skip=skip, cursor=cursor
    )
    tried = event_log.attempts(user.tenant, found)
    return Page([_delivery(subscription, each, tried[each.id]) for each in found], total, following)


def get_event_delivery(id_: str, event_delivery_id: str, user: Caller) -> dict[str, Any]:
    """One delivery with its attempts. Raises NotFound."""
    subscription = event_subscriptions.get(user.tenant, id_)
    return _whole(user.tenant, subscription, event_log.delivery(user.tenant, subscription, event_delivery_id))


def replay_event_delivery(id_: str, event_delivery_id: str, user: Caller) -> Answer:
    """The delivery, on its way again. Raises NotFound, Conflict."""
    return _on_its_way(user.tenant, *subscriptions.replay(user.tenant, id_, event_delivery_id, actor=user.actor))


def replay_event_deliveries(id_: str, user: Caller, body: dict[str, Any]) -> Answer:
    """How many deliveries begin anew. Raises NotFound, Conflict."""
    only_failed = body.get("onlyFailed", False)
    count, has_more = subscriptions.replay_since(
        user.tenant, id_, body["since"], only_failed=only_failed, actor=user.actor
    )
    return Answer({"replayed": count, "hasMore": has_more}, status=202)


def _on_its_way(tenant: Tenant, subscription: EventSubscription, delivery: EventDelivery) -> Answer:
    return Answer(_whole(tenant, subscription, delivery), status=202)


def _whole(tenant: Tenant, subscription: EventSubscription, delivery: EventDelivery) -> dict[str, Any]:
    return _delivery(subscription, delivery, event_log.attempts(tenant, [delivery])[delivery.id])


def _delivery(
    subscription: EventSubscription, delivery: EventDelivery, attempts: Sequence[EventAttempt]
) -> dict[str, Any]:
    """An EventDelivery of the contract."""
    body = {
        "_id": delivery.oid,
        "subscriptionId": subscription.oid,
        "eventId": delivery.event_oid,
        "type": delivery.type,
        "state": delivery.state,
        "attemptCount": delivery.attempts,
        "attempts": [_attempt(each) for each in attempts[-20:]],
        "nextAttemptAt": delivery.next_attempt_at,
        "failureCode": delivery.failure_code,
        "createdAt": delivery.created_at,
        "finishedAt": delivery.finished_at,
    }
    return {name: value for name, value in body.items() if value is not None}


def _attempt(attempt: EventAttempt) -> dict[str, Any]:
    body = {
        "number": attempt.number,
        "outcome": attempt.outcome,
        "statusCode": attempt.status_code,
        "durationMs": attempt.duration_ms,
        "answer": attempt.answer,
        "detail": attempt.detail,
        "createdAt": attempt.created_at,
    }
    return {name: value for name, value in body.items() if value is not None}
