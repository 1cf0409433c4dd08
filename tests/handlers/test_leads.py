"""Leads over HTTP: one lead's life, lists and their pages, search and filters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from storage import accounts, database
from tests.conftest import Party, Served
from tests.support.contract_client import ContractClient

STATUSES = "Invalid status. Must be one of: new, contacted, qualified, disqualified"


@pytest.fixture
def create(client: ContractClient) -> Callable[..., Any]:
    """Creates a lead with a phone of its own; gives its body."""
    numbers = iter(range(100, 1000))
    return lambda **body: client.post("/api/leads", json={"phone": f"+1202555{next(numbers):04}", **body}).json()


def ids(leads: list[dict[str, Any]]) -> list[int]:
    return [lead["id"] for lead in leads]


class TestCreate:
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({}, "phone is required"),
            ({"name": "Ada"}, "phone is required"),
            ({"phone": "+12025550101", "status": "old"}, STATUSES),
            ({"phone": "+12025550101", "status": 7}, STATUSES),
            ({"phone": "+12025550101", "tags": "fair"}, "tags must be an array"),
            ({"phone": "+12025550101", "customFields": "a=b"}, "customFields must be a key-value object"),
            ({"phone": "+12025550101", "customFields": ["a"]}, "customFields must be a key-value object"),
            ({"phone": "+12025550101", "assignedAgentId": "mia"}, "Invalid agent ID format"),
        ],
    )
    def test_published_text_tells_what_is_wrong(self, client: ContractClient, body: Any, message: str) -> None:
        answer = client.post("/api/leads", json=body)

        assert (answer.status_code, answer.json()["error"]) == (400, message)

    @pytest.mark.parametrize(
        "phone",
        ["123456", "1234567890123456", "phone", "", " " * 10],
        ids=["6 digits", "16 digits", "letters", "empty", "blank"],
    )
    def test_phone_with_too_few_or_too_many_digits_is_400(self, client: ContractClient, phone: str) -> None:
        answer = client.post("/api/leads", json={"phone": phone})

        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, "/phone")

    def test_unknown_agent_is_404(self, client: ContractClient) -> None:
        answer = client.post("/api/leads", json={"phone": "+12025550101", "assignedAgentId": "f" * 24})

        assert (answer.status_code, answer.json()["code"]) == (404, "agent_not_found")

    def test_phone_of_another_lead_is_409_with_its_id(self, client: ContractClient, create: Callable[..., Any]) -> None:
        create()
        create(phone="+12025550150")

        answer = client.post("/api/leads", json={"phone": "(202) 555-0150"})

        assert (answer.status_code, answer.json()["details"]) == (409, "2")
        assert answer.json()["error"] == "A lead with this phone already exists"

    def test_external_id_of_another_lead_is_409(self, client: ContractClient, create: Callable[..., Any]) -> None:
        create(externalId="crm-1")

        answer = client.post("/api/leads", json={"phone": "+12025550199", "externalId": "crm-1"})

        assert (answer.status_code, answer.json()["code"]) == (409, "duplicate_external_id")

    def test_new_lead_is_answered_whole_with_its_place(self, client: ContractClient) -> None:
        body = {
            "phone": "(202) 555-0143",
            "name": "Ada Example",
            "email": "ada@example.com",
            "tags": ["fair", "fair", "vip"],
            "customFields": {"seats": 25, "trial": True, "company": "Example GmbH"},
            "externalId": "crm-1",
            "timezone": "Europe/Madrid",
        }

        answer = client.post("/api/leads", json=body)

        assert (answer.status_code, answer.headers["Location"]) == (201, "/api/leads/1")
        lead = answer.json()
        assert lead == client.get("/api/leads/1").json()
        assert lead["phone"] == "+12025550143"
        assert lead["tags"] == ["fair", "vip"]
        assert lead["customFields"] == {"seats": "25", "trial": "true", "company": "Example GmbH"}
        assert (lead["source"], lead["status"], lead["agentAssignedBy"]) == ("api", "new", "auto")
        assert not {"assignedAgentId", "abTestId", "importBatchId", "lastContactedAt"} & lead.keys()

    def test_numbers_run_per_environment(self, party: Party, create: Callable[..., Any]) -> None:
        assert [create()["id"], create()["id"]] == [1, 2]

        with party.client("live") as live:
            assert live.post("/api/leads", json={"phone": "+12025550101"}).json()["id"] == 1


class TestUpdate:
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({"status": "old"}, STATUSES),
            ({"tags": {}}, "tags must be an array"),
            ({"customFields": 1}, "customFields must be a key-value object"),
            ({}, None),
        ],
    )
    def test_bad_change_is_400(
        self, client: ContractClient, create: Callable[..., Any], body: Any, message: str | None
    ) -> None:
        create()

        answer = client.patch("/api/leads/1", json=body)

        assert answer.status_code == 400
        assert message is None or answer.json()["error"] == message

    def test_unknown_lead_is_404(self, client: ContractClient) -> None:
        assert client.patch("/api/leads/1", json={"name": "A"}).status_code == 404

    def test_phone_of_another_lead_is_409(self, client: ContractClient, create: Callable[..., Any]) -> None:
        create(phone="+12025550150")
        create()

        assert client.patch("/api/leads/2", json={"phone": "+12025550150"}).json()["details"] == "1"

    def test_only_what_is_named_changes(self, client: ContractClient, create: Callable[..., Any]) -> None:
        before = create(name="Ada", tags=["fair"], customFields={"seats": 25, "company": "Example GmbH"})

        after = client.patch(
            "/api/leads/1", json={"status": "qualified", "customFields": {"seats": None, "plan": "pro"}}
        ).json()

        assert after["customFields"] == {"company": "Example GmbH", "plan": "pro"}
        changed = {name for name in before if before[name] != after[name]}
        assert changed == {"status", "customFields", "updatedAt"}

    def test_null_removes_what_can_be_without(self, client: ContractClient, create: Callable[..., Any]) -> None:
        create(externalId="crm-1", timezone="Europe/Madrid")

        after = client.patch("/api/leads/1", json={"externalId": None, "timezone": None}).json()

        assert not {"externalId", "timezone"} & after.keys()


class TestAgent:
    @pytest.fixture
    def agent(self, client: ContractClient) -> str:
        return str(client.post("/api/agent-config", json={}).json()["_id"])

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({"assignedAgentId": "mia"}, "Invalid agent ID format"),
            ({"assignedAgentId": ""}, "Invalid agent ID format"),
            ({"assignedAgentId": 7}, "Invalid agent ID format"),
            ({}, "assignedAgentId is required"),
        ],
    )
    def test_bad_assignment_is_400(self, client: ContractClient, body: Any, message: str) -> None:
        answer = client.patch("/api/leads/1/agent", json=body)

        assert (answer.status_code, answer.json()["error"]) == (400, message)

    def test_unknown_lead_or_agent_is_404(self, client: ContractClient, create: Callable[..., Any], agent: str) -> None:
        missing_lead = client.patch("/api/leads/1/agent", json={"assignedAgentId": agent})
        create()
        missing_agent = client.patch("/api/leads/1/agent", json={"assignedAgentId": "f" * 24})

        assert (missing_lead.json()["code"], missing_agent.json()["code"]) == ("lead_not_found", "agent_not_found")

    def test_agent_is_assigned_and_taken_away(
        self, client: ContractClient, create: Callable[..., Any], agent: str
    ) -> None:
        create()

        assigned = client.patch("/api/leads/1/agent", json={"assignedAgentId": agent}).json()
        released = client.patch("/api/leads/1/agent", json={"assignedAgentId": None}).json()

        assert (assigned["assignedAgentId"], assigned["agentAssignedBy"]) == (agent, "manual")
        assert ("assignedAgentId" in released, released["agentAssignedBy"]) == (False, "auto")


class TestDeleteAndRestore:
    def test_unknown_lead_is_404(self, client: ContractClient) -> None:
        assert client.delete("/api/leads/1").status_code == client.post("/api/leads/1/restore").status_code == 404

    def test_deleted_lead_is_gone_until_it_is_restored(
        self, client: ContractClient, create: Callable[..., Any]
    ) -> None:
        lead = create(name="Ada", externalId="crm-1")

        deleted = client.delete("/api/leads/1")
        gone = [client.get("/api/leads/1").status_code, client.delete("/api/leads/1").status_code]
        listed = client.get("/api/leads")
        restored = client.post("/api/leads/1/restore").json()

        assert deleted.json() == {"success": True}
        assert gone == [404, 404]
        assert (listed.json(), listed.headers["X-Total-Count"]) == ([], "0")
        assert {**restored, "updatedAt": ""} == {**lead, "updatedAt": ""}

    def test_lead_that_is_not_deleted_is_answered_unchanged(
        self, client: ContractClient, create: Callable[..., Any]
    ) -> None:
        assert client.post(f"/api/leads/{create()['id']}/restore").json() == client.get("/api/leads/1").json()

    def test_phone_of_a_deleted_lead_is_free_and_its_restoration_409_once_it_is_taken(
        self, client: ContractClient, create: Callable[..., Any]
    ) -> None:
        create(phone="+12025550150")
        client.delete("/api/leads/1")

        assert create(phone="+12025550150")["id"] == 2
        assert client.post("/api/leads/1/restore").json()["details"] == "2"


class TestSearch:
    @pytest.mark.parametrize("query", ["", "?q=a", "?q=ada&limit=51", "?q=ada&limit=0", "?q=ada&skip=1"])
    def test_bad_search_is_400(self, client: ContractClient, query: str) -> None:
        assert client.get(f"/api/leads/search{query}").status_code == 400

    @pytest.mark.parametrize(
        "q", ["ada", "EXAMPLE", "ada@", "crm-7", "fair", "202 555 0177", "(202) 555-0177", "+1-202-555-0177", "5550177"]
    )
    def test_lead_is_found_by_what_people_type(
        self, client: ContractClient, create: Callable[..., Any], q: str
    ) -> None:
        create(name="Bob Other")
        create(
            phone="+12025550177", name="Ada Example", email="ada@example.com", externalId="crm-7", tags=["trade fair"]
        )

        assert ids(client.get("/api/leads/search", params={"q": q}).json()["leads"]) == [2]

    def test_limit_is_ten_unless_said_otherwise(self, client: ContractClient, create: Callable[..., Any]) -> None:
        for _ in range(12):
            create(name="Ada")

        found = [len(client.get(f"/api/leads/search?q=ada{more}").json()["leads"]) for more in ("", "&limit=50")]

        assert found == [10, 12]


@pytest.fixture(scope="module")
def many(served: Served) -> Iterator[ContractClient]:
    """A client of an account with 120 leads, which nobody changes."""
    opened = database.connect(served.database_url)
    with database.transaction():
        party = Party(accounts.create("Example", default_region="US").id, served.base_url)
    with party.client() as client:
        for first in (0, 60):
            items = [
                {
                    "lead_id": f"crm-{number}",
                    "phone": f"+1202555{number:04}",
                    "name": f"Lead {number:03}",
                    "tags": ["even" if number % 2 == 0 else "odd"],
                    "customFields": {"seats": number},
                    **({"email": f"lead{number}@example.com"} if number % 3 == 0 else {}),
                }
                for number in range(first, first + 60)
            ]
            client.post("/api/leads/sync", json={"leads": items})
        for number in (1, 2, 3):
            client.patch(f"/api/leads/{number}", json={"status": "qualified"})
        yield client
    opened.close_all()


def walked(client: ContractClient, url: str, take: Callable[[Any], list[Any]] = lambda body: body) -> list[list[int]]:
    """The ids on each page, following the Link header."""
    pages = []
    answer = client.get(url)
    while True:
        assert answer.status_code == 200, answer.text
        pages.append(ids(take(answer.json())))
        if "next" not in answer.links:
            return pages
        answer = client.get(answer.links["next"]["url"])


NEWEST = list(range(120, 0, -1))


class TestPages:
    def test_first_page_is_fifty_newest_first(self, many: ContractClient) -> None:
        answer = many.get("/api/leads")

        assert ids(answer.json()) == NEWEST[:50]
        assert answer.headers["X-Total-Count"] == "120"

    @pytest.mark.parametrize("limit", [100, 40, 7])
    def test_links_lead_through_all_leads_once(self, many: ContractClient, limit: int) -> None:
        pages = walked(many, f"/api/leads?limit={limit}")

        assert [each for page in pages for each in page] == NEWEST
        assert {len(page) for page in pages[:-1]} == {limit}

    @pytest.mark.parametrize("limit", [100, 40])
    def test_skip_leads_through_all_leads_once(self, many: ContractClient, limit: int) -> None:
        pages = [many.get("/api/leads", params={"limit": limit, "skip": skip}) for skip in range(0, 120, limit)]

        assert [each for page in pages for each in ids(page.json())] == NEWEST

    def test_link_of_a_page_that_was_skipped_to_goes_on_from_there(self, many: ContractClient) -> None:
        assert walked(many, "/api/leads?skip=100&limit=15") == [NEWEST[100:115], NEWEST[115:]]

    @pytest.mark.parametrize("skip", [120, 1_000_000])
    def test_page_beyond_the_last_lead_is_empty(self, many: ContractClient, skip: int) -> None:
        answer = many.get("/api/leads", params={"skip": skip})

        assert (answer.json(), answer.headers["X-Total-Count"], answer.links) == ([], "120", {})

    def test_link_keeps_the_filters(self, many: ContractClient) -> None:
        pages = walked(many, "/api/leads?tags=odd&limit=25&sort=name", lambda body: list(body["leads"]))

        assert [each for page in pages for each in page] == list(range(2, 121, 2))

    @pytest.mark.parametrize("sort", ["createdAt", "-createdAt", "updatedAt", "-updatedAt", "name", "-name",
                                      "lastContactedAt", "-lastContactedAt"])  # fmt: skip
    def test_every_order_has_its_pages(self, many: ContractClient, sort: str) -> None:
        pages = walked(many, f"/api/leads?sort={sort}&limit=50")

        assert sorted(each for page in pages for each in page) == NEWEST[::-1]

    @pytest.mark.parametrize("cursor", ["abc", "W10", "A" * 200, "eyJhIjoxfQ"])
    def test_cursor_of_nobody_is_422(self, many: ContractClient, cursor: str) -> None:
        answer = many.get("/api/leads", params={"cursor": cursor})

        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")

    def test_cursor_of_another_order_is_422(self, many: ContractClient) -> None:
        cursor = many.get("/api/leads?limit=5").links["next"]["url"].partition("cursor=")[2]

        assert many.get("/api/leads", params={"cursor": cursor, "sort": "name"}).status_code == 422

    def test_lead_that_comes_in_between_moves_no_page(self, client: ContractClient, create: Callable[..., Any]) -> None:
        for _ in range(4):
            create()
        first = client.get("/api/leads?limit=2")

        create()

        assert ids(client.get(first.links["next"]["url"]).json()) == [2, 1]


class TestFilters:
    @pytest.mark.parametrize(
        ("query", "total"),
        [
            ("statuses=qualified", 3),
            ("statuses=new,qualified", 120),
            ("statuses=disqualified", 0),
            ("tags=even", 60),
            ("tags=even,odd", 120),
            ("channel=email", 40),
            ("channel=sms", 120),
            ("externalId=crm-7", 1),
            ("q=lead+113", 1),
            ("statuses=qualified&tags=even", 2),
            ("importBatchId=665f1c2e9b1d4a0012ab34ce", 0),
        ],
    )
    def test_filtered_list_has_its_total(self, many: ContractClient, query: str, total: int) -> None:
        answer = many.get(f"/api/leads?{query}&limit=2")

        assert answer.json()["total"] == total
        assert answer.headers["X-Total-Count"] == str(total)
        assert len(answer.json()["leads"]) == min(total, 2)

    @pytest.mark.parametrize("query", ["limit=5", "skip=5", "sort=name", "limit=1&skip=2&sort=-name"])
    def test_what_is_no_filter_leaves_a_plain_array(self, many: ContractClient, query: str) -> None:
        assert isinstance(many.get(f"/api/leads?{query}").json(), list)


class TestPreview:
    @pytest.mark.parametrize(
        ("condition", "total"),
        [
            ({"field": "status", "operator": "is", "value": "qualified"}, 3),
            ({"field": "status", "operator": "is_not", "value": "qualified"}, 117),
            ({"field": "name", "operator": "contains", "value": "LEAD 11"}, 10),
            ({"field": "externalId", "operator": "is_any_of", "value": ["crm-1", "crm-2", "crm-999"]}, 2),
            ({"field": "tags", "operator": "includes_any_of", "value": ["odd", "other"]}, 60),
            ({"field": "createdAt", "operator": "is_before", "value": "2000-01-01"}, 0),
            ({"field": "createdAt", "operator": "is_after", "value": "2000-01-01T00:00:00Z"}, 120),
            ({"field": "customFields.seats", "operator": "is", "value": "25"}, 1),
            ({"field": "customFields.seats", "operator": "is", "value": 25}, 1),
            ({"field": "customFields.nobody", "operator": "is_not", "value": "x"}, 120),
        ],
        ids=lambda value: f"{value['field']} {value['operator']}" if isinstance(value, dict) else "",
    )
    def test_each_operator_finds_its_leads(self, many: ContractClient, condition: dict[str, Any], total: int) -> None:
        answer = many.post("/api/leads/preview", json={"filters": {"conditions": [condition]}}).json()

        assert answer["total"] == total
        assert len(answer["leads"]) == min(total, 5)

    def test_conditions_combine_and_groups_nest(self, many: ContractClient) -> None:
        odd = {"field": "tags", "operator": "includes_any_of", "value": ["odd"]}
        named = [{"field": "name", "operator": "is", "value": f"Lead 00{number}"} for number in (1, 2, 3)]

        def total(filters: dict[str, Any]) -> int:
            return int(many.post("/api/leads/preview", json={"filters": filters}).json()["total"])

        assert total({"conditions": [odd, named[0]]}) == 1
        assert total({"conditions": named, "match": "any"}) == 3
        assert total({"conditions": [odd], "groups": [{"conditions": named, "match": "any"}]}) == 2
        assert total({"conditions": []}) == 120

    def test_pages_by_skip_and_limit(self, many: ContractClient) -> None:
        body = {"filters": {"conditions": []}, "channel": "email", "skip": 38, "limit": 10}

        answer = many.post("/api/leads/preview", json=body).json()

        assert (ids(answer["leads"]), answer["total"]) == ([4, 1], 40)

    @pytest.mark.parametrize(
        "body",
        [{}, {"filters": {}}, {"filters": None}, {"filters": {"conditions": "x"}}, {"filters": {"conditions": {}}}],
        ids=str,
    )
    def test_filter_without_conditions_is_400_with_the_published_text(self, many: ContractClient, body: Any) -> None:
        answer = many.post("/api/leads/preview", json=body)

        assert (answer.status_code, answer.json()["error"]) == (400, "filters.conditions array is required")

    @pytest.mark.parametrize(
        ("condition", "path"),
        [
            ({"field": "age", "operator": "is", "value": "7"}, "field"),
            ({"field": "createdAt", "operator": "contains", "value": "2026"}, "operator"),
            ({"field": "createdAt", "operator": "is_after", "value": "yesterday"}, "value"),
            ({"field": "optedOut", "operator": "is_before", "value": "2026-01-01"}, "operator"),
            ({"field": "id", "operator": "is", "value": "seven"}, "value"),
            ({"field": "status", "operator": "is", "value": "old"}, "value"),
            ({"field": "name", "operator": "is_any_of", "value": "Ada"}, "value"),
            ({"field": "name", "operator": "like", "value": "Ada"}, "operator"),
        ],
        ids=["unknown field", "operator of a time", "no time", "operator of a list", "no number", "no status",
             "no list", "unknown operator"],
    )  # fmt: skip
    def test_what_cannot_be_asked_is_400_and_named(
        self, many: ContractClient, condition: dict[str, Any], path: str
    ) -> None:
        good = {"field": "name", "operator": "is", "value": "Ada"}

        answer = many.post("/api/leads/preview", json={"filters": {"conditions": [good, condition]}})

        assert answer.status_code == 400
        assert f"/filters/conditions/1/{path}" in [each["path"] for each in answer.json()["errors"]]


class TestMerge:
    @pytest.fixture
    def pair(self, client):
        bodies = ({"phone": "+12025550142", "tags": ["a"]}, {"phone": "+12025550143", "name": "Ada", "tags": ["b"]})
        return [client.post("/api/leads", json=body).json()["id"] for body in bodies]

    def test_merged_lead_is_answered_and_the_other_says_what_it_became(self, client, pair):
        into, other = pair

        answer = client.post("/api/leads/merge", json={"into": into, "from": [other]})

        assert answer.status_code == 200
        assert (answer.json()["id"], answer.json()["name"], answer.json()["tags"]) == (into, "Ada", ["a", "b"])
        assert client.get(f"/api/leads/{into}").json() == answer.json()
        gone = client.get(f"/api/leads/{other}")
        assert (gone.status_code, gone.json()["details"]) == (404, str(into))
        assert client.post(f"/api/leads/{other}/restore").status_code == 404
        again = client.post("/api/leads/merge", json={"into": into, "from": [other]})
        assert (again.status_code, "/from/0" in again.text) == (404, True)

    def test_lead_into_itself_is_refused(self, client, pair):
        answer = client.post("/api/leads/merge", json={"into": pair[0], "from": pair})

        assert (answer.status_code, answer.json()["code"]) == (422, "merge_into_itself")
