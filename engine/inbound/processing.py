"""The job `inbound`: one stored event, done in one transaction with everything that follows from it."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import datetime

from engine import channels, integrations
from engine.channels import (
    Deferred,
    Health,
    Ignored,
    Misconfigured,
    Preference,
    Renamed,
    Said,
    SendError,
    Status,
    Undeliverable,
)
from engine.conversations import ring_after_commit
from engine.inbound import people, reading, silence
from engine.inbound.events import What, of_payload
from engine.inbound.hearing import hear
from engine.jobs.registry import Retry, Task, job
from storage import conversations, inbox
from storage.conversations import Message
from storage.database import connection, transaction
from storage.errors import NotFound
from storage.inbox import InboundEvent, State
from storage.tenancy import Tenant

MAX_ATTEMPTS = 12  # a provider may be away for an hour
STATUS_ATTEMPTS = 6  # a status may overtake the record of the very send that it is about, by half a minute or so
_UNFETCHED = "[the text of this message could not be fetched]"

Outcome = tuple[State, str | None]
_DONE: Outcome = ("done", None)


def give_up(task: Task, reason: str) -> None:
    """After the last attempt the event is parked with its row, for a person to look at."""
    inbox.settle(task.tenant, task.payload["event"], "failed", reason)


@job("inbound", lease_s=120.0, max_attempts=MAX_ATTEMPTS, gave_up=give_up)
def process(task: Task) -> None:
    """Do what follows from a stored event: payload {event}."""
    tenant = task.tenant
    with connection():
        event = inbox.get(tenant, task.payload["event"])
    what, at = of_payload(event.payload)
    if isinstance(what, Said) and what.fetch is not None:
        what = _fetched(task, event.channel, what)
    with transaction():
        task.complete()
        state, reason = _take(task, event, what, at)
        inbox.settle(tenant, event.id, state, reason)


def _fetched(task: Task, channel: str, said: Said) -> Said | Ignored:
    """The message with what its webhook lacked. What cannot be had in the end is said in its place: nobody is lost.

    Raises Retry while it may still be had.
    """
    with connection():
        credentials = integrations.credentials(task.tenant, channel)
    if credentials is None or task.tenant.environment == "test":  # nothing of that leaves the machine
        return _without_fetched(said)
    try:
        fetched: Said | Ignored = channels.module(channel).fetch(credentials, channels.endpoints(), said)
        return fetched
    except SendError as error:
        if isinstance(error, Misconfigured):
            integrations.note_health(task.tenant, channel, Health(False, error.detail))
        if isinstance(error, Undeliverable) or task.claim.failures + 1 >= MAX_ATTEMPTS:
            return _without_fetched(said)
        raise Retry(str(error), error.delay_s if isinstance(error, Deferred) else None) from error


def _without_fetched(said: Said) -> Said:
    return replace(said, fetch=None, text=said.text or f"{_UNFETCHED} {said.subject}".strip())


def _take(task: Task, event: InboundEvent, what: What, at: datetime | None) -> Outcome:
    match what:
        case Said():
            return _hear(task.tenant, event, what, at)
        case Status():
            return _note_status(task, event.channel, what)
        case Preference():
            return _obey(task.tenant, event.channel, what)
        case Renamed():
            is_known = people.rename(task.tenant, event.channel, what.previous, what.current)
            return _DONE if is_known else ("ignored", "unknown_lead")
        case Ignored():
            return "ignored", what.reason


def _hear(tenant: Tenant, event: InboundEvent, said: Said, at: datetime | None) -> Outcome:
    heard = hear(tenant, event.channel, said, at)
    if heard.changed is not None and heard.changed.turn_row is not None:
        reading.put(tenant, event.channel, event.contact or "", said.provider_id)
        ring_after_commit(heard.changed.conversation.oid)
    return _DONE if heard.reason is None else ("ignored", heard.reason)


def _note_status(task: Task, channel: str, status: Status) -> Outcome:
    """A status of one of our messages; the record of the send that it may have overtaken is given some time."""
    tenant = task.tenant
    message = _message_of(tenant, channel, status)
    if message is None:
        if task.claim.failures + 1 < STATUS_ATTEMPTS:
            raise Retry("No message of ours has this id yet")
        return "ignored", "unknown_message"
    if status.is_opt_out:
        with contextlib.suppress(NotFound):  # the lead is deleted, and nobody writes to it
            lead = conversations.lock_lead(tenant, conversations.by_row(tenant, message.conversation_id).lead_number)
            silence.opt_out(tenant, lead, None)
    is_news = conversations.set_delivery(
        tenant, message, status.status, status.code, status.detail, provider_id=status.provider_id or None
    )
    return _DONE if is_news else ("done", "known_already")


def _message_of(tenant: Tenant, channel: str, status: Status) -> Message | None:
    if status.message_id:
        with contextlib.suppress(NotFound):
            return conversations.message(tenant, status.message_id)
    return conversations.by_provider_id(tenant, channel, status.provider_id, is_ours=True)


def _obey(tenant: Tenant, channel: str, preference: Preference) -> Outcome:
    """Silence, or the end of it. A stranger who wants silence is remembered, where others could bring the address."""
    sender = preference.sender
    number = people.find(tenant, channel, sender)
    if number is None and (preference.wish == "start" or not (sender.phone or sender.email)):
        return "ignored", "unknown_lead"
    lead = people.held(tenant, channel, sender, number)
    if preference.wish == "start":
        silence.opt_in(tenant, lead)
        return _DONE
    latest = conversations.latest_of(tenant, lead.number, channel)
    conversation = None if latest is None else conversations.lock(tenant, latest.oid)
    silence.opt_out(tenant, lead, conversation, is_confirmed=preference.is_confirmed)
    return _DONE
