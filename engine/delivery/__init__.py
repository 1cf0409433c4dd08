"""Messages leave through here and nowhere else: one row of the outbox, one message, one call at a time.

    claimed ─ decision ┬ refused: the message has failed
                       ├ held: later                      ┌ accepted: sent
                       └ attempt started ─ the call ──────┼ refused: failed
                                                          ├ deferred, misconfigured: later
                                                          └ unknown ─ asked about: sent | again | parked as failed

The decision and the record that the provider is about to be called are one transaction under the lead's lock, and that
transaction makes sure of the lease. So an attempt that stands there without an outcome may have reached the provider,
and where none stands nothing has.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine import channels, compliance, metrics
from engine.channels import Channel, Deferred, Misconfigured, Outgoing, SendError, Undeliverable
from engine.compliance import LEAD_GONE, Facts, Held, Refused
from engine.delivery import doubts, outcomes
from engine.delivery.outgoing import outgoing_of
from engine.delivery.way import Way
from engine.jobs.registry import Task, job
from engine.waits import PAUSED
from storage import clock, conversations, deliveries, outbox
from storage.conversations import Message
from storage.database import connection, transaction
from storage.deliveries import DeliveryAttempt
from storage.errors import Blocked, NotFound
from storage.leads import Lead

LEASE_S = 180.0  # asking about a lost answer and sending, each for as long as a provider may take
MAX_ATTEMPTS = 20  # that fail: the waits between them add up to some ten hours
PACED = "pace"
_SHORT_WAIT_S = 60.0  # not worth telling


@dataclass(frozen=True, slots=True)
class _Call:
    """What is about to be handed to the provider, written down already."""

    channel: Channel
    attempt: DeliveryAttempt
    outgoing: Outgoing


@job("deliver", lease_s=LEASE_S, max_attempts=MAX_ATTEMPTS, gave_up=outcomes.give_up)
def deliver(task: Task) -> None:
    """Hand a queued message to its channel, if it may go now: payload {message, kind}."""
    try:
        way = _way(task)
    except Blocked as error:  # the integration's secrets cannot be opened
        with connection():
            message = conversations.message(task.tenant, task.payload["message"])
        outcomes.wait_for_operator(task, message, error.code, error.message)
        return
    if way is None or way.message.delivery_status != "queued":
        outcomes.close(task, way)
        return
    if doubts.is_settled(way):
        return
    call = _begin(way)
    if call is None:
        return
    try:
        sent = call.channel.send(call.outgoing)
    except SendError as error:
        _tally(way, _name(error))
        outcomes.note_error(way, call.attempt, error)
    else:
        _tally(way, "accepted")
        outcomes.accept(way, call.attempt, sent)


def _tally(way: Way, outcome: str) -> None:
    metrics.MESSAGES.labels(way.conversation.channel, outcome).inc()


def _name(error: SendError) -> str:
    match error:
        case Undeliverable():
            return "refused"
        case Deferred():
            return "deferred"
        case Misconfigured():
            return "misconfigured"
        case _:
            return "unknown"


def _way(task: Task) -> Way | None:
    """The message and how it goes; None where it is there no more. Raises Blocked."""
    with connection():
        try:
            message = conversations.message(task.tenant, task.payload["message"])
            conversation = conversations.by_row(task.tenant, message.conversation_id)
        except NotFound:
            return None
        return Way(task, message, conversation, channels.of(task.tenant, conversation.channel))


def _begin(way: Way) -> _Call | None:
    """Decide, and write down that the provider is about to be called; None where it is not. Raises LeaseLost."""
    task, tenant = way.task, way.tenant
    with transaction():
        lead = way.held_lead()
        if outcomes.is_overtaken(way):
            return None
        message = conversations.message(tenant, way.message.oid)  # as it is now
        if lead is None:
            outcomes.refuse(task, message, LEAD_GONE)
            _tally(way, "forbidden")
            return None
        now = clock.now()
        facts = compliance.facts_of(
            tenant,
            lead,
            way.conversation.channel,
            kind=task.payload.get("kind", "text"),
            message=message,
            now=now,
            is_configured=way.channel is not None,
        )
        match compliance.decide(facts, now):
            case Refused() as refused:
                outcomes.refuse(task, message, refused)
                _tally(way, "forbidden")
            case Held(rule, reason, until):
                deliveries.note_wait(tenant, message, rule, reason, until)
                task.hold(until, rule)
                _tally(way, "held")
            case _:
                return _start(way, message, lead, facts)
    return None


def _start(way: Way, message: Message, lead: Lead, facts: Facts) -> _Call | None:
    task, tenant, channel, now = way.task, way.tenant, way.channel, clock.now()
    assert channel is not None
    name = way.conversation.channel
    paces_s = {deliveries.EVERYBODY: channel.pace_s, deliveries.to_lead(lead.number): channel.recipient_pace_s}
    slot = deliveries.take_slot(tenant, name, paces_s, now, has_one=task.claim.held_for == PACED)
    if slot.at > now:
        if slot.is_pause and (slot.at - now).total_seconds() > _SHORT_WAIT_S:
            deliveries.note_wait(tenant, message, "provider_paused", "The provider takes nothing for a while", slot.at)
        task.hold(slot.at, PAUSED if slot.is_pause else PACED)
        return None
    conversation = conversations.by_row(tenant, message.conversation_id)
    compliance.disclose(tenant, conversation, message, facts.kind)
    outbox.extend(task.claim, now, LEASE_S)  # whoever lost the lease must not begin what somebody else has begun
    attempt = deliveries.begin(tenant, message, now)
    return _Call(channel, attempt, outgoing_of(tenant, conversation, message, lead, facts.identities))
