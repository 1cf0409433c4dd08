"""Probes of what is kept about people: who is erased, who stays silent, who belongs to the team, who did what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from storage import (
    audit,
    audit_log,
    conversations,
    event_log,
    identities,
    inbox,
    lead_erasure,
    leads,
    members,
    outbox,
    suppressions,
)
from storage.accounts import Member
from storage.audit_log import Filters
from storage.conversations import Conversation
from storage.errors import NotFound
from storage.event_log import EventOccurrence
from storage.ids import new_id
from storage.inbox import InboundEvent, NewEvent
from storage.members import Invitation
from storage.tenancy import SYSTEM, Tenant

from . import worlds
from .worlds import Party, World

_SPOKEN_TO = 1  # the number of a lead that both have, and both have spoken to
_STRAY = "77"  # what a channel calls a person


def _parties(world: World) -> tuple[Tenant, Party]:
    assert world.victim is not None
    return world.attacker.tenant, world.victim


def _said(name: str, answer: Any) -> str | None:
    return f"{name} found {answer!r}" if answer else None


def _answers(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except NotFound:
        return None


def _changed(world: World, call: Callable[[], Any]) -> str | None:
    before = worlds.snapshot(world)
    call()
    return _said("it", worlds.differences(before, worlds.snapshot(world)))


def holding_a_lead_of_another(world: World) -> str | None:
    attacker, victim = _parties(world)
    return _said("hold", _answers(lambda: lead_erasure.hold(attacker, victim.values["lead"][0])))


def erasing_a_lead_whose_number_another_has(world: World) -> str | None:
    attacker, victim = _parties(world)
    lead = leads.get(attacker, _SPOKEN_TO)
    mine = [row.oid for row in Conversation.of(attacker).where(Conversation.lead_number == _SPOKEN_TO)]
    identities.add(victim.tenant, _SPOKEN_TO, "telegram", [_STRAY])
    inbox.store(victim.tenant, "email", [NewEvent("stray", lead.email, {})])
    inbox.store(attacker, "telegram", [NewEvent("stray", _STRAY, {})])
    outbox.put(victim.tenant, "deliver", mine[0], {})
    told = {"oid": new_id(), "type": "lead.created", "payload": "{}", "created_at": lead.created_at}
    EventOccurrence.add(victim.tenant, lead_number=_SPOKEN_TO, **told)
    erased: list[Any] = []
    changed = _changed(world, lambda: erased.append(lead_erasure.erase(attacker, lead)))
    left = InboundEvent.of(attacker).where(InboundEvent.contact == _STRAY).count()
    return changed or _said("erase", erased[0].conversations != len(mine) or not left)


def messages_of_a_conversation_to_erase_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    talk = conversations.get(victim.tenant, victim.values["conversation"][0])
    conversations.append(victim.tenant, talk, "agent", "Hello", provider_message_id=_STRAY)
    told: list[Any] = []
    changed = _changed(world, lambda: told.append(lead_erasure._erase_messages(attacker, [talk])))
    _, _, statuses, _ = told[0]
    return changed or _said("the messages", statuses[talk.channel])


def events_about_a_lead_whose_number_another_has(world: World) -> str | None:
    attacker, victim = _parties(world)
    told = {"oid": new_id(), "type": "lead.created", "payload": "{}", "created_at": "2026-03-14T00:00:00.000Z"}
    EventOccurrence.add(victim.tenant, lead_number=_SPOKEN_TO, **told)
    return _changed(world, lambda: event_log.erase_subject(attacker, _SPOKEN_TO))


def a_wish_for_silence(world: World) -> str | None:
    attacker, victim = _parties(world)
    suppressions.keep(victim.tenant, ["digest"], ["sms"])
    found = _said("channels_of", suppressions.channels_of(attacker, ["digest"]))

    def change() -> None:
        suppressions.lift(attacker, ["digest"])
        suppressions.keep(attacker, ["digest"], ["email"])
        suppressions.lift(attacker, ["digest"])

    return found or _changed(world, change)


def a_team_of_another(world: World) -> str | None:
    attacker, victim = _parties(world)
    if world.same_account:  # whose team is one
        return None
    ours, theirs = attacker.account_id, victim.tenant.account_id
    member, invited = Member.of(theirs).first(), Invitation.of(theirs).first()
    listed, count, _ = members.page(ours, limit=50)
    waiting, waiting_count, _ = members.invitations(ours, limit=50)
    ways: dict[str, Any] = {
        "get": _answers(lambda: members.get(ours, member.id)),
        "is_member": members.is_member(ours, member.email),
        "owners": set(members.owners(ours)) & set(members.owners(theirs)),
        "page": [row for row in listed if row.account_id != ours] or count != len(listed),
        "invitation": _answers(lambda: members.invitation(ours, invited.id)),
        "invitation_to": members.invitation_to(ours, invited.email),
        "invitations": [row for row in waiting if row.account_id != ours] or waiting_count != len(waiting),
    }
    return _said("the team", [name for name, found in ways.items() if found])


def what_is_noted_of_another(world: World) -> str | None:
    attacker, victim = _parties(world)
    audit.record(victim.tenant, SYSTEM, "probe.made", "1")
    return _said("page", audit_log.page(attacker, Filters(action="probe.made"), limit=10)[0])


PERSON_PROBES = (
    holding_a_lead_of_another,
    erasing_a_lead_whose_number_another_has,
    messages_of_a_conversation_to_erase_that_was_read_elsewhere,
    events_about_a_lead_whose_number_another_has,
    a_wish_for_silence,
    a_team_of_another,
    what_is_noted_of_another,
)
