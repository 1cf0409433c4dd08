"""All that is kept of a person, read piece by piece: lists of objects as JSON has them, some hundred at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from . import audit_log, bodies, lead_aliases, lead_erasure, leads
from .ab_tallies import AbAssignment
from .ab_tests import AbTest, AbVariant
from .audit import AuditEntry
from .audit_log import Filters
from .conversations import Conversation, Message
from .deliveries import DeliveryAttempt
from .event_log import EventOccurrence
from .identities import ChannelIdentity
from .imports import ImportBatch
from .inbox import InboundEvent
from .leads import Lead
from .tenancy import Tenant

Objects = Iterator[list[dict[str, Any]]]
_AT_ONCE = 200


def find(tenant: Tenant, number: int) -> Lead:
    """The lead, deleted or not. Raises NotFound where nothing is kept of it: erased, merged, never there."""
    lead: Lead | None = Lead.of(tenant).where(Lead.number == number).first()
    if lead is None or lead_erasure.is_erased(lead):
        raise leads.not_found(lead_aliases.merged_into(tenant, number))
    return lead


def identities(tenant: Tenant, lead: Lead) -> Objects:
    """What channels call the person."""

    def shown(row: Any) -> dict[str, Any]:
        return {"channel": row.channel, "address": row.address, "since": row.created_at}

    return _by_id(ChannelIdentity, ChannelIdentity.of(tenant).where(ChannelIdentity.lead_number == lead.number), shown)


def conversations(tenant: Tenant, lead: Lead) -> Objects:
    """The conversations, without what was said in them."""

    def shown(row: Any) -> dict[str, Any]:
        body = bodies.conversation(tenant, row, [])
        del body["messages"]
        return body

    return _by_id(Conversation, Conversation.of(tenant).where(Conversation.lead_number == lead.number), shown)


def messages(tenant: Tenant, lead: Lead) -> Objects:
    """What was said, conversation by conversation in its order, with every call to a provider for it."""
    for talk, rows in _said(tenant, lead):
        calls = _attempts(tenant, [row.id for row in rows])
        yield [{"conversationId": talk.oid, **bodies.message(row), "deliveries": calls.get(row.id, [])} for row in rows]


def _said(tenant: Tenant, lead: Lead) -> Iterator[tuple[Conversation, list[Message]]]:
    talks: Any = Conversation.of(tenant, Conversation.id, Conversation.oid, Conversation.channel)
    for talk in list(talks.where(Conversation.lead_number == lead.number).order_by(Conversation.id)):
        last = 0
        while True:
            later = (Message.conversation_id == talk.id) & (Message.seq > last)
            rows: Any = list(Message.of(tenant).where(later).order_by(Message.seq).limit(_AT_ONCE))
            if not rows:
                break
            yield talk, rows
            last = rows[-1].seq


def _attempts(tenant: Tenant, ids: list[int]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    query: Any = DeliveryAttempt.of(tenant).where(DeliveryAttempt.message_id.in_(ids))
    for row in query.order_by(DeliveryAttempt.message_id, DeliveryAttempt.number):
        members = {
            "number": row.number,
            "state": row.state,
            "code": row.code,
            "detail": row.detail,
            "startedAt": row.started_at,
            "finishedAt": row.finished_at,
        }
        found.setdefault(row.message_id, []).append(members)
    return found


def inbound_events(tenant: Tenant, lead: Lead) -> Objects:
    """What providers told of the person, in their own words."""

    def shown(row: Any) -> dict[str, Any]:
        return {
            "channel": row.channel,
            "eventId": row.event_id,
            "receivedAt": row.created_at,
            "state": row.state,
            "reason": row.reason,
            "payload": row.payload,
        }

    for channel, names in sorted(lead_erasure.contacts(tenant, lead).items()):
        of_contact = (InboundEvent.channel == channel) & InboundEvent.contact.in_(sorted(names))
        yield from _by_id(InboundEvent, InboundEvent.of(tenant).where(of_contact), shown)
    for talk, rows in _said(tenant, lead):
        told = [f"status/{row.provider_message_id}" for row in rows if row.provider_message_id]
        of_message = (InboundEvent.channel == talk.channel) & InboundEvent.contact.in_(told)
        yield from _by_id(InboundEvent, InboundEvent.of(tenant).where(of_message), shown)


def outbound_events(tenant: Tenant, lead: Lead) -> Objects:
    """What subscribed addresses were told of the person."""

    def shown(row: Any) -> dict[str, Any]:
        return {
            "id": row.oid,
            "type": row.type,
            "createdAt": row.created_at,
            "payload": msgspec.Raw(row.payload.encode()),
        }

    return _by_id(EventOccurrence, EventOccurrence.of(tenant).where(EventOccurrence.lead_number == lead.number), shown)


def ab_tests(tenant: Tenant, lead: Lead) -> Objects:
    """The variants of A/B tests for which the person was drawn."""
    rows: Any = (
        AbAssignment.of(tenant, AbTest.oid, AbVariant.agent_config_id, AbAssignment.created_at)
        .join(AbTest, on=(AbTest.id == AbAssignment.test_id))
        .join(AbVariant, on=(AbVariant.id == AbAssignment.variant_id))
        .where(AbAssignment.lead_number == lead.number)
        .order_by(AbAssignment.id)
        .tuples()
    )
    yield [{"abTestId": test, "agentConfigId": agent, "assignedAt": moment} for test, agent, moment in rows]


def audit_entries(tenant: Tenant, lead: Lead) -> Objects:
    """Who did what to the lead and to its conversations, the newest first; from which address is left out."""
    talks: Any = Conversation.of(tenant, Conversation.oid).where(Conversation.lead_number == lead.number)
    for kind, ids in (("lead", [str(lead.number)]), ("conversation", [row.oid for row in talks])):
        for start in range(0, len(ids), _AT_ONCE):
            about = AuditEntry.resource_id.in_(ids[start : start + _AT_ONCE])
            entries = audit_log.matching(tenant, Filters(resource_type=kind)).where(about)
            for rows in audit_log.chunks(entries):
                yield [_entry(row) for row in rows]


def _entry(row: Any) -> dict[str, Any]:
    return {
        "timestamp": row.created_at,
        "action": row.action,
        "resource": {"type": row.resource_type, "id": row.resource_id},
        "actor": {"type": row.actor_type, "displayName": row.actor_name},
        "metadata": row.metadata,
    }


def provenance(tenant: Tenant, lead: Lead) -> dict[str, Any]:
    """Where the lead comes from: its source, the import that made it, its ids in the account's own system, merges."""
    batch = None
    if lead.import_batch_id is not None:
        batch = ImportBatch.of(tenant).where(ImportBatch.oid == lead.import_batch_id).first()
    return {
        "source": lead.source,
        "createdAt": lead.created_at,
        "import": None if batch is None else {"importBatchId": batch.oid, "createdAt": batch.created_at},
        "externalId": lead.external_id,
        "formerExternalIds": lead_aliases.external_ids_of(tenant, lead.number),
        "mergedFrom": lead_aliases.sources_of(tenant, lead.number),
    }


def _by_id(model: Any, query: Any, shown: Callable[[Any], dict[str, Any]]) -> Objects:
    """The rows of a query in the order in which they were written."""
    last = 0
    while True:
        rows = list(query.where(model.id > last).order_by(model.id).limit(_AT_ONCE))
        if not rows:
            return
        yield [shown(row) for row in rows]
        last = rows[-1].id
