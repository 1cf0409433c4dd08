from __future__ import annotations

import pytest

from storage import audit, database, lead_sync, leads, sync_items
from storage.leads import Lead
from storage.sync_items import SyncItem, SyncRefusal


@pytest.fixture
def sync(tenant, actor):
    """Syncs raw items, whose phones are E.164 already; answers `outcome` or error code by place, and ids."""

    def run(*raw, **options):
        read = [sync_items.read(index, each, each.get("phone", ""), True) for index, each in enumerate(raw)]
        items = [item for item in read if isinstance(item, SyncItem)]
        outcomes, refused = lead_sync.sync(tenant, items, **{"source": "crm", "actor": actor, **options})
        refused += [item for item in read if isinstance(item, SyncRefusal)]
        answers = {each.index: (each.verb, each.number) for each in outcomes}
        answers |= {each.index: (each.code, None) for each in refused}
        return [answers[index] for index in range(len(raw))]

    return run


A, B, C = "+12025550191", "+12025550192", "+12025550193"


class TestOutcomes:
    def test_unknown_leads_are_created_in_order(self, tenant, sync):
        answers = sync({"lead_id": "1", "phone": A, "customFields": {"deal_value": 50000}}, {"email": "b@example.com"})

        assert answers == [("created", 1), ("created", 2)]
        first = leads.get(tenant, 1)
        assert (first.external_id, first.source, first.name) == ("1", "crm", "Unknown")
        assert first.custom_fields == {"deal_value": "50000"}
        assert leads.count(tenant) == 2

    def test_repeat_changes_nothing(self, tenant, sync):
        batch = [
            {"lead_id": "1", "phone": A, "name": "Ada", "tags": ["a", "a"], "customFields": {"n": 1}},
            {"phone": B},
            {"email": "c@example.com"},
            {"lead_id": "4"},
        ]
        sync(*batch)
        before = [lead.updated_at for lead in Lead.of(tenant)]

        assert sync(*batch) == [("unchanged", 1), ("unchanged", 2), ("unchanged", 3), ("unchanged", 4)]
        assert [lead.updated_at for lead in Lead.of(tenant)] == before

    def test_known_lead_is_updated_and_not_blanked(self, tenant, sync):
        sync({"lead_id": "1", "phone": A, "name": "Ada", "email": "a@example.com", "customFields": {"x": "1"}})

        answer = sync({"lead_id": "1", "phone": B, "name": "", "email": "", "tags": ["t"], "customFields": {"y": True}})

        assert answer == [("updated", 1)]
        lead = leads.get(tenant, 1)
        assert (lead.phone, lead.name, lead.email, lead.tags) == (B, "Ada", "a@example.com", ["t"])
        assert lead.custom_fields == {"x": "1", "y": "true"}
        assert B in lead.search_text

    def test_lead_with_the_phone_and_no_external_id_is_adopted(self, tenant, sync, make_lead):
        make_lead(phone=A, name="Ada")

        assert sync({"lead_id": "1", "phone": A}) == [("updated", 1)]
        assert (leads.get(tenant, 1).external_id, leads.get(tenant, 1).source) == ("1", "api")

    def test_lead_with_the_phone_and_another_external_id_is_a_conflict(self, sync, make_lead):
        make_lead(phone=A, external_id="other")
        make_lead(external_id="2")

        answers = sync({"lead_id": "1", "phone": A}, {"lead_id": "2", "phone": A}, {"lead_id": "3", "phone": B})

        assert answers == [("phone_conflict", None), ("phone_conflict", None), ("created", 3)]

    def test_known_lead_cannot_take_the_phone_of_a_lead_without_external_id(self, sync, make_lead):
        make_lead(phone=A)
        make_lead(phone=B, external_id="2")

        assert sync({"lead_id": "2", "phone": A}) == [("phone_conflict", None)]

    def test_item_without_lead_id_is_matched_by_phone_then_email(self, tenant, sync, make_lead):
        make_lead(phone=A, email="b@example.com", external_id="x")
        make_lead(phone=B, email="Ada@Example.com")

        answers = sync({"phone": B, "email": "b@example.com"}, {"phone": C, "email": "ada@example.com"})

        assert answers == [("updated", 2), ("created", 3)]
        assert leads.get(tenant, 2).email == "b@example.com"

    def test_item_without_known_phone_is_matched_by_email(self, tenant, sync, make_lead):
        make_lead(phone=A, email="Ada@Example.com")

        assert sync({"phone": C, "email": "ada@EXAMPLE.com"}) == [("updated", 1)]
        assert leads.get(tenant, 1).phone == C

    def test_foreign_and_deleted_leads_are_unknown(self, tenant, other_tenant, actor, sync, make_lead):
        make_lead(other_tenant, phone=A, external_id="1")
        leads.delete(tenant, make_lead(phone=A, external_id="1").number, actor)

        assert sync({"lead_id": "1", "phone": A}) == [("created", 2)]


class TestWithinOneBatch:
    def test_later_item_updates_the_lead_of_the_earlier(self, tenant, sync):
        answers = sync(
            {"lead_id": "1", "phone": A},
            {"lead_id": "1", "name": "Ada"},
            {"phone": A, "email": "a@example.com"},
            {"email": "A@EXAMPLE.COM", "tags": ["t"]},
            {"lead_id": "1", "name": "Ada"},
        )

        assert answers == [("created", 1)] + [("updated", 1)] * 3 + [("unchanged", 1)]
        lead = leads.get(tenant, 1)
        assert (lead.name, lead.email, lead.tags) == ("Ada", "A@EXAMPLE.COM", ["t"])

    def test_second_lead_id_with_the_same_phone_is_a_conflict(self, sync):
        assert sync({"lead_id": "1", "phone": A}, {"lead_id": "2", "phone": A})[1] == ("phone_conflict", None)

    def test_phones_move_from_lead_to_lead(self, tenant, sync):
        sync({"lead_id": "1", "phone": A}, {"lead_id": "2", "phone": B})

        answers = sync({"lead_id": "2", "phone": C}, {"lead_id": "1", "phone": B}, {"lead_id": "3", "phone": A})

        assert answers == [("updated", 2), ("updated", 1), ("created", 3)]
        assert [leads.get(tenant, number).phone for number in (1, 2, 3)] == [B, C, A]

    def test_phone_not_yet_left_is_a_conflict(self, tenant, sync):
        sync({"lead_id": "1", "phone": A}, {"lead_id": "2", "phone": B})

        answers = sync({"lead_id": "1", "phone": B}, {"lead_id": "2", "phone": C})

        assert answers == [("phone_conflict", None), ("updated", 2)]
        assert [leads.get(tenant, number).phone for number in (1, 2)] == [A, C]


class TestStatements:
    def test_each_of_many_leads_is_changed_as_its_item_says(self, tenant, sync):
        sync(*({"lead_id": str(number), "name": "Ada", "tags": ["old"]} for number in range(5)))
        changes = [{"name": "Grace"}, {"email": "c@example.com"}, {"tags": ["new"]}, {"customFields": {"x": 'a"b'}}]

        sync(*({"lead_id": str(number), **change} for number, change in enumerate(changes)))

        after = [leads.get(tenant, number) for number in range(1, 6)]
        assert [lead.name for lead in after] == ["Grace", "Ada", "Ada", "Ada", "Ada"]
        assert [lead.name_key for lead in after] == ["grace", "ada", "ada", "ada", "ada"]
        assert [lead.email for lead in after] == ["", "c@example.com", "", "", ""]
        assert [lead.tags for lead in after] == [["old"], ["old"], ["new"], ["old"], ["old"]]
        assert [lead.custom_fields for lead in after] == [{}, {}, {}, {"x": 'a"b'}, {}]
        assert ["new" in lead.search_text for lead in after] == [False, False, True, False, False]

    @pytest.mark.usefixtures("sqlite_tenant")
    def test_sqlite_finds_the_leads_of_a_batch_by_their_indexes(self):
        sql, slots = lead_sync._meant().sql()

        steps = database.database.execute_sql(f"EXPLAIN QUERY PLAN {sql}", [None] * len(slots)).fetchall()

        plan = "\n".join(step[-1] for step in steps)
        for index in ("uq_lead_number", "uq_lead_external_id", "uq_lead_phone", "ix_lead_email"):
            assert f"INDEX {index} (tenant_id=? AND " in plan
        assert "SCAN t" not in plan


class TestRefusals:
    @pytest.mark.parametrize(
        ("raw", "code"),
        [
            ({"name": "Ada"}, "no_identity"),
            ({"lead_id": "", "phone": "", "email": ""}, "no_identity"),
            ({"lead_id": "x" * 201}, "lead_id_too_long"),
            ({"lead_id": "1", "name": "x" * 201}, "name_too_long"),
            ({"lead_id": "1", "email": "ada"}, "invalid_email"),
            ({"lead_id": "1", "email": "a@" + "x" * 253}, "invalid_email"),
            ({"lead_id": "1", "tags": [str(number) for number in range(51)]}, "too_many_tags"),
            ({"lead_id": "1", "tags": ["x" * 51]}, "invalid_tag"),
            ({"lead_id": "1", "tags": [""]}, "invalid_tag"),
            ({"lead_id": "1", "customFields": {str(number): "" for number in range(101)}}, "too_many_custom_fields"),
            ({"lead_id": "1", "customFields": {"x" * 101: ""}}, "custom_field_name_too_long"),
            ({"lead_id": "1", "customFields": {"x": "x" * 2001}}, "custom_field_value_too_long"),
        ],
    )
    def test_bad_item_costs_only_itself(self, tenant, sync, raw, code):
        assert sync(raw, {"lead_id": "good"}) == [(code, None), ("created", 1)]
        assert leads.count(tenant) == 1

    def test_custom_fields_that_become_too_many_are_refused(self, tenant, sync):
        sync({"lead_id": "1", "customFields": {f"a{number}": "" for number in range(60)}})

        answers = sync({"lead_id": "1", "name": "Ada", "customFields": {f"b{number}": "" for number in range(60)}})

        assert answers == [("too_many_custom_fields", None)]
        assert leads.get(tenant, 1).name == "Unknown"


class TestValidateOnly:
    def test_answer_is_the_same_and_nothing_is_written(self, tenant, sync, make_lead):
        make_lead(phone=A, name="Ada")
        batch = [{"phone": A, "name": "Grace"}, {"lead_id": "1", "phone": B}, {"lead_id": "2", "phone": B}]

        tried = sync(*batch, validate_only=True)
        assert tried == [("updated", 1), ("created", None), ("phone_conflict", None)]
        assert (leads.get(tenant, 1).name, leads.count(tenant)) == ("Ada", 1)

        assert [verb for verb, _ in sync(*batch)] == [verb for verb, _ in tried]


class TestAudit:
    def entries(self, tenant):
        query = audit.AuditEntry.of(tenant.account_id).where(audit.AuditEntry.resource_type == "leads")
        return [(entry.action, entry.metadata) for entry in query.order_by(audit.AuditEntry.id)]

    def test_batch_leaves_one_entry_with_its_counts(self, tenant, sync):
        sync({"lead_id": "1"}, {"lead_id": "1", "name": "Ada"}, {"lead_id": "2"}, {"lead_id": "2"})

        counts = {"created": 2, "updated": 1, "unchanged": 1, "failed": 0}
        assert self.entries(tenant) == [("leads.synced", {"source": "crm", **counts})]

    def test_batch_that_changes_nothing_leaves_none(self, tenant, sync):
        sync({"lead_id": "1"}, validate_only=True)

        assert self.entries(tenant) == []


class TestDelete:
    def test_leads_named_by_their_external_ids_are_hidden(self, tenant, other_tenant, actor, make_lead):
        for external_id in ("1", "2", "3"):
            make_lead(external_id=external_id)
        make_lead(other_tenant, external_id="1")

        assert lead_sync.delete(tenant, ["1", "2", "2", "unknown"], actor) == 2

        assert [lead.external_id for lead in leads.live(tenant)] == ["3"]
        assert (leads.count(tenant), leads.count(other_tenant)) == (1, 1)
        assert lead_sync.delete(tenant, ["1", "2"], actor) == 0
        assert leads.restore(tenant, 1, actor).external_id == "1"
