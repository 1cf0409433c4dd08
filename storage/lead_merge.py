"""Merging leads: one of them gains what the others have, and these become tombstones, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import ab_tallies, clock, conversations, identities, lead_aliases, lead_erasure, leads
from .conversations import Conversation
from .errors import NotFound, Problem
from .event_log import EventOccurrence
from .leads import Lead, live, locked
from .tenancy import Tenant

_UNNAMED = "Unknown"


def hold(tenant: Tenant, into: int, sources: Sequence[int]) -> tuple[Lead, list[Lead]]:
    """The target and the sources in their order, held until the transaction ends; nobody else merges meanwhile.

    Raises NotFound, which says where in the request the leads stand that are not there.
    """
    leads.enter(tenant)
    wanted: Any = live(tenant).where(Lead.number.in_([into, *sources])).order_by(Lead.number)
    found = {lead.number: lead for lead in locked(wanted)}
    places = [("/into", into), *((f"/from/{place}", number) for place, number in enumerate(sources))]
    missing = [Problem(path, "Lead not found") for path, number in places if number not in found]
    if missing:
        raise NotFound("lead_not_found", "Lead not found", problems=missing)
    return found[into], [found[number] for number in sources]


def lock_lead_of(tenant: Tenant, conversation: Conversation) -> Lead:
    """The lead of a conversation that was read before, as `conversations.lock_lead`, though it was merged since.

    Raises NotFound.
    """
    try:
        return conversations.lock_lead(tenant, conversation.lead_number)
    except NotFound:
        number = lead_aliases.merged_into(tenant, conversation.lead_number)
        if number is None:
            raise
        return conversations.lock_lead(tenant, number)


def merge(tenant: Tenant, target: Lead, sources: Sequence[Lead]) -> None:
    """Give a held lead what held others have; no two of all have active conversations on one channel.

    Raises Blocked: too many tags or custom fields.
    """
    changes = _gained(target, sources)
    moment = clock.stamp()
    different = leads.change(target, changes, moment)
    numbers = [lead.number for lead in sources]
    lead_erasure.entomb(tenant, numbers)  # first, for it frees their phones and external ids
    leads.move_counter(tenant, leads=-len(numbers))
    target.store(**{name: getattr(target, name) for name in (*different, *leads.DERIVED)}, updated_at=moment)
    _move_names(tenant, target, sources)
    _move_assignments(tenant, target.number, numbers)
    for model in (Conversation, EventOccurrence):
        theirs = model.lead_number.in_(numbers)
        model.change(tenant, {model.lead_number: target.number}).where(theirs).execute()
    others = [lead.external_id for lead in sources if lead.external_id and lead.external_id != target.external_id]
    lead_aliases.note(tenant, numbers, target.number, others)


def _gained(target: Lead, sources: Sequence[Lead]) -> Any:
    """What shall become of the target: it wins, and of the sources the first that has what it lacks."""
    changes: dict[str, Any] = {
        "tags": [tag for lead in (target, *sources) for tag in lead.tags],
        "custom_fields": {
            name: text
            for lead in reversed(sources)
            for name, text in lead.custom_fields.items()
            if name not in target.custom_fields
        },
        "opted_out": sorted({channel for lead in (target, *sources) for channel in lead.opted_out}),
    }
    if target.name == _UNNAMED:
        changes["name"] = next((lead.name for lead in sources if lead.name != _UNNAMED), _UNNAMED)
    for column in ("email", "external_id", "timezone", "assigned_agent_id"):
        value = next((value for lead in sources if (value := getattr(lead, column))), None)
        if value and not getattr(target, column):
            changes[column] = value
    called = next((lead for lead in sources if lead.phone), None)
    if called is not None and not target.phone:
        changes["phone"], changes["phone_valid"] = called.phone, called.phone_valid
    moments = [lead.last_contacted_at for lead in (target, *sources) if lead.last_contacted_at]
    if moments:
        changes["last_contacted_at"] = max(moments)
    return changes


def _move_names(tenant: Tenant, target: Lead, sources: Sequence[Lead]) -> None:
    """Have whoever writes under a source's name, phone or address be known as the target.

    Phones that no channel has named come last of what is written to: the target's own goes before them.
    """
    for lead in sources:
        identities.hand_over(tenant, lead.number, target.number)
    phones = sorted({lead.phone for lead in sources} - {"", target.phone})
    emails = sorted({lead.email.lower() for lead in sources} - {"", target.email.lower()})
    if phones and target.phone and not identities.addresses(tenant, target.number, "whatsapp"):
        identities.add(tenant, target.number, "whatsapp", [target.phone.lstrip("+")])
    former = lead_erasure.ERASED_AT
    identities.add(tenant, target.number, "whatsapp", [phone.lstrip("+") for phone in phones], since=former)
    identities.add(tenant, target.number, "sms", phones, since=former)
    identities.add(tenant, target.number, "email", emails, since=former)


def _move_assignments(tenant: Tenant, target: int, sources: Sequence[int]) -> None:
    """Let one person count once in each A/B test: as the target does, where both take part in it."""
    taken = {row.test_id: row for row in ab_tallies.assignments(tenant, [target])}
    for row in ab_tallies.assignments(tenant, sources):
        own = taken.get(row.test_id)
        if own is None:
            row.store(lead_number=target)
            taken[row.test_id] = row
            continue
        stays = own.id if ab_tallies.fold(tenant, row, own) else None
        led = Conversation.ab_assignment_id == row.id
        Conversation.change(tenant, {Conversation.ab_assignment_id: stays}).where(led).execute()
