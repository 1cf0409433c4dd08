"""Merging leads: what the target gains, what becomes of the others, and that nothing of a person is lost or doubled."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from engine import lead_merge
from engine.channels import Sender
from engine.inbound import people
from storage import (
    ab_tallies,
    ab_tests,
    agents,
    audit,
    conversations,
    database,
    event_log,
    identities,
    lead_aliases,
    lead_sync,
    lead_tallies,
    leads,
    sync_items,
)
from storage.ab_tests import NewVariant
from storage.conversations import Conversation
from storage.errors import Blocked, NotFound
from storage.leads import Lead

A, B = "+12025550191", "+12025550192"


@pytest.fixture
def agent(tenant):
    return agents.add(tenant, {"name": "Ada's agent", "handoff_message": "A person takes over"})


@pytest.fixture
def merge(tenant, actor):
    return lambda into, *sources: lead_merge.merge(tenant, into.number, [each.number for each in sources], actor)


def talk(tenant, lead, agent, channel="whatsapp", **columns):
    with database.transaction():
        held = conversations.lock_lead(tenant, lead.number)
        opened = conversations.add(tenant, held, channel, agent.oid, None)
        if columns:
            opened.store(**columns)
        conversations.append(tenant, opened, "lead", "Hello")
    return opened


class TestProperties:
    def test_target_wins_and_gains_what_it_lacks(self, tenant, make_lead, merge):
        into = make_lead(phone=A, tags=["x"], custom_fields={"a": "1"}, timezone=None)
        first = make_lead(name="Ada", phone=B, tags=["y", "x"], custom_fields={"a": "2", "b": "2"}, external_id="crm-1")
        second = make_lead(name="Bob", email="b@example.com", custom_fields={"b": "3", "c": "3"}, timezone="Asia/Tokyo")

        merge(into, first, second)

        lead = leads.get(tenant, into.number)
        assert (lead.name, lead.phone, lead.email, lead.timezone) == ("Ada", A, "b@example.com", "Asia/Tokyo")
        assert (lead.tags, lead.external_id) == (["x", "y"], "crm-1")
        assert lead.custom_fields == {"a": "1", "b": "2", "c": "3"}
        assert [found.number for found in Lead.of(tenant).where(Lead.search_text.contains("ada"))] == [into.number]

    def test_wishes_for_silence_add_up(self, tenant, make_lead, merge):
        into, other = make_lead(phone=A), make_lead(phone=B)
        for lead, channel in ((into, "sms"), (other, "email")):
            Lead.change(tenant, {Lead.opted_out: [channel]}).where(Lead.number == lead.number).execute()

        assert merge(into, other).opted_out == ["email", "sms"]

    def test_too_many_tags_are_refused_and_nothing_is_written(self, tenant, make_lead, merge):
        into = make_lead(tags=[f"a{n}" for n in range(30)])
        other = make_lead(tags=[f"b{n}" for n in range(30)])

        with pytest.raises(Blocked, match="50 tags"):
            merge(into, other)
        assert leads.get(tenant, other.number).tags == other.tags

    def test_lead_into_itself_is_refused(self, make_lead, merge):
        lead, other = make_lead(), make_lead()

        with pytest.raises(Blocked) as refusal:
            merge(lead, other, lead)
        assert refusal.value.problems[0].path == "/from/1"

    def test_unknown_and_foreign_leads_are_named_by_their_place(self, tenant, other_tenant, actor, make_lead):
        lead = make_lead()
        make_lead(other_tenant)
        make_lead(other_tenant)

        with pytest.raises(NotFound) as refusal:
            lead_merge.merge(tenant, lead.number, [2, 99], actor)
        assert [problem.path for problem in refusal.value.problems] == ["/from/0", "/from/1"]
        with pytest.raises(NotFound) as refusal:
            lead_merge.merge(tenant, 7, [lead.number], actor)
        assert [problem.path for problem in refusal.value.problems] == ["/into"]


class TestSources:
    def test_source_is_gone_for_good_and_says_what_it_became(self, tenant, actor, make_lead, merge):
        into, other = make_lead(phone=A, tags=["x"]), make_lead(phone=B, tags=["x"])

        merge(into, other)

        with pytest.raises(NotFound):
            leads.restore(tenant, other.number, actor)
        assert lead_aliases.merged_into(tenant, other.number) == into.number
        assert leads.count(tenant) == lead_tallies.tallied(tenant, "tag", ["x"]) == 1
        entries = audit.AuditEntry.of(tenant.account_id).where(audit.AuditEntry.action == "lead.merged")
        assert [(entry.resource_id, entry.metadata) for entry in entries] == [("1", {"from": ["2"]})]

    def test_chain_of_merges_leads_to_the_last(self, tenant, make_lead, merge):
        first, second, third = (make_lead(external_id=f"crm-{n}") for n in range(3))

        merge(second, first)
        merge(third, second)

        assert [lead_aliases.merged_into(tenant, lead.number) for lead in (first, second)] == [third.number] * 2
        assert lead_aliases.external_ids_of(tenant, third.number) == ["crm-0", "crm-1"]

    def test_events_about_it_go_over(self, tenant, make_lead, merge):
        into, other = make_lead(), make_lead()
        row = event_log.EventOccurrence.add(
            tenant, oid="665f1c2e9b1d4a0012ab3499", type="x", lead_number=other.number, payload="{}", created_at="now"
        )

        merge(into, other)

        assert event_log.EventOccurrence.of(tenant).where(event_log.EventOccurrence.id == row.id).get().lead_number == 1


class TestConversations:
    def test_they_go_over_and_the_older_of_two_active_ones_is_completed(self, tenant, agent, make_lead, merge):
        into, other = make_lead(phone=A), make_lead(phone=B)
        ours, theirs = talk(tenant, into, agent), talk(tenant, other, agent)
        by_mail = talk(tenant, other, agent, "email")

        merge(into, other)

        found = {row.oid: (row.lead_number, row.status) for row in Conversation.of(tenant)}
        assert found == {
            ours.oid: (into.number, "completed"),
            theirs.oid: (into.number, "active"),
            by_mail.oid: (into.number, "active"),
        }
        assert len(conversations.messages(tenant, conversations.get(tenant, theirs.oid))) == 1

    def test_what_was_read_before_still_finds_its_lead(self, tenant, agent, make_lead, merge):
        from storage.lead_merge import lock_lead_of

        into, other = make_lead(), make_lead()
        theirs = talk(tenant, other, agent)

        merge(into, other)

        with database.transaction():
            assert lock_lead_of(tenant, theirs).number == into.number


class TestInbound:
    def test_names_and_phones_of_the_source_mean_the_target(self, tenant, make_lead, merge):
        into, other = make_lead(phone=A), make_lead(phone=B, email="Ada@example.com")
        make_lead(email="elsewhere@example.com")
        with database.transaction():
            identities.add(tenant, other.number, "telegram", ["77"])

        merge(into, other)

        for channel, sender in (
            ("telegram", Sender(("77",))),
            ("whatsapp", Sender((B[1:],), phone=B)),
            ("sms", Sender((B,), phone=B)),
            ("whatsapp", Sender((A[1:],), phone=A)),
        ):
            assert people.find(tenant, channel, sender) == into.number
        assert identities.addresses(tenant, into.number, "whatsapp") == [A[1:], B[1:]]


class TestSync:
    @pytest.fixture
    def sync(self, tenant, actor):
        def run(**raw):
            item = sync_items.read(0, raw, raw.get("phone", ""), True)
            [outcome], refused = lead_sync.sync(tenant, [item], source="crm", actor=actor)
            assert not refused
            return outcome.verb, outcome.number

        return run

    def test_old_external_id_means_the_target_which_keeps_its_own(self, tenant, make_lead, merge, sync):
        into, other = make_lead(phone=A, external_id="crm-1"), make_lead(phone=B, external_id="crm-2")
        merge(into, other)

        assert sync(lead_id="crm-2", name="Ada Lovelace") == ("updated", into.number)
        assert sync(lead_id="crm-2", name="Ada Lovelace") == ("unchanged", into.number)
        assert sync(lead_id="crm-1", name="Ada") == ("updated", into.number)
        assert leads.get(tenant, into.number).external_id == "crm-1"
        assert leads.count(tenant) == 1

    def test_old_external_id_of_a_deleted_target_makes_a_new_lead(self, tenant, actor, make_lead, merge, sync):
        into, other = make_lead(external_id="crm-1"), make_lead(external_id="crm-2")
        merge(into, other)
        leads.delete(tenant, into.number, actor)

        assert sync(lead_id="crm-2", name="Ada") == ("created", 3)
        assert sync(lead_id="crm-2", name="Ada") == ("unchanged", 3)


class TestAbTests:
    @pytest.fixture
    def test_of(self, tenant, agent):
        other = agents.add(tenant, {"name": "Bob's agent", "handoff_message": "A person takes over"})
        made = ab_tests.add(tenant, "Test", None, [NewVariant(each.oid, each.name, 1) for each in (agent, other)])
        ab_tests.set_status(made, "running")
        return made

    def join(self, tenant, test, lead, place, agent):
        with database.transaction():
            variant = ab_tests.variants(tenant, [test])[test.id][place]
            assignment = ab_tallies.assign(tenant, test.id, variant.id, lead.number)
        opened = talk(tenant, lead, agent, ab_assignment_id=assignment)
        with database.transaction():
            ab_tallies.note_verdict(tenant, assignment, None, {"qualified": True})
        return opened

    @pytest.mark.parametrize("place", [0, 1])
    def test_one_person_counts_once_and_as_the_target(self, tenant, agent, make_lead, merge, test_of, place):
        into, other = make_lead(), make_lead()
        ours = self.join(tenant, test_of, into, 0, agent)
        theirs = self.join(tenant, test_of, other, place, agent)

        merge(into, other)

        [assignment] = ab_tallies.assignments(tenant, [into.number, other.number])
        tallies = ab_tallies.tallies(tenant, test_of)
        led = conversations.get(tenant, theirs.oid).ab_assignment_id
        assert conversations.get(tenant, ours.oid).ab_assignment_id == assignment.id
        assert led == (assignment.id if place == 0 else None)
        assert sum(tally.leads for tally in tallies.values()) == 1
        assert sum(tally.qualified_leads for tally in tallies.values()) == 1
        assert sum(tally.qualified for tally in tallies.values()) == 2

    def test_place_of_the_source_goes_over_where_the_target_has_none(self, tenant, agent, make_lead, merge, test_of):
        into, other = make_lead(), make_lead()
        self.join(tenant, test_of, other, 1, agent)

        merge(into, other)

        [assignment] = ab_tallies.assignments(tenant, [into.number, other.number])
        assert assignment.lead_number == into.number


def test_merges_of_one_another_at_once_leave_one_lead(tenant, actor, make_lead):
    pairs = [(make_lead().number, make_lead().number) for _ in range(10)]

    def run(pair):
        with database.connection():
            try:
                lead_merge.merge(tenant, pair[0], [pair[1]], actor)
            except NotFound:
                return 0
        return 1

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(run, [order for pair in pairs for order in (pair, pair[::-1])]))

    assert sum(done) == leads.count(tenant) == len(pairs)
