"""Probes of what is kept about deliveries: attempts, paces, and what waits in the outbox."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from storage import conversations, deliveries, outbox
from storage.conversations import Conversation, Message
from storage.deliveries import EVERYBODY, DeliveryAttempt, DeliveryPace
from storage.tenancy import Tenant

from .worlds import Party, World

Probe = Callable[[World], str | None]

_NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
_LATER = _NOW + timedelta(days=1)
_SPOKEN_TO = 2  # the number of a lead to whom the victim alone has spoken


def _parties(world: World) -> tuple[Tenant, Party]:
    assert world.victim is not None
    return world.attacker.tenant, world.victim


def _found(name: str, answer: object) -> str | None:
    return f"{name} found {answer!r}" if answer else None


def _talk(party: Party) -> Conversation:
    """The party's conversation with the lead to whom it alone has spoken."""
    found = conversations.latest_of(party.tenant, _SPOKEN_TO, "whatsapp")
    assert found is not None
    return found


def _queued(party: Party) -> Message:
    """A message of the party that waits to be sent, the last one of that conversation."""
    return conversations.append(party.tenant, _talk(party), "agent", "Hello", delivery_status="queued")


def an_attempt_for_a_message_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    message = _queued(victim)
    deliveries.begin(victim.tenant, message, _NOW)
    return _found("latest", deliveries.latest(attacker, message)) or _found(
        "of_message", deliveries.of_message(attacker, message)
    )


def doubting_an_attempt_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    attempt = deliveries.begin(victim.tenant, _queued(victim), _NOW)
    deliveries.doubt(attacker, attempt, "worker_lost", "lost")
    [after] = DeliveryAttempt.of(victim.tenant).where(DeliveryAttempt.id == attempt.id)
    return _found("doubt", after.code)


def what_was_sent_to_a_lead_of_the_same_number(world: World) -> str | None:
    attacker, victim = _parties(world)
    deliveries.begin(victim.tenant, _queued(victim), _NOW)
    return _found("sent_to", deliveries.sent_to(attacker, _SPOKEN_TO, _NOW - timedelta(days=1), 5))


def when_a_lead_of_the_same_number_was_heard(world: World) -> str | None:
    attacker, _ = _parties(world)
    return _found("heard_from", deliveries.heard_from(attacker, _SPOKEN_TO))


def lanes_to_a_lead_of_the_same_number(world: World) -> str | None:
    attacker, _ = _parties(world)
    return _found("lanes_to", deliveries.lanes_to(attacker, _SPOKEN_TO))


def a_place_in_the_row_of_the_same_channel(world: World) -> str | None:
    attacker, victim = _parties(world)
    deliveries.pause(victim.tenant, "whatsapp", EVERYBODY, _LATER)
    slot = deliveries.take_slot(attacker, "whatsapp", {EVERYBODY: 1.0}, _NOW, has_one=False)
    return _found("take_slot", slot.at > _NOW)


def pausing_the_same_channel(world: World) -> str | None:
    attacker, victim = _parties(world)
    deliveries.pause(victim.tenant, "whatsapp", EVERYBODY, _NOW)
    [before] = DeliveryPace.of(victim.tenant)
    deliveries.pause(attacker, "whatsapp", EVERYBODY, _LATER)
    [after] = DeliveryPace.of(victim.tenant)
    return _found("pause", after.free_at != before.free_at)


def ending_the_pause_of_the_same_channel(world: World) -> str | None:
    attacker, victim = _parties(world)
    deliveries.pause(victim.tenant, "whatsapp", EVERYBODY, _LATER)
    deliveries.end_pause(attacker, "whatsapp")
    return _found("end_pause", not list(DeliveryPace.of(victim.tenant)))


def a_wait_of_a_message_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    message = _queued(victim)
    deliveries.note_wait(attacker, message, "quiet_hours", "It is night", _LATER)
    return _found("note_wait", conversations.message(victim.tenant, message.oid).held_until)


def a_disclosure_in_a_conversation_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    deliveries.note_disclosure(attacker, _talk(victim), _NOW)
    return _found("note_disclosure", _talk(victim).ai_disclosed_at)


def the_thread_of_a_message_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    heard = {"provider_message_id": "<1@example.com>", "subject": "Question"}
    conversations.append(victim.tenant, _talk(victim), "lead", "Hi", **heard)
    message = _queued(victim)
    return _found("thread_of", deliveries.thread_of(attacker, message, 5)) or _found(
        "subject_of", deliveries.subject_of(attacker, message)
    )


def waking_rows_of_the_outbox(world: World) -> str | None:
    attacker, victim = _parties(world)
    row = outbox.put(victim.tenant, "deliver", "lane", {}, available_at=_LATER.replace(year=2999))
    outbox.OutboxRow.get_by_id(row).store(held_for="misconfigured")
    return _found("wake", outbox.wake(["misconfigured"], tenant=attacker))


DELIVERY_PROBES: tuple[Probe, ...] = (
    an_attempt_for_a_message_that_was_read_elsewhere,
    doubting_an_attempt_that_was_read_elsewhere,
    what_was_sent_to_a_lead_of_the_same_number,
    when_a_lead_of_the_same_number_was_heard,
    lanes_to_a_lead_of_the_same_number,
    a_place_in_the_row_of_the_same_channel,
    pausing_the_same_channel,
    ending_the_pause_of_the_same_channel,
    a_wait_of_a_message_that_was_read_elsewhere,
    a_disclosure_in_a_conversation_that_was_read_elsewhere,
    the_thread_of_a_message_that_was_read_elsewhere,
    waking_rows_of_the_outbox,
)
