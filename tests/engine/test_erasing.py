"""Erasing a person: no table keeps a word of them, and nothing that runs meanwhile brings one back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine import vault
from engine.compliance import facts
from engine.inbound import silence as asking
from engine.privacy import erasing
from storage import (
    agents,
    audit,
    clock,
    conversation_events,
    conversations,
    database,
    deliveries,
    event_subscriptions,
    identities,
    inbox,
    lead_aliases,
    lead_erasure,
    leads,
    outbox,
)
from storage.errors import Blocked, NotFound
from storage.inbox import NewEvent
from storage.leads import Lead
from storage.outbox import LeaseLost, OutboxRow
from tests.conftest import ACTOR, ENGINE, SECRET_KEY

MARKER = "qzmarkerqz"
PHONE = "+12025550199"

COVERED = {
    "lead",
    "channel_identity",
    "conversation",
    "message",
    "conversation_event",
    "delivery_attempt",
    "inbound_event",
    "outbox_row",
    "event_occurrence",
    "event_delivery",
    "event_attempt",
    "lead_alias",
}
_OF_THE_ACCOUNT = "what the account itself is and says"
_COUNTS = "counts people by words of the account (tag, source, agent), and knows none of them"
_INDEX = "an index of lead.search_text, which triggers keep"
NOT_PERSONAL = {
    **dict.fromkeys(("account", "account_environment", "api_key", "agent_config", "agent_version"), _OF_THE_ACCOUNT),
    **dict.fromkeys(("integration", "integration_address", "event_subscription"), _OF_THE_ACCOUNT),
    **dict.fromkeys(("ab_test", "ab_variant"), _OF_THE_ACCOUNT),
    **dict.fromkeys(("member", "invitation"), "colleagues, not leads"),
    **dict.fromkeys(("lead_counter", "lead_tally", "ab_tally", "usage_month"), _COUNTS),
    **dict.fromkeys(("analytics_change", "analytics_fact", "analytics_tally"), _COUNTS),
    **dict.fromkeys(("campaign", "campaign_tally", "campaign_pace"), _OF_THE_ACCOUNT),
    "campaign_recipient": "a lead's number and what became of it",
    "ab_assignment": "a lead's number and its variant",
    "lead_merge": "numbers of leads",
    "delivery_pace": "a lead's number and a time",
    "lead_text_mark": "a row id",
    "suppression": "keyed digests, kept on purpose",
    "upload": "sizes",
    "upload_piece": "a file of the account, deleted when it is imported or after 24 hours",
    "import_batch": "counts, and rows that were refused: they are no lead's",
    "audit_entry": "a lead's number, names of what changed, and counts",
    "audit_chain": "digests",
    "idempotency_record": "sealed under the client's own key, which is not stored, and deleted after 24 hours",
    "schema_migration": "names of migrations",
    "sqlite_sequence": "the last row ids",
}
_QUEUE = "the doorbell's own, which holds names of lanes"
_PREFIXES = {"knowledge_": _OF_THE_ACCOUNT, "lead_text": _INDEX, "huey_": _QUEUE}


@pytest.fixture
def agent(tenant):
    return agents.add(tenant, {"name": "Ada's agent", "handoff_message": "A person takes over"})


@pytest.fixture
def person(tenant, agent, make_lead):
    """A lead who has a marker wherever something of a person can stand."""
    event_subscriptions.EventSubscription.add(
        tenant,
        oid="665f1c2e9b1d4a0012ab3499",
        url="https://example.com",
        events="lead.updated",
        state="active",
        secrets="",
        failures=0,
        created_at=clock.stamp(),
        updated_at=clock.stamp(),
    )
    lead = make_lead(
        name=MARKER,
        phone=PHONE,
        email=f"{MARKER}@example.com",
        custom_fields={MARKER: MARKER},
        external_id=MARKER,
    )
    with database.transaction():
        leads.update(tenant, lead.number, {"name": f"{MARKER} II"}, ACTOR)
        _talk(tenant, agent, lead)
        identities.add(tenant, lead.number, "telegram", [MARKER])
        inbox.store(tenant, "telegram", [NewEvent(f"{MARKER}-1", MARKER, {"text": MARKER}, MARKER)])
        inbox.store(tenant, "whatsapp", [NewEvent("wamid", PHONE[1:], {"text": MARKER})])
        inbox.store(tenant, "whatsapp", [NewEvent("status", f"status/{MARKER}", {"to": MARKER})])
        outbox.put(tenant, "inbound", f"in/{tenant.id}/telegram/{MARKER}", {"event": MARKER})
        lead_aliases.note(tenant, [900], lead.number, [f"{MARKER}-former"])
    return leads.get(tenant, lead.number)


def put(tenant, lead, **values):
    """Write these columns of a lead behind everybody's back."""
    columns = {Lead._meta.fields[name]: value for name, value in values.items()}
    Lead.change(tenant, columns).where(Lead.number == lead.number).execute()


def _talk(tenant, agent, lead):
    moment = clock.stamp()
    talk = conversations.Conversation.add(
        tenant,
        oid="665f1c2e9b1d4a0012ab3401",
        lead_number=lead.number,
        agent_config_id=agent.oid,
        channel="whatsapp",
        lead_phone=PHONE,
        lead_email=MARKER,
        message_count=1,
        summary=MARKER,
        qualification_result={"reason": MARKER},
        created_at=moment,
        updated_at=moment,
    )
    message = conversations.Message.add(
        tenant,
        oid="665f1c2e9b1d4a0012ab3402",
        conversation_id=talk.id,
        seq=1,
        role="agent",
        content=MARKER,
        delivery_status="queued",
        delivery_code=MARKER,
        delivery_detail=MARKER,
        provider_message_id=MARKER,
        template={"parameters": [MARKER]},
        subject=MARKER,
        created_at=moment,
    )
    attempt = deliveries.begin(tenant, message, clock.now())
    attempt.store(code=MARKER, detail=MARKER)
    conversation_events.record(tenant, talk.id, "message", {"content": MARKER})
    row = outbox.put(tenant, "deliver", deliveries.lane_of(talk.oid), {"message": message.oid})
    OutboxRow.update(error=MARKER).where(OutboxRow.id == row).execute()


def tables(connected):
    if ENGINE == "sqlite":
        own = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
        return {name for (name,) in connected.execute_sql(own).fetchall()}
    return set(connected.get_tables())


def marked(connected):
    """The tables in which some row has the marker or the phone."""
    found = set()
    for table in tables(connected):
        for row in connected.execute_sql(f'SELECT * FROM "{table}"').fetchall():
            text = " ".join(
                bytes(v).decode(errors="ignore") if isinstance(v, bytes | memoryview) else str(v) for v in row
            )
            if MARKER in text or PHONE[1:] in text:
                found.add(table)
    return found


def test_every_table_is_erased_from_or_known_to_hold_nothing_personal(database):
    unknown = {
        table for table in tables(database) - COVERED - NOT_PERSONAL.keys() if not table.startswith(tuple(_PREFIXES))
    }

    assert not unknown


def test_nothing_of_a_person_is_left_in_any_table(database, tenant, actor, person):
    assert marked(database) >= COVERED - {"event_delivery", "event_attempt"}

    erased, _ = erasing.erase(tenant, person.number, actor)

    assert marked(database) == set()
    assert (erased.conversations, erased.messages, erased.delivery_attempts) == (1, 1, 1)
    assert (erased.identities, erased.inbound_events, erased.queued_jobs, erased.outbound_events) == (1, 3, 2, 1)


if ENGINE == "sqlite":  # PostgreSQL overwrites what is gone when it vacuums, and its index of text is of the rows

    def test_nothing_of_a_person_is_left_in_the_file(database, tenant, actor, person, tmp_path):
        erasing.erase(tenant, person.number, actor)
        database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")

        assert MARKER.encode() not in (tmp_path / "newleaf.db").read_bytes()

    def test_index_of_text_finds_the_person_no_more(database, tenant, actor, person):
        database.execute_sql("UPDATE lead_text_mark SET indexed_to = (SELECT MAX(id) FROM lead)")
        found = "SELECT COUNT(*) FROM lead_text WHERE lead_text MATCH ?"
        assert database.execute_sql(found, (MARKER,)).fetchone() == (1,)

        erasing.erase(tenant, person.number, actor)

        assert database.execute_sql(found, (MARKER,)).fetchone() == (0,)


def test_erased_lead_is_gone_and_its_number_stays_taken(tenant, actor, person, make_lead):
    erasing.erase(tenant, person.number, actor)

    with pytest.raises(NotFound):
        leads.get(tenant, person.number)
    with pytest.raises(NotFound):
        leads.restore(tenant, person.number, actor)
    assert leads.count(tenant) == 0
    assert make_lead(phone=PHONE).number == person.number + 1


def test_second_erasure_erases_nothing_and_is_not_audited(tenant, actor, person):
    erasing.erase(tenant, person.number, actor)

    assert erasing.erase(tenant, person.number, actor) == (lead_erasure.Erased(), False)
    entries = audit.AuditEntry.of(tenant.account_id).where(audit.AuditEntry.action == "lead.erased")
    assert entries.count() == 1


def test_another_persons_data_stay(tenant, other_tenant, actor, person, make_lead):
    neighbour, foreigner = make_lead(name="Bob"), make_lead(other_tenant, phone=PHONE)

    erasing.erase(tenant, person.number, actor)

    assert leads.get(tenant, neighbour.number).name == "Bob"
    assert leads.get(other_tenant, foreigner.number).phone == PHONE
    with pytest.raises(NotFound):
        erasing.erase(other_tenant, 99, actor)


def test_worker_that_is_at_it_loses_its_lease(tenant, actor, person):
    claim = outbox.claim(clock.now(), lambda kind: 60.0, f"in/{tenant.id}/telegram/{MARKER}")

    erasing.erase(tenant, person.number, actor)

    with pytest.raises(LeaseLost), database.transaction():
        outbox.complete(claim)


class TestSilence:
    @pytest.fixture
    def silent(self, tenant, actor, person, secret_key):
        with database.transaction():
            asking.opt_out(tenant, conversations.lock_lead(tenant, person.number), None)
        assert erasing.erase(tenant, person.number, actor)[1]

    def test_who_opted_out_is_not_written_to_after_an_import(self, tenant, silent, make_lead):
        again = make_lead(phone=PHONE)

        assert "sms" in facts.facts_of(tenant, again, "sms").opted_out
        assert facts.facts_of(tenant, make_lead(), "sms").opted_out == []

    def test_it_ends_when_the_person_asks_for_it(self, tenant, silent, make_lead):
        again = make_lead(phone=PHONE)
        with database.transaction():
            asking.opt_in(tenant, again)

        assert facts.facts_of(tenant, again, "sms").opted_out == []

    def test_another_account_may_write(self, other_tenant, silent, make_lead):
        assert facts.facts_of(other_tenant, make_lead(other_tenant, phone=PHONE), "sms").opted_out == []

    def test_without_a_key_nothing_is_erased(self, tenant, actor, make_lead):
        vault.configure(None)
        lead = make_lead(name="Ada")
        put(tenant, lead, opted_out=["sms"])

        with pytest.raises(Blocked, match="no key"):
            erasing.erase(tenant, lead.number, actor)
        assert leads.get(tenant, lead.number).name == "Ada"


class TestExpiry:
    def test_lead_is_erased_thirty_days_after_it_was_deleted(self, tenant, actor, make_lead):
        old, recent, live = make_lead(name="Old"), make_lead(name="Recent"), make_lead()
        now = clock.now()
        leads.delete(tenant, old.number, actor)
        leads.delete(tenant, recent.number, actor)
        put(tenant, old, deleted_at=clock.iso(now - timedelta(days=30)))
        put(tenant, recent, deleted_at=clock.iso(now - timedelta(days=29)))

        assert (erasing.erase_expired(), erasing.erase_expired()) == (1, 0)

        names = {lead.number: lead.name for lead in Lead.of(tenant)}
        assert (names[old.number], names[recent.number]) == ("Erased", "Recent")
        assert leads.restore(tenant, recent.number, actor).name == "Recent"
        assert leads.count(tenant) == 2
        assert live.number in names

    def test_one_round_is_bounded(self, tenant, actor, make_lead):
        for _ in range(3):
            lead = make_lead()
            leads.delete(tenant, lead.number, actor)
            put(tenant, lead, deleted_at=clock.iso(clock.now() - timedelta(days=31)))

        assert [erasing.erase_expired(2) for _ in range(3)] == [2, 1, 0]

    def test_silent_lead_waits_for_a_key(self, tenant, actor, make_lead):
        lead = make_lead()
        leads.delete(tenant, lead.number, actor)
        put(tenant, lead, deleted_at=clock.iso(clock.now() - timedelta(days=31)), opted_out=["sms"])

        assert erasing.erase_expired() == 0
        vault.configure(SECRET_KEY)
        assert erasing.erase_expired() == 1
        vault.configure(None)
