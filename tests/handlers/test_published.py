"""The published requests of the contract, as clients that know nothing else send them."""

from __future__ import annotations

import pytest

from tests.conftest import Party
from tests.support.contract_client import ContractClient


@pytest.mark.parametrize("phone", ["+1234567890", "+0987654321"])
def test_published_phones_create_leads_that_keep_their_digits(client: ContractClient, phone: str) -> None:
    answer = client.post("/api/leads", json={"phone": phone})

    assert answer.status_code == 201
    assert answer.json()["phone"] == phone
    assert answer.json()["phoneValid"] is False


def test_numbers_in_custom_fields_are_stored_as_their_text(client: ContractClient) -> None:
    item = {"lead_id": "crm-1", "phone": "+12025550101", "customFields": {"deal_value": 50000}}

    synced = client.post("/api/leads/sync", json={"leads": [item], "source": "crm"}).json()

    lead = client.get(f"/api/leads/{synced['results'][0]['id']}").json()
    assert lead["customFields"] == {"deal_value": "50000"}


def test_list_with_a_limit_alone_is_a_plain_array(client: ContractClient) -> None:
    client.post("/api/leads", json={"phone": "+12025550101"})

    assert [lead["id"] for lead in client.get("/api/leads", params={"limit": 10}).json()] == [1]


def test_list_with_one_filter_is_an_object(client: ContractClient) -> None:
    client.post("/api/leads", json={"phone": "+12025550101"})

    answer = client.get("/api/leads", params={"statuses": "new"}).json()

    assert answer["total"] == 1
    assert [lead["id"] for lead in answer["leads"]] == [1]


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/api/leads/upload/preview", {}, "content (CSV string) is required"),
        ("/api/leads/upload/preview", {"content": ""}, "content (CSV string) is required"),
        ("/api/leads/upload/preview", {"content": 7}, "content (CSV string) is required"),
        ("/api/leads/upload/confirm", {}, "content and mapping are required"),
        ("/api/leads/upload/confirm", {"content": "Mobile\n+12025550101\n"}, "content and mapping are required"),
        ("/api/leads/upload/confirm", {"mapping": {"Mobile": "phone"}}, "content and mapping are required"),
        ("/api/leads/preview", {}, "filters.conditions array is required"),
        ("/api/leads", {}, "phone is required"),
    ],
)
def test_missing_parts_are_told_in_the_published_words(
    client: ContractClient, path: str, body: dict[str, object], text: str
) -> None:
    answer = client.post(path, json=body)

    assert (answer.status_code, answer.json()["error"]) == (400, text)


def test_missing_scope_is_told_in_the_published_words(party: Party) -> None:
    with party.client(scopes=["leads:import"]) as narrow:
        answer = narrow.get("/api/leads")

    assert answer.status_code == 403
    assert answer.json()["error"] == "Forbidden"
    assert answer.json()["message"] == "API key does not have the required scope (requires: leads:view)."


def test_conversation_names_its_lead_in_string_form(client: ContractClient) -> None:
    template = client.post("/api/agent-config/apply-template", json={"templateId": "sales-qualifier"}).json()
    client.post("/api/agent-config", json=template)
    client.post("/api/leads", json={"phone": "+1234567890"})

    started = client.post("/api/conversations/start", json={"leadId": 1, "channel": "whatsapp"})

    assert (started.status_code, started.json()["leadId"]) == (201, "1")
