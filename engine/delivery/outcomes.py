"""What became of a message is recorded here, each outcome in one transaction with the row that drove it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from engine.channels import Deferred, Health, Misconfigured, SendError, Sent, Undeliverable
from engine.compliance import Refused
from engine.delivery.way import Way
from engine.inbound import silence
from engine.integrations import note_health
from engine.jobs.registry import Retry, Task
from engine.waits import MISCONFIGURED
from storage import clock, conversations, deliveries, outbox, usage
from storage.conversations import Message
from storage.database import transaction
from storage.deliveries import DeliveryAttempt, Outcome
from storage.errors import NotFound
from storage.leads import Lead
from storage.outbox import LeaseLost

UNKNOWN = "outcome_unknown"
FIRST_LOOK_S = 15.0  # a provider that has taken a message shows it by then
OPERATOR_S = 15 * 60.0
LONGEST_OPERATOR_S = 6 * 3600.0
_GAVE_UP = "delivery_gave_up"


def refuse(task: Task, message: Message, refused: Refused) -> None:
    """A rule forbids the message for good. In the caller's transaction."""
    task.complete()
    conversations.set_delivery(task.tenant, message, "failed", refused.rule, refused.message)


def close(task: Task, way: Way | None) -> None:
    """There is nothing left to hand over: the message is gone, or a status told how its last call went."""
    with transaction():
        task.complete()
        last = None if way is None else deliveries.latest(way.tenant, way.message)
        if way is None or last is None or last.state not in deliveries.IN_DOUBT:
            return
        if way.message.delivery_status == "failed":
            deliveries.finish(last, "refused", way.message.delivery_code, way.message.delivery_detail)
        else:
            _note_accepted(way, last, Sent(way.message.provider_message_id))


def is_overtaken(way: Way) -> bool:
    """Whether a status has told meanwhile how the last call went, or the message is gone: then the row is closed.

    In the caller's transaction.
    """
    try:
        message = conversations.message(way.tenant, way.message.oid)
    except NotFound:
        close(way.task, None)
        return True
    if message.delivery_status == "queued":
        return False
    close(way.task, replace(way, message=message))
    return True


def accept(way: Way, attempt: DeliveryAttempt, sent: Sent) -> None:
    """The provider has the message. Raises LeaseLost, but the outcome is kept even then: the next holder needs it."""
    try:
        with transaction():
            way.task.complete()
            _note_accepted(way, attempt, sent)
    except LeaseLost:
        with transaction():
            _note_accepted(way, attempt, sent)
        raise
    if way.task.claim.held_for == MISCONFIGURED:
        note_health(way.tenant, way.conversation.channel, Health(True, "A message was taken."))


def _note_accepted(way: Way, attempt: DeliveryAttempt, sent: Sent) -> None:
    tenant, now = way.tenant, clock.now()
    way.held_lead()  # first of all locks, as everywhere
    is_known = deliveries.is_accepted(tenant, way.message)  # by a status, or by another call under the same key
    deliveries.finish(attempt, "accepted")
    message = conversations.message(tenant, way.message.oid)
    conversations.set_delivery(tenant, message, sent.status, provider_id=sent.provider_id)
    if message.discloses_ai:
        deliveries.note_disclosure(tenant, way.conversation, now)
    if not is_known:
        usage.add(tenant, now, messages_sent=1)


def note_error(way: Way, attempt: DeliveryAttempt, error: SendError) -> None:
    """The provider did not take it, or nobody knows. Raises LeaseLost, and Retry where that counts as a failure."""
    match error:
        case Undeliverable():
            _note_undeliverable(way, attempt, error)
        case Misconfigured():
            _note_misconfigured(way, attempt, error)
        case Deferred():
            _note_deferred(way, attempt, error)
        case _:
            _note_unknown(way, attempt, error)


def _note_undeliverable(way: Way, attempt: DeliveryAttempt, error: Undeliverable) -> None:
    with _ended(way, attempt, "refused", error) as lead:
        way.task.complete()
        conversations.set_delivery(way.tenant, way.message, "failed", error.code, error.detail)
        if error.is_opt_out and lead is not None:
            silence.opt_out(way.tenant, lead, None)


def _note_deferred(way: Way, attempt: DeliveryAttempt, error: Deferred) -> None:
    delay_s = max(error.delay_s or 0.0, outbox.backoff_s(way.task.claim.failures + 1, random.random))
    until = clock.now() + timedelta(seconds=delay_s)
    with _ended(way, attempt, "deferred", error) as lead:
        deliveries.note_wait(way.tenant, way.message, error.code, error.detail, until)
        if error.scope == "integration":
            deliveries.pause(way.tenant, way.conversation.channel, deliveries.EVERYBODY, until)
        elif error.scope == "recipient" and lead is not None:
            deliveries.pause(way.tenant, way.conversation.channel, deliveries.to_lead(lead.number), until)
    raise Retry(str(error), delay_s)


def _note_unknown(way: Way, attempt: DeliveryAttempt, error: SendError) -> None:
    is_safe = way.channel is not None and way.channel.repeats_safely
    until = clock.now() + timedelta(seconds=FIRST_LOOK_S)
    with _ended(way, attempt, "unknown", error):
        deliveries.note_wait(way.tenant, way.message, error.code, error.detail, until)
        if not is_safe:
            way.task.hold(until, UNKNOWN)
    if is_safe:
        raise Retry(str(error))


def _note_misconfigured(way: Way, attempt: DeliveryAttempt, error: Misconfigured) -> None:
    with _ended(way, attempt, "deferred", error):
        pause = clock.now() + timedelta(seconds=OPERATOR_S)
        deliveries.pause(way.tenant, way.conversation.channel, deliveries.EVERYBODY, pause)
        wait_for_operator(way.task, way.message, error.code, error.detail, after=attempt.number)
    note_health(way.tenant, way.conversation.channel, Health(False, error.detail))


@contextmanager
def _ended(way: Way, attempt: DeliveryAttempt, state: Outcome, error: SendError) -> Iterator[Lead | None]:
    """A transaction that records how the call ended, with the lead held; that much even where the lease was lost."""
    try:
        with transaction():
            lead = way.held_lead()
            deliveries.finish(attempt, state, error.code, error.detail)
            yield lead
    except LeaseLost:
        with transaction():
            deliveries.finish(attempt, state, error.code, error.detail)
        raise


def wait_for_operator(task: Task, message: Message, code: str, detail: str, *, after: int = 1) -> None:
    """Keep the message until a person has put the account right: looked at again in 15 minutes, later ever more rarely.

    after: how many calls were made for it.
    """
    wait_s = min(LONGEST_OPERATOR_S, OPERATOR_S * 2 ** min(after - 1, 16))
    until = clock.now() + timedelta(seconds=wait_s)
    with transaction():
        deliveries.note_wait(task.tenant, message, code, detail, until)
        task.hold(until, MISCONFIGURED)


def park_unknown(way: Way, attempt: DeliveryAttempt) -> None:
    """Nobody will tell any more whether the message went: it counts as failed, and its row is left for a person."""
    detail = "The provider's answer was lost, and nothing was heard of the message since. It may have arrived."
    with transaction():
        way.held_lead()
        if is_overtaken(way):
            return
        way.task.park(f"{UNKNOWN}: {attempt.detail or detail}")
        conversations.set_delivery(way.tenant, way.message, "failed", UNKNOWN, detail)


def give_up(task: Task, reason: str) -> None:
    """After the last failure the message has failed, for the reason of its last call where there was one."""
    try:
        message = conversations.message(task.tenant, task.payload["message"])
    except NotFound:
        return
    last = deliveries.latest(task.tenant, message)
    code, detail = _GAVE_UP, reason
    if last is not None:
        in_doubt = last.state in deliveries.IN_DOUBT
        code, detail = UNKNOWN if in_doubt else last.code or _GAVE_UP, last.detail or reason
    conversations.set_delivery(task.tenant, message, "failed", code, detail)
