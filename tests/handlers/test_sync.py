"""Lead sync over HTTP: items of a CRM, created, updated, adopted or refused one by one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contract_client import ContractClient

ADA = {"lead_id": "crm-1", "phone": "+12025550101", "name": "Ada Example", "tags": ["customer"]}
BOB = {"lead_id": "crm-2", "phone": "+12025550102"}


def sync(client: ContractClient, *items: dict[str, Any], **top: Any) -> Any:
    return client.post("/api/leads/sync", json={"leads": list(items), **top}).json()


def verbs(answer: dict[str, Any]) -> dict[str, int]:
    return {verb: answer[verb] for verb in ("created", "updated", "unchanged", "failed")}


class TestSync:
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({}, "leads is required"),
            ({"leads": []}, "leads must have at least 1 items"),
            ({"leads": [{}] * 101}, "leads must have at most 100 items"),
            ({"leads": {}}, "leads must be an array"),
            ({"leads": [7]}, "leads[0] must be an object"),
            ({"leads": [{**ADA, "surprise": 1}]}, "Unknown property surprise"),
        ],
    )
    def test_request_that_is_no_sync_is_400(self, client: ContractClient, body: Any, message: str) -> None:
        answer = client.post("/api/leads/sync", json=body)

        assert (answer.status_code, answer.json()["error"]) == (400, message)

    def test_unknown_leads_are_created_in_order(self, client: ContractClient) -> None:
        answer = sync(client, ADA, BOB, source="crm")

        assert verbs(answer) == {"created": 2, "updated": 0, "unchanged": 0, "failed": 0}
        assert answer["results"] == [
            {"index": 0, "lead_id": "crm-1", "id": 1, "outcome": "created"},
            {"index": 1, "lead_id": "crm-2", "id": 2, "outcome": "created"},
        ]
        lead = client.get("/api/leads/1").json()
        assert (lead["externalId"], lead["source"], lead["tags"]) == ("crm-1", "crm", ["customer"])

    def test_repetition_changes_nothing(self, client: ContractClient) -> None:
        sync(client, ADA, BOB)
        before = client.get("/api/leads").json()

        assert verbs(sync(client, ADA, BOB)) == {"created": 0, "updated": 0, "unchanged": 2, "failed": 0}
        assert client.get("/api/leads").json() == before

    def test_known_lead_is_updated_and_keeps_what_is_not_said(self, client: ContractClient) -> None:
        sync(client, ADA)

        answer = sync(client, {"lead_id": "crm-1", "customFields": {"deal_value": 50000}})

        assert verbs(answer)["updated"] == 1
        lead = client.get("/api/leads/1").json()
        assert (lead["name"], lead["customFields"]) == ("Ada Example", {"deal_value": "50000"})

    def test_lead_that_has_only_a_phone_is_adopted(self, client: ContractClient) -> None:
        client.post("/api/leads", json={"phone": "(202) 555-0101"})

        assert sync(client, ADA)["results"][0]["outcome"] == "updated"
        assert client.get("/api/leads/1").json()["externalId"] == "crm-1"

    @pytest.mark.parametrize(
        "item", [{"phone": "202-555-0101"}, {"email": "ADA@example.com"}], ids=["by phone", "by email"]
    )
    def test_item_without_an_id_finds_its_lead(self, client: ContractClient, item: dict[str, Any]) -> None:
        client.post("/api/leads", json={"phone": "+12025550101", "email": "ada@example.com"})

        answer = sync(client, {**item, "name": "Changed"})

        assert answer["results"] == [{"index": 0, "id": 1, "outcome": "updated"}]

    @pytest.mark.parametrize(
        ("item", "code"),
        [
            ({"name": "Nobody"}, "no_identity"),
            ({"lead_id": "crm-9", "phone": "12"}, "invalid_phone"),
            ({"lead_id": "crm-9", "phone": "+12025550102"}, "phone_conflict"),
            ({"lead_id": "crm-9", "email": "nobody"}, "invalid_email"),
            ({"lead_id": "x" * 201}, "lead_id_too_long"),
            ({"lead_id": "crm-9", "tags": ["x" * 51]}, "invalid_tag"),
            ({"lead_id": "crm-9", "customFields": {"x" * 101: "1"}}, "custom_field_name_too_long"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_bad_item_costs_only_itself(self, client: ContractClient, item: dict[str, Any], code: str) -> None:
        sync(client, BOB)

        answer = sync(client, item, ADA)

        assert verbs(answer) == {"created": 1, "updated": 0, "unchanged": 0, "failed": 1}
        [error] = answer["errors"]
        assert (error["index"], error["code"], error.get("lead_id")) == (0, code, item.get("lead_id"))

    def test_validate_only_tells_the_same_and_writes_nothing(self, client: ContractClient) -> None:
        sync(client, BOB)
        items = [ADA, {**BOB, "name": "Bob"}, BOB, {"name": "Nobody"}]

        tried = sync(client, *items, validateOnly=True)
        listed = client.get("/api/leads").json()
        done = sync(client, *items)

        assert verbs(tried) == verbs(done)
        assert [lead["externalId"] for lead in listed] == ["crm-2"]

    def test_hundred_items_are_one_batch(self, client: ContractClient) -> None:
        items = [{"lead_id": f"crm-{number}", "phone": f"+120255501{number:02}"} for number in range(100)]

        assert verbs(sync(client, *items))["created"] == 100
        assert client.get("/api/leads").headers["X-Total-Count"] == "100"


class TestDelete:
    def delete(self, client: ContractClient, *lead_ids: str) -> Any:
        return client.request("DELETE", "/api/leads/sync", json={"lead_ids": lead_ids})

    @pytest.mark.parametrize("lead_ids", [[], ["x"] * 1001, [""], [7]], ids=["none", "too many", "empty", "number"])
    def test_request_that_is_no_deletion_is_400(self, client: ContractClient, lead_ids: Any) -> None:
        assert client.request("DELETE", "/api/leads/sync", json={"lead_ids": lead_ids}).status_code == 400

    def test_known_ids_are_deleted_and_unknown_ones_counted(self, client: ContractClient) -> None:
        sync(client, ADA, BOB)

        answer = self.delete(client, "crm-1", "crm-9", "crm-1")

        assert answer.json() == {"total": 2, "deleted": 1, "notFound": 1}
        assert [lead["externalId"] for lead in client.get("/api/leads").json()] == ["crm-2"]

    def test_second_deletion_finds_nothing(self, client: ContractClient) -> None:
        sync(client, ADA)
        self.delete(client, "crm-1")

        assert self.delete(client, "crm-1").json() == {"total": 1, "deleted": 0, "notFound": 1}

    def test_deleted_lead_may_come_again_as_a_new_one(self, client: ContractClient) -> None:
        sync(client, ADA)
        self.delete(client, "crm-1")

        assert sync(client, ADA)["results"][0] == {"index": 0, "lead_id": "crm-1", "id": 2, "outcome": "created"}
