"""What no request can ask: queries that start from a row which was read inside the tenant a moment ago.

Their tenant condition is a second lock on a door that is shut already. So it is tried directly: with another tenant's
row in hand, or with a row that has strayed into an object of somebody else's. Each probe says what it found, or None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from storage import (
    agent_versions,
    agents,
    clock,
    conversations,
    imports,
    integrations,
    lead_import,
    lead_lists,
    leads,
    outbox,
    usage,
)
from storage.conversations import Conversation, Filters, Message
from storage.errors import Conflict, NotFound
from storage.ids import new_id
from storage.imports import ImportBatch, Order, Upload
from storage.integrations import Integration, IntegrationAddress
from storage.lead_import import ImportRow
from storage.lead_lists import LeadFilter
from storage.leads import Lead, NewLead
from storage.tenancy import SYSTEM, Tenant

from .ab_test_probes import AB_TEST_PROBES
from .analytics_probes import ANALYTICS_PROBES
from .delivery_probes import DELIVERY_PROBES
from .event_probes import EVENT_PROBES
from .person_probes import PERSON_PROBES
from .source_probes import SOURCE_PROBES
from .worlds import MARK, Party, World

Probe = Callable[[World], str | None]


def _parties(world: World) -> tuple[Tenant, Party]:
    assert world.victim is not None
    return world.attacker.tenant, world.victim


def _conversation(party: Party) -> Conversation:
    return conversations.get(party.tenant, party.values["conversation"][0])


def _stray_message(world: World, **columns: Any) -> Conversation:
    """A conversation of the attacker's, in which a message of the victim's has got lost."""
    _, victim = _parties(world)
    held = _conversation(world.attacker)
    values = {"oid": new_id(), "role": "agent", "created_at": held.created_at, "content": f"{MARK} has strayed"}
    Message.add(victim.tenant, conversation_id=held.id, seq=50, **{**values, **columns})
    return held


def _found(name: str, answer: Any) -> str | None:
    return f"{name} found {answer!r}" if answer else None


def _answers(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except NotFound:
        return None


def a_conversation_by_its_row(world: World) -> str | None:
    attacker, victim = _parties(world)
    row = _conversation(victim)
    return _found("by_row", _answers(lambda: conversations.by_row(attacker, row.id)))


def the_latest_conversation_of_a_lead(world: World) -> str | None:
    attacker, victim = _parties(world)
    return _found("latest_of", conversations.latest_of(attacker, victim.values["lead"][0], "whatsapp"))


def a_message_by_its_id(world: World) -> str | None:
    attacker, victim = _parties(world)
    said = conversations.messages(victim.tenant, _conversation(victim))[0]
    return _found("message", _answers(lambda: conversations.message(attacker, said.oid)))


def messages_of_a_conversation(world: World) -> str | None:
    attacker, victim = _parties(world)
    held = _conversation(victim)
    ways: dict[str, Any] = {
        "messages": conversations.messages(attacker, held),
        "messages_before": conversations.messages_before(attacker, held, 2, 10),
        "message_at": conversations.message_at(attacker, held, 1),
        "unanswered": conversations.unanswered(attacker, held),
        "message_page": conversations.message_page(attacker, held, limit=10)[0],
        "said_by_human_since": conversations.said_by_human_since(attacker, held, 0),
        "count_in_stage": conversations.count_in_stage(attacker, held, "stage-1"),
        "latest_messages": conversations.latest_messages(attacker, [held])[held.id],
    }
    return _found("messages", [name for name, found in ways.items() if found])


def a_stray_message_in_the_count_of_a_stage(world: World) -> str | None:
    held = _stray_message(world, stage_id="stage-9")
    counted = conversations.count_in_stage(world.attacker.tenant, held, "stage-1")
    return None if counted == held.message_count else f"count_in_stage counted {counted}"


def a_stray_message_by_its_words(world: World) -> str | None:
    _stray_message(world)
    mentioning = conversations.page(world.attacker.tenant, Filters(search="has strayed"), limit=10)[0]
    return _found("page", mentioning)


def deleting_an_agent_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    agent = agents.get(victim.tenant, victim.values["agent"][1])
    agents.delete(attacker, agent)
    return None if _answers(lambda: agents.get(victim.tenant, agent.oid)) else "delete took another's agent"


def versions_of_an_agent_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    agent = agents.get(victim.tenant, victim.values["agent"][0])
    page, total, _ = agent_versions.page(attacker, agent.id, limit=10)
    one = _answers(lambda: agent_versions.get(attacker, agent.id, 1))
    return _found("agent_versions", [each for each in (page, total, one) if each])


def a_lead_by_its_external_id(world: World) -> str | None:
    attacker, victim = _parties(world)
    return _found("find_by_external_id", leads.find_by_external_id(attacker, victim.values["external id"][0]))


def a_lead_by_its_email(world: World) -> str | None:
    attacker, victim = _parties(world)
    return _found("find_by_email", leads.find_by_email(attacker, victim.values["email"][0]))


def a_lead_in_a_list_of_another_order(world: World) -> str | None:
    attacker, victim = _parties(world)
    wanted = LeadFilter(external_id=victim.values["external id"][0])
    return _found("page", lead_lists.page(attacker, wanted, limit=10, sort="name")[0])


def the_bytes_of_an_upload(world: World) -> str | None:
    attacker, victim = _parties(world)
    return _found("pieces", list(imports.pieces(attacker, _upload(victim).id)))


def discarding_an_upload_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    imports.discard(attacker, _upload(victim).id)
    return None if Upload.of(victim.tenant).count() else "discard took another's upload"


def an_import_that_has_strayed_to_an_upload(world: World) -> str | None:
    attacker, victim = _parties(world)
    upload = _upload(world.attacker)
    batch: ImportBatch = ImportBatch.of(victim.tenant).first()
    batch.store(upload_id=upload.id, status="queued")
    try:
        imports.hold_upload(attacker, upload.oid)
    except Conflict as error:
        return f"hold_upload was refused for the sake of {error.details}"
    return None


def a_lead_of_the_same_number_in_an_import(world: World) -> str | None:
    attacker, victim = _parties(world)
    theirs = leads.get(victim.tenant, victim.values["lead"][0])
    mine = leads.create(attacker, NewLead(phone="+12025550177"), SYSTEM)
    mine.store(number=theirs.number)
    batch = imports.open_batch(attacker, Order({}, on_duplicate="update"), SYSTEM)
    rows = [ImportRow(row, {"phone": phone, "name": "Ada"}) for row, phone in enumerate((mine.phone, theirs.phone), 2)]
    outcome = lead_import.store(attacker, batch, rows)
    return _found("store", outcome.updated - 1)


def a_lead_that_has_strayed_to_an_import(world: World) -> str | None:
    attacker, victim = _parties(world)
    lead = leads.get(victim.tenant, victim.values["lead"][0])
    lead.store(import_batch_id=world.attacker.values["import batch"][0])
    imports.undo(attacker, world.attacker.values["import batch"][0], SYSTEM)
    [after] = Lead.of(victim.tenant).where(Lead.number == lead.number)
    return _found("undo", after.deleted_at)


def a_conversation_that_has_strayed_to_an_agent(world: World) -> str | None:
    attacker, victim = _parties(world)
    agent = world.attacker.values["agent"][1]
    _conversation(victim).store(agent_config_id=agent)
    return _found("are_led_by", conversations.are_led_by(attacker, agent))


def rows_of_the_outbox_that_failed(world: World) -> str | None:
    attacker, _ = _parties(world)
    return _found("parked", [row.lane for row in outbox.parked(attacker) if row.lane.startswith(MARK)])


def _stray_address(world: World) -> tuple[Integration, IntegrationAddress]:
    """An integration of the attacker's, to which an address of the victim's has strayed."""
    attacker, victim = _parties(world)
    held = integrations.get(attacker, "whatsapp")
    values = {"integration_id": held.id, "channel": "whatsapp", "address": "77", "proven_at": None}
    return held, IntegrationAddress.add(victim.tenant, **values)


def an_address_that_has_strayed_to_an_integration(world: World) -> str | None:
    attacker, victim = _parties(world)
    held, stray = _stray_address(world)
    integrations.set_addresses(attacker, held, ["78"])
    return None if list(IntegrationAddress.of(victim.tenant).where(IntegrationAddress.id == stray.id)) else "deleted"


def a_stray_address_that_is_proven(world: World) -> str | None:
    attacker, victim = _parties(world)
    held, stray = _stray_address(world)
    integrations.note_health(attacker, held, "healthy", "", {}, ["77"])
    [after] = IntegrationAddress.of(victim.tenant).where(IntegrationAddress.id == stray.id)
    return _found("note_health", after.proven_at)


def deleting_an_integration_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    theirs = integrations.get(victim.tenant, "telegram")
    integrations.remove(attacker, theirs)
    return None if integrations.by_oid(theirs.oid) else "deleted"


def what_another_used(world: World) -> str | None:
    attacker, victim = _parties(world)
    now = clock.now()
    usage.add(victim.tenant, now, messages_sent=7)
    told = [month.messages_sent for month in usage.months(attacker, 12)]
    if not world.same_account:  # whose budgets are one
        told += [count for count in [usage.spent(attacker, now).messages_sent] if count]
    return _found("usage", told)


def _upload(party: Party) -> Upload:
    [upload] = Upload.of(party.tenant).where(Upload.oid == party.values["upload"][0])
    return upload


PROBES: tuple[Probe, ...] = (
    a_conversation_by_its_row,
    the_latest_conversation_of_a_lead,
    a_message_by_its_id,
    messages_of_a_conversation,
    a_stray_message_in_the_count_of_a_stage,
    a_stray_message_by_its_words,
    deleting_an_agent_that_was_read_elsewhere,
    versions_of_an_agent_that_was_read_elsewhere,
    a_lead_by_its_external_id,
    a_lead_by_its_email,
    a_lead_in_a_list_of_another_order,
    the_bytes_of_an_upload,
    discarding_an_upload_that_was_read_elsewhere,
    an_import_that_has_strayed_to_an_upload,
    a_lead_of_the_same_number_in_an_import,
    a_lead_that_has_strayed_to_an_import,
    a_conversation_that_has_strayed_to_an_agent,
    rows_of_the_outbox_that_failed,
    an_address_that_has_strayed_to_an_integration,
    a_stray_address_that_is_proven,
    deleting_an_integration_that_was_read_elsewhere,
    what_another_used,
    *AB_TEST_PROBES,
    *ANALYTICS_PROBES,
    *DELIVERY_PROBES,
    *EVENT_PROBES,
    *PERSON_PROBES,
    *SOURCE_PROBES,
)
