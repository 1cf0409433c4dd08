from __future__ import annotations

import pytest

from storage import lead_filters, lead_lists, leads
from storage.errors import Blocked
from storage.lead_lists import LeadFilter


def names(tenant, **wanted):
    rows, _ = lead_lists.page(tenant, LeadFilter(**wanted), limit=100)
    assert lead_lists.count(tenant, LeadFilter(**wanted)) == len(rows)
    return [lead.name for lead in rows]


class TestFilters:
    @pytest.fixture(autouse=True)
    def people(self, make_lead):
        make_lead(name="Ada", email="ada@example.com", tags=["a", "b"])
        make_lead(name="Bob", phone="", status="contacted", tags=["c"], external_id="crm-1")
        make_lead(name="Cyd", status="qualified", import_batch_id="665f1c2e9b1d4a0012ab34ce")

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ({}, ["Cyd", "Bob", "Ada"]),
            ({"statuses": ["new", "contacted"]}, ["Bob", "Ada"]),
            ({"tags": ["b", "c"]}, ["Bob", "Ada"]),
            ({"tags": ["B"]}, []),
            ({"channel": "whatsapp"}, ["Cyd", "Ada"]),
            ({"channel": "sms"}, ["Cyd", "Ada"]),
            ({"channel": "telegram"}, ["Cyd", "Ada"]),
            ({"channel": "email"}, ["Ada"]),
            ({"import_batch_id": "665f1c2e9b1d4a0012ab34ce"}, ["Cyd"]),
            ({"external_id": "crm-1"}, ["Bob"]),
            ({"q": "example"}, ["Ada"]),
            ({"q": "ad", "tags": ["c"]}, []),
        ],
        ids=str,
    )
    def test_filter(self, tenant, wanted, expected):
        assert names(tenant, **wanted) == expected

    def test_condition_joins_the_simple_filters(self, tenant):
        filters = {"conditions": [{"field": "name", "operator": "is_not", "value": "Cyd"}]}

        assert names(tenant, channel="sms", conditions=lead_filters.matching(filters)) == ["Ada"]


class TestPages:
    @pytest.fixture(autouse=True)
    def people(self, tenant, actor, make_lead):
        for name in ("bob", "Ada", "Élan", "ada", "Zoe", "zoe", "Bob"):
            lead = make_lead(name=name)
            if name.islower():
                leads.update(tenant, lead.number, {"last_contacted_at": f"2026-03-0{lead.number}T00:00:00.000Z"}, actor)

    @pytest.mark.parametrize("sort", [sign + order for order in lead_lists.ORDERS for sign in ("", "-")])
    @pytest.mark.parametrize("limit", [1, 3, 7])
    def test_pages_follow_without_gap_or_repeat(self, tenant, sort, limit):
        everything, _ = lead_lists.page(tenant, LeadFilter(), limit=100, sort=sort)

        pages, cursor = list[int](), None
        while not pages or cursor:
            rows, cursor = lead_lists.page(tenant, LeadFilter(), limit=limit, sort=sort, cursor=cursor)
            pages += [lead.number for lead in rows]

        assert pages == [lead.number for lead in everything]
        assert sorted(pages) == list(range(1, 8))

    @pytest.mark.parametrize(
        ("sort", "expected"),
        [
            ("name", ["Ada", "ada", "bob", "Bob", "Zoe", "zoe", "Élan"]),
            ("-name", ["Élan", "zoe", "Zoe", "Bob", "bob", "ada", "Ada"]),
            ("-createdAt", ["Bob", "zoe", "Zoe", "ada", "Élan", "Ada", "bob"]),
            ("-lastContactedAt", ["zoe", "ada", "bob", "Bob", "Zoe", "Élan", "Ada"]),
        ],
    )
    def test_order(self, tenant, sort, expected):
        rows, _ = lead_lists.page(tenant, LeadFilter(), limit=100, sort=sort)

        assert [lead.name for lead in rows] == expected

    def test_skip_passes_over(self, tenant):
        rows, _ = lead_lists.page(tenant, LeadFilter(), limit=2, skip=5)

        assert [lead.number for lead in rows] == [2, 1]

    def test_cursor_of_another_order_is_refused(self, tenant):
        _, cursor = lead_lists.page(tenant, LeadFilter(), limit=1, sort="name")

        with pytest.raises(Blocked):
            lead_lists.page(tenant, LeadFilter(), limit=1, sort="-name", cursor=cursor)

    def test_foreign_leads_are_not_listed(self, other_tenant):
        assert names(other_tenant) == []
