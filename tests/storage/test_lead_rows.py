"""Leads as they are read say what the models say."""

from __future__ import annotations

import json

import msgspec
import pytest

from storage import lead_rows, leads
from storage.errors import NotFound

SPARSE = {"tags": [], "customFields": {}, "optedOut": [], "phoneValid": True, "agentAssignedBy": "auto"}


def said(row):
    return json.loads(msgspec.json.encode(row))


def test_a_row_says_what_the_lead_has_and_nothing_of_what_it_has_not(tenant, make_lead):
    lead = make_lead(name="Ada", phone="+12025550142")

    assert said(lead_rows.get(tenant, lead.number)) == SPARSE | {
        "id": 1,
        "accountId": tenant.account_id,
        "name": "Ada",
        "phone": "+12025550142",
        "email": "",
        "status": "new",
        "source": "api",
        "createdAt": lead.created_at,
        "updatedAt": lead.updated_at,
    }


def test_a_lead_in_memory_says_what_is_read_of_it(tenant, actor, make_lead):
    lead = make_lead(
        name='Zoë "Z"',
        phone="12",
        phone_valid=False,
        tags=["ä", "b\\"],
        custom_fields={"plan": "pro", "größe": "1"},
        external_id="crm-1",
        timezone="Europe/Berlin",
        import_batch_id="665f1c2e9b1d4a0012ab34ce",
    )
    moment = "2026-03-01T00:00:00.000Z"
    lead = leads.update(tenant, lead.number, {"last_contacted_at": moment}, actor)

    row = lead_rows.get(tenant, lead.number)

    assert said(row) == said(lead_rows.of_lead(tenant, lead))
    assert said(row)["phoneValid"] is False
    assert said(row)["tags"] == ["ä", "b\\"]


def test_unknown_deleted_and_foreign_leads_are_not_there(tenant, other_tenant, actor, make_lead):
    deleted, foreign = make_lead(), make_lead(other_tenant)
    leads.delete(tenant, deleted.number, actor)
    make_lead(other_tenant)

    for number in (deleted.number, foreign.number + 1, 99):
        with pytest.raises(NotFound):
            lead_rows.get(tenant, number)
