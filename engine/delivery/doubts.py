"""A message whose last call has no known outcome is asked about before anything else; it is never repeated blindly."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import structlog

from engine.channels import SendError, Sent
from engine.delivery import outcomes
from engine.delivery.outcomes import UNKNOWN
from engine.delivery.outgoing import outgoing_of
from engine.delivery.way import Way
from storage import clock, deliveries, identities, leads
from storage.database import connection, transaction
from storage.deliveries import DeliveryAttempt
from storage.errors import NotFound

REPEATS_WITHIN = timedelta(hours=23)  # a provider remembers what it was handed for a day
PATIENCE = timedelta(minutes=10)  # a status is usually there within seconds
ANSWERS_WITHIN = timedelta(hours=6)  # a provider that could tell, but does not answer now
LOOK_AGAIN = timedelta(seconds=30)

_log = structlog.get_logger(__name__)


def is_settled(way: Way) -> bool:
    """Whether nothing is left to do for now; False where the message may be decided on and sent. Raises LeaseLost."""
    with connection():
        attempt = deliveries.latest(way.tenant, way.message)
    if attempt is None or attempt.state not in deliveries.IN_DOUBT:
        return False
    began = clock.parse(attempt.started_at)
    if attempt.state == "started":
        _note_lost(way, attempt)
    if way.channel is not None and way.channel.repeats_safely and clock.now() - began < REPEATS_WITHIN:
        return False
    match _found(way, began):
        case Sent() as sent:
            outcomes.accept(way, attempt, sent)
        case None:
            with transaction():
                deliveries.finish(attempt, "deferred", "not_taken", "The provider does not know the message")
            return False
        case "unanswered":
            _wait_or_park(way, attempt, began, ANSWERS_WITHIN)
        case _:
            _wait_or_park(way, attempt, began, PATIENCE)
    return True


def _note_lost(way: Way, attempt: DeliveryAttempt) -> None:
    """Whoever called was killed, or is slower than a lease: what the provider said is not known here."""
    detail = "The process that called the provider did not live to record its answer"
    with transaction():
        deliveries.doubt(way.tenant, attempt, "worker_lost", detail)


def _found(way: Way, since: datetime) -> Sent | Literal["unknown", "unanswered"] | None:
    if way.channel is None:
        return "unknown"
    with connection():
        try:
            lead = leads.get(way.tenant, way.conversation.lead_number)
        except NotFound:
            return "unknown"
        known_as = identities.addresses(way.tenant, lead.number, way.conversation.channel)
        outgoing = outgoing_of(way.tenant, way.conversation, way.message, lead, known_as)
    try:
        return way.channel.find(outgoing, since)
    except SendError as error:
        _log.info("message_not_found_out", message=way.message.oid, error=error.code)
        return "unanswered"


def _wait_or_park(way: Way, attempt: DeliveryAttempt, began: datetime, patience: timedelta) -> None:
    """A status callback may still tell, or the provider when it answers again; after a while nobody will."""
    now = clock.now()
    if now - began >= patience:
        outcomes.park_unknown(way, attempt)
        return
    detail = attempt.detail or "The provider's answer was lost"
    with transaction():
        way.held_lead()
        if outcomes.is_overtaken(way):
            return
        deliveries.note_wait(way.tenant, way.message, UNKNOWN, detail, now + LOOK_AGAIN)
        way.task.hold(now + LOOK_AGAIN, UNKNOWN)
