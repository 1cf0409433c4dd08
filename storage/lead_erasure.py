"""Erasing a person: what their account knows of them goes, in one transaction; their lead's number stays taken.

A tombstone is a lead without anything personal, deleted at the beginning of time: too long ago to be restored, so that
every reader takes it for one that is not there, and what only counts people keeps its meaning.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from peewee import ModelDelete, ModelSelect

from . import clock, event_log, identities, lead_aliases, leads
from .conversation_events import ConversationEvent
from .conversations import Conversation, Message
from .deliveries import DeliveryAttempt, lane_of
from .identities import ChannelIdentity
from .inbox import InboundEvent
from .leads import Lead, locked
from .outbox import OutboxRow
from .tenancy import Tenant

ERASED_AT = "1970-01-01T00:00:00.000Z"
_AT_ONCE = 500  # values in one statement
_CALLED_BY_PHONE = ("whatsapp", "sms")

_BLANK: dict[Any, Any] = {
    Lead.name: "Erased",
    Lead.name_key: "",
    Lead.phone: "",
    Lead.phone_valid: True,
    Lead.email: "",
    Lead.source: "api",
    Lead.tags: [],
    Lead.assigned_agent_id: None,
    Lead.ab_test_id: None,
    Lead.agent_assigned_by: "auto",
    Lead.custom_fields: {},
    Lead.external_id: None,
    Lead.timezone: None,
    Lead.opted_out: [],
    Lead.import_batch_id: None,
    Lead.last_contacted_at: None,
    Lead.search_text: "",
}


@dataclass(frozen=True, slots=True)
class Erased:
    """How many rows of each sort are gone."""

    conversations: int = 0
    messages: int = 0
    delivery_attempts: int = 0
    identities: int = 0
    inbound_events: int = 0
    queued_jobs: int = 0
    outbound_events: int = 0


def hold(tenant: Tenant, number: int) -> Lead:
    """The lead, deleted or not, whose phone and number of leads nobody else moves meanwhile. Raises NotFound."""
    leads.enter(tenant)
    lead: Lead | None = locked(Lead.of(tenant).where(Lead.number == number)).first()
    if lead is None:
        raise leads.not_found()
    return lead


def is_erased(lead: Lead) -> bool:
    """Whether this is a tombstone."""
    return lead.deleted_at == ERASED_AT


def erase(tenant: Tenant, lead: Lead) -> Erased:
    """Erase a lead that `hold` gave, in its transaction; what runs for it meanwhile finds nothing to write to."""
    talks: Any = Conversation.of(tenant).where(Conversation.lead_number == lead.number).order_by(Conversation.id)
    held = list(locked(talks))
    called = contacts(tenant, lead)
    said, attempts, events, lanes = _erase_messages(tenant, held)
    heard, heard_lanes = _erase_inbound(tenant, called, events)
    queued = _erase_jobs(tenant, {*lanes, *heard_lanes})
    _each(Conversation.remove(tenant), Conversation.id, [talk.id for talk in held])
    named = ChannelIdentity.remove(tenant).where(ChannelIdentity.lead_number == lead.number).execute()
    told = event_log.erase_subject(tenant, lead.number)
    if lead.deleted_at is None:
        leads.move_counter(tenant, leads=-1)
    lead_aliases.forget(tenant, lead.number)
    entomb(tenant, [lead.number])
    return Erased(len(held), said, attempts, int(named), heard, queued, told)


def entomb(tenant: Tenant, numbers: Collection[int]) -> None:
    """Make tombstones of held leads; whoever does it counts them off."""
    values = {**_BLANK, Lead.deleted_at: ERASED_AT, Lead.updated_at: clock.stamp()}
    Lead.change(tenant, values).where(Lead.number.in_(list(numbers))).execute()


def expired(before: datetime, limit: int, *, silent_too: bool) -> list[tuple[int, int]]:
    """Leads of all tenants deleted before then, the first first: (tenant's row, number).

    silent_too: those that asked for silence, as well.
    """
    query: Any = ModelSelect(Lead, [Lead.tenant_id, Lead.number])
    query = query.where((Lead.deleted_at > ERASED_AT) & (Lead.deleted_at <= clock.iso(before)))
    if not silent_too:
        query = query.where(Lead.opted_out == [])
    return [(owner, number) for owner, number in query.order_by(Lead.deleted_at).limit(limit).tuples()]


def contacts(tenant: Tenant, lead: Lead) -> dict[str, set[str]]:
    """What each channel may call the person by, as inbound events are ordered."""
    found: dict[str, set[str]] = {"email": {lead.email, lead.email.lower()} - {""}}
    for channel in _CALLED_BY_PHONE if lead.phone else ():
        found[channel] = {lead.phone, lead.phone.lstrip("+")}
    for channel, address in identities.all_of(tenant, lead.number):
        found.setdefault(channel, set()).add(address)
    return found


def _erase_messages(tenant: Tenant, held: Collection[Conversation]) -> tuple[int, int, dict[str, set[str]], list[str]]:
    """(messages, attempts, contacts of the events that told of them by channel, lanes in which they were worked on)."""
    told: dict[str, set[str]] = {}
    lanes: list[str] = []
    messages = attempts = 0
    for talk in held:
        mine: Any = Message.of(tenant, Message.id, Message.provider_message_id)
        rows = list(mine.where(Message.conversation_id == talk.id).tuples())
        told.setdefault(talk.channel, set()).update(f"status/{name}" for _, name in rows if name)
        lanes += [talk.oid, lane_of(talk.oid), f"{talk.oid}/idle"]
        ids = [row_id for row_id, _ in rows]
        attempts += _each(DeliveryAttempt.remove(tenant), DeliveryAttempt.message_id, ids)
        messages += _each(Message.remove(tenant), Message.id, ids)
        ConversationEvent.remove(tenant).where(ConversationEvent.conversation_id == talk.id).execute()
    return messages, attempts, told, lanes


def _erase_inbound(
    tenant: Tenant, contacts: dict[str, set[str]], statuses: dict[str, set[str]]
) -> tuple[int, set[str]]:
    """(events, lanes in which they were processed)."""
    count, lanes = 0, set()
    for channel in sorted({*contacts, *statuses}):
        names = sorted(contacts.get(channel, set()) | statuses.get(channel, set()))
        on_channel = InboundEvent.remove(tenant).where(InboundEvent.channel == channel)
        found = _each(on_channel, InboundEvent.contact, names)
        count += found
        if found:
            lanes |= {f"{way}/{tenant.id}/{channel}/{name}" for name in names for way in ("in", "read")}
    return count, lanes


def _erase_jobs(tenant: Tenant, lanes: Collection[str]) -> int:
    """Whoever works on one of them loses its lease, and with that what it was about to write."""
    mine: Any = ModelDelete(OutboxRow).where(OutboxRow.tenant_id == tenant.id)
    return _each(mine, OutboxRow.lane, sorted(lanes))


def _each(deleting: Any, column: Any, values: Iterable[Any]) -> int:
    wanted = list(values)
    return sum(
        int(deleting.where(column.in_(wanted[start : start + _AT_ONCE])).execute())
        for start in range(0, len(wanted), _AT_ONCE)
    )
