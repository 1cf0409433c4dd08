from __future__ import annotations

from datetime import timedelta

import pytest

from storage import agents, audit, clock, database, leads
from storage.errors import Blocked, Conflict, NotFound
from storage.leads import Lead, LeadCounter, NewLead


def actions(tenant):
    entries = audit.AuditEntry.of(tenant.account_id).where(audit.AuditEntry.resource_type.in_(["lead", "leads"]))
    return [entry.action for entry in entries.order_by(audit.AuditEntry.id)]


@pytest.fixture
def agent(tenant):
    return agents.add(tenant, {"name": "Ada's agent", "handoff_message": "A person takes over"})


class TestCreate:
    def test_new_lead_gets_the_next_number_of_its_tenant(self, tenant, other_tenant, make_lead):
        numbers = [make_lead().number, make_lead(other_tenant).number, make_lead().number]

        assert numbers == [1, 1, 2]
        assert leads.count(tenant) == 2

    def test_lead_without_name_is_unknown(self, make_lead):
        assert make_lead(name="  ").name == "Unknown"

    def test_lead_is_read_back_as_it_was_stored(self, tenant, make_lead):
        lead = make_lead(
            name="Zoë 😀",
            tags=["a", "b", "a"],
            custom_fields={'say "hi"': "é", "seats": 25, "vip": True},
            timezone="UTC",
        )

        stored = leads.get(tenant, lead.number)

        assert stored.name == "Zoë 😀"
        assert stored.tags == ["a", "b"]
        assert stored.custom_fields == {'say "hi"': "é", "seats": "25", "vip": "true"}
        assert (stored.status, stored.source, stored.agent_assigned_by) == ("new", "api", "auto")

    @pytest.mark.parametrize(
        ("column", "code"), [("phone", "duplicate_phone"), ("external_id", "duplicate_external_id")]
    )
    def test_second_owner_is_refused_with_the_number_of_the_first(self, tenant, make_lead, column, code):
        first = make_lead(**{column: "+12025550142"})

        with pytest.raises(Conflict) as refusal:
            make_lead(**{column: "+12025550142"})

        assert (refusal.value.code, refusal.value.details) == (code, str(first.number))
        assert leads.count(tenant) == 1
        assert make_lead().number == 2

    def test_unique_index_speaks_as_conflict(self, tenant, actor, make_lead, monkeypatch):
        first, second = make_lead(), make_lead()
        monkeypatch.setattr(leads, "_require_free", lambda *_: None)

        with pytest.raises(Conflict, match="this phone"):
            leads.update(tenant, second.number, {"phone": first.phone}, actor)

    def test_phone_of_another_tenant_is_free(self, other_tenant, make_lead):
        lead = make_lead()

        assert make_lead(other_tenant, phone=lead.phone).phone == lead.phone

    def test_leads_without_phone_do_not_collide(self, make_lead):
        assert [make_lead(phone="").number, make_lead(phone="").number] == [1, 2]

    def test_agent_given_is_assigned_by_hand(self, make_lead, agent):
        lead = make_lead(assigned_agent_id=agent.oid)

        assert (lead.assigned_agent_id, lead.agent_assigned_by) == (agent.oid, "manual")

    def test_agent_of_another_tenant_is_not_found(self, other_tenant, make_lead, agent):
        with pytest.raises(NotFound, match="Agent"):
            make_lead(other_tenant, assigned_agent_id=agent.oid)

    @pytest.mark.parametrize(
        ("values", "code"),
        [
            ({"tags": [str(index) for index in range(51)]}, "too_many_tags"),
            ({"custom_fields": {str(index): "" for index in range(101)}}, "too_many_custom_fields"),
            ({"custom_fields": {"x" * 101: ""}}, "custom_field_name_too_long"),
        ],
    )
    def test_too_much_is_refused(self, make_lead, values, code):
        with pytest.raises(Blocked) as refusal:
            make_lead(**values)

        assert refusal.value.code == code


class TestFind:
    def test_lead_of_another_tenant_is_not_found(self, other_tenant, make_lead):
        lead = make_lead(external_id="crm-1", email="Ada@example.com")

        with pytest.raises(NotFound):
            leads.get(other_tenant, lead.number)
        assert leads.find_by_phone(other_tenant, lead.phone) is None
        assert leads.find_by_external_id(other_tenant, "crm-1") is None
        assert leads.find_by_email(other_tenant, "Ada@example.com") is None

    def test_email_finds_the_oldest_lead_in_any_case(self, tenant, make_lead):
        first = make_lead(email="Ada@Example.com")
        make_lead(email="ada@example.com")

        assert leads.find_by_email(tenant, "ADA@example.com").number == first.number

    @pytest.mark.parametrize("find", [leads.find_by_phone, leads.find_by_email], ids=["phone", "email"])
    def test_nothing_finds_nobody(self, tenant, make_lead, find):
        make_lead(phone="", email="")

        assert find(tenant, "") is None

    @pytest.mark.parametrize(
        ("condition", "index"),
        [
            (leads.has_phone(["+12025550142"]), "uq_lead_phone"),
            (leads.has_phone([f"+1202555{number:04}" for number in range(100)]), "uq_lead_phone"),
            (leads.has_email(["ada@example.com"]), "ix_lead_email"),
            (Lead.external_id.in_(["1", "2"]), "uq_lead_external_id"),
        ],
        ids=["phone", "phones", "email", "external ids"],
    )
    def test_sqlite_looks_into_the_index_and_not_through_all_leads(self, sqlite_tenant, condition, index):
        sql, parameters = leads.live(sqlite_tenant).where(condition).sql()

        plan = database.database.execute_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()

        assert [f"{index} (tenant_id=? AND " in step[-1] for step in plan] == [True]


class TestUpdate:
    def test_only_what_is_named_changes(self, tenant, actor, make_lead):
        lead = make_lead(name="Ada", email="ada@example.com", tags=["a"])

        leads.update(tenant, lead.number, {"name": "Grace", "status": "contacted"}, actor)

        stored = leads.get(tenant, lead.number)
        assert (stored.name, stored.status, stored.email, stored.tags) == (
            "Grace",
            "contacted",
            "ada@example.com",
            ["a"],
        )
        assert "grace" in stored.search_text
        assert stored.updated_at >= lead.updated_at

    def test_custom_fields_merge_and_null_removes(self, tenant, actor, make_lead):
        lead = make_lead(custom_fields={"company": "Example", "seats": "5"})

        leads.update(tenant, lead.number, {"custom_fields": {"seats": 30, "company": None, "absent": None}}, actor)

        assert leads.get(tenant, lead.number).custom_fields == {"seats": "30"}

    def test_same_values_write_nothing(self, tenant, actor, make_lead):
        lead = make_lead(name="Ada", tags=["a"])

        leads.update(tenant, lead.number, {"name": "Ada ", "tags": ["a", "a"], "custom_fields": {"x": None}}, actor)

        assert leads.get(tenant, lead.number).updated_at == lead.updated_at
        assert actions(tenant) == ["lead.created"]

    def test_entry_names_what_changed(self, tenant, actor, make_lead):
        lead = make_lead()

        leads.update(tenant, lead.number, {"email": "ada@example.com"}, actor)

        entry = audit.AuditEntry.of(tenant.account_id).where(audit.AuditEntry.action == "lead.updated").get()
        assert (entry.resource_id, entry.metadata) == (str(lead.number), {"changed": ["email"]})

    def test_phone_of_another_lead_is_refused(self, tenant, actor, make_lead):
        first, second = make_lead(), make_lead()

        with pytest.raises(Conflict) as refusal:
            leads.update(tenant, second.number, {"phone": first.phone}, actor)

        assert refusal.value.details == str(first.number)
        assert leads.get(tenant, second.number).phone == second.phone

    def test_agent_is_assigned_and_released(self, tenant, actor, make_lead, agent):
        lead = make_lead()

        assigned = leads.assign_agent(tenant, lead.number, agent.oid, actor)
        assert (assigned.assigned_agent_id, assigned.agent_assigned_by) == (agent.oid, "manual")

        released = leads.assign_agent(tenant, lead.number, None, actor)
        assert (released.assigned_agent_id, released.agent_assigned_by) == (None, "auto")
        assert actions(tenant) == ["lead.created", "lead.agent_assigned", "lead.agent_assigned"]

    def test_unknown_agent_is_not_found(self, tenant, actor, make_lead):
        lead = make_lead()

        with pytest.raises(NotFound) as refusal:
            leads.assign_agent(tenant, lead.number, "f" * 24, actor)

        assert refusal.value.code == "agent_not_found"
        assert leads.get(tenant, lead.number).assigned_agent_id is None


class TestDeleteAndRestore:
    def test_deleted_lead_is_gone_and_comes_back(self, tenant, actor, make_lead):
        lead = make_lead()

        leads.delete(tenant, lead.number, actor)
        with pytest.raises(NotFound):
            leads.get(tenant, lead.number)
        assert leads.count(tenant) == 0

        restored = leads.restore(tenant, lead.number, actor)
        assert restored.number == leads.get(tenant, lead.number).number
        assert leads.count(tenant) == 1
        assert actions(tenant) == ["lead.created", "lead.deleted", "lead.restored"]

    def test_lead_is_deleted_once(self, tenant, actor, make_lead):
        lead = make_lead()
        leads.delete(tenant, lead.number, actor)

        with pytest.raises(NotFound):
            leads.delete(tenant, lead.number, actor)
        assert leads.count(tenant) == 0

    def test_lead_that_is_not_deleted_is_restored_unchanged(self, tenant, actor, make_lead):
        lead = make_lead()

        assert leads.restore(tenant, lead.number, actor).updated_at == lead.updated_at
        assert leads.count(tenant) == 1

    def test_number_of_a_deleted_lead_is_not_given_again(self, tenant, actor, make_lead):
        leads.delete(tenant, make_lead().number, actor)

        assert make_lead().number == 2

    @pytest.mark.parametrize("column", ["phone", "external_id"])
    def test_lead_whose_place_was_taken_stays_deleted(self, tenant, actor, make_lead, column):
        lead = make_lead(**{column: "+12025550142"})
        leads.delete(tenant, lead.number, actor)
        heir = make_lead(**{column: "+12025550142"})

        with pytest.raises(Conflict) as refusal:
            leads.restore(tenant, lead.number, actor)

        assert refusal.value.details == str(heir.number)
        assert leads.count(tenant) == 1

    def test_after_thirty_days_nothing_comes_back(self, tenant, actor, make_lead):
        lead = make_lead()
        leads.delete(tenant, lead.number, actor)
        long_ago = clock.iso(clock.now() - timedelta(days=30, seconds=1))
        Lead.change(tenant, {Lead.deleted_at: long_ago}).execute()

        with pytest.raises(NotFound):
            leads.restore(tenant, lead.number, actor)

    def test_lead_of_another_tenant_is_neither_deleted_nor_restored(self, tenant, other_tenant, actor, make_lead):
        lead = make_lead()

        for act in (leads.delete, leads.restore):
            with pytest.raises(NotFound):
                act(other_tenant, lead.number, actor)
        assert leads.get(tenant, lead.number)


class TestReceive:
    def test_unknown_phone_becomes_a_lead(self, tenant, actor):
        lead, created = leads.receive(tenant, NewLead(phone="+12025550142"), actor)

        assert (lead.number, lead.name, created) == (1, "Unknown", True)

    def test_known_lead_gains_and_loses_nothing(self, tenant, actor, make_lead):
        known = make_lead(name="Ada", email="ada@example.com", tags=["a"], custom_fields={"company": "Example"})

        form = NewLead(phone=known.phone, name="Ada Example", tags=["b", "a"], custom_fields={"seats": "5"})
        lead, created = leads.receive(tenant, form, actor)

        assert (lead.number, created) == (known.number, False)
        assert (lead.name, lead.email, lead.tags) == ("Ada Example", "ada@example.com", ["a", "b"])
        assert lead.custom_fields == {"company": "Example", "seats": "5"}
        assert LeadCounter.get_by_id(tenant.id).last_number == 1
