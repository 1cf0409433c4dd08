"""Exporting a person: the archive has a word from every table that holds one, and nothing of anybody else."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile

import pytest

from engine import lead_merge
from engine.privacy import erasing, exporting
from storage import (
    ab_tallies,
    ab_tests,
    audit,
    clock,
    conversations,
    database,
    identities,
    inbox,
    leads,
)
from storage.ab_tests import NewVariant
from storage.conversations import Message
from storage.errors import NotFound
from storage.inbox import NewEvent
from tests.engine import test_erasing
from tests.engine.test_erasing import MARKER, PHONE

agent, person = test_erasing.agent, test_erasing.person

FILES = [
    *("manifest.json", "lead.json", "opt_outs.json", "provenance.json", "identities.json", "conversations.json"),
    *("messages.json", "inbound_events.json", "outbound_events.json", "ab_tests.json", "audit.json"),
]


def opened(pieces):
    """The files of an archive by name, decoded."""
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


@pytest.fixture
def export(tenant):
    return lambda lead: opened(exporting.archive(tenant, lead.number))


def test_every_file_has_what_is_known(tenant, agent, person, export):
    test = ab_tests.add(tenant, "Test", None, [NewVariant(agent.oid, agent.name, 1)])
    with database.transaction():
        ab_tallies.assign(tenant, test.id, ab_tests.variants(tenant, [test])[test.id][0].id, person.number)
        audit.record(tenant, test_erasing.ACTOR, "conversation.started", "665f1c2e9b1d4a0012ab3401")

    files = export(person)

    assert list(files) == FILES
    assert files["manifest.json"]["files"] == FILES[1:]
    assert (files["manifest.json"]["schemaVersion"], files["manifest.json"]["leadId"]) == (1, person.number)
    assert (files["lead.json"]["phone"], files["lead.json"]["customFields"]) == (PHONE, {MARKER: MARKER})
    assert files["provenance.json"]["formerExternalIds"] == [f"{MARKER}-former"]
    assert [(each["channel"], each["address"]) for each in files["identities.json"]] == [("telegram", MARKER)]
    [talk], [message] = files["conversations.json"], files["messages.json"]
    assert (talk["summary"], talk["_id"]) == (MARKER, message["conversationId"])
    assert [(call["number"], call["code"]) for call in message["deliveries"]] == [(1, MARKER)]
    assert sorted(event["channel"] for event in files["inbound_events.json"]) == ["telegram", "whatsapp", "whatsapp"]
    assert [event["payload"]["type"] for event in files["outbound_events.json"]] == ["lead.updated"]
    assert [each["abTestId"] for each in files["ab_tests.json"]] == [test.oid]
    actions = [entry["action"] for entry in files["audit.json"]]
    assert {"lead.created", "lead.updated", "conversation.started"} <= set(actions)
    assert not any("ip" in entry["actor"] for entry in files["audit.json"])


def test_nothing_of_others_is_in_it(tenant, other_tenant, person, make_lead, export):
    make_lead(other_tenant, name="Foreigner")
    neighbour = make_lead(name="Neighbour", phone="+12025550177")
    with database.transaction():
        identities.add(tenant, person.number, "telegram", ["77"])
        inbox.store(tenant, "telegram", [NewEvent("n", "78", {"text": "Neighbour"})])

    assert "Neighbour" not in json.dumps(export(person))
    files = export(neighbour)
    assert MARKER not in json.dumps(files)
    with pytest.raises(NotFound):
        exporting.archive(other_tenant, neighbour.number)


def test_deleted_lead_is_exported_and_an_erased_or_merged_one_is_not(tenant, actor, person, make_lead, export):
    merged, survivor = make_lead(name="Ada"), make_lead()
    lead_merge.merge(tenant, survivor.number, [merged.number], actor)
    assert export(survivor)["provenance.json"]["mergedFrom"] == [merged.number]
    leads.delete(tenant, person.number, actor)
    assert export(person)["manifest.json"]["deletedAt"]
    erasing.erase(tenant, person.number, actor)

    for lead in (person, merged):
        with pytest.raises(NotFound):
            exporting.archive(tenant, lead.number)


def test_long_conversation_comes_in_pieces_whole_and_in_order(tenant, agent, make_lead, export):
    lead = make_lead()
    with database.transaction():
        talk = conversations.add(tenant, conversations.lock_lead(tenant, lead.number), "email", agent.oid, None)
        shared = {"conversation_id": talk.id, "role": "lead", "content": "word " * 200, "created_at": clock.stamp()}
        shared |= {"discloses_ai": False, "citations": []}
        rows = [{**shared, "oid": f"{seq:024x}", "seq": seq} for seq in range(1, 2001)]
        for start in range(0, len(rows), 500):
            columns = Message._meta.fields
            Message.add_all(
                tenant, [{columns[k]: v for k, v in row.items()} for row in rows[start : start + 500]]
            ).execute()

    tracemalloc.start()
    pieces = list(exporting.archive(tenant, lead.number))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert all(pieces)
    assert peak < 2_500_000
    assert [message["id"] for message in opened(pieces)["messages.json"]] == [row["oid"] for row in rows]
