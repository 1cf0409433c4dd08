"""The caller's account, its settings and usage, its roles and all roles there are, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from storage import clock, database, usage
from storage.accounts import ENVIRONMENTS
from storage.audit import AuditEntry
from storage.roles import ROLES, SCOPES
from tests.conftest import Party
from tests.support.contract_client import ContractClient

ACCOUNT = "/api/accounts/current"
SETTINGS = {
    "quietHours": {"start": "20:30", "end": "09:00", "repliesAllowed": False},
    "frequencyCap": {"messages": 3, "hours": 48},
    "aiDisclosure": {"enabled": True, "text": "An AI writes."},
    "budgets": {"monthlyMessages": 1000, "monthlyCostUsd": 12.5},
    "retention": {"auditLogDays": 730},
}


def test_account_is_that_of_the_key(party: Party, client: ContractClient) -> None:
    account = client.get("/api/accounts/current").json()

    assert (account["_id"], account["name"], account["defaultRegion"]) == (party.account_id, "Example", "US")
    assert account["timezone"] == "UTC"


@pytest.mark.parametrize("environment", ["live", "test"])
def test_account_shows_the_token_of_the_keys_environment(party: Party, environment: str) -> None:
    with party.client("live") as live, party.client("test") as test:
        accounts = {each["environment"]: each for each in (c.get("/api/accounts/current").json() for c in (live, test))}

    other = accounts[{"live": "test", "test": "live"}[environment]]
    assert accounts[environment]["webhookToken"].startswith("whk_")
    assert accounts[environment]["webhookToken"] != other["webhookToken"]


def test_rotation_gives_this_environment_a_new_token(party: Party, client: ContractClient) -> None:
    with party.client("live") as live:
        before = live.get("/api/accounts/current").json()["webhookToken"]
        rotated = client.post("/api/accounts/current/webhook-token/rotate").json()["webhookToken"]

        assert live.get("/api/accounts/current").json()["webhookToken"] == before
    assert client.get("/api/accounts/current").json()["webhookToken"] == rotated


def test_roles_of_an_owner_permit_everything(client: ContractClient) -> None:
    assert client.get("/api/accounts/current/roles").json() == {"roles": ["owner"], "permissions": list(SCOPES)}


def test_permissions_of_a_key_are_its_scopes(party: Party) -> None:
    with party.client(scopes=["leads:view", "conversations:view"]) as narrow:
        answer = narrow.get("/api/accounts/current/roles").json()

    assert answer == {"roles": [], "permissions": ["leads:view", "conversations:view"]}


def test_available_roles_are_the_five_with_their_permissions(client: ContractClient) -> None:
    roles = client.get("/api/accounts/available-roles").json()["roles"]

    assert [role["name"] for role in roles] == list(ROLES)
    assert {role["name"]: "leads:sync_create" in role["permissions"] for role in roles} == {
        "owner": True,
        "integrator": True,
        "ai_architect": False,
        "operator": False,
        "analyst": False,
    }


class TestUpdate:
    def test_account_that_set_nothing_shows_no_settings(self, client: ContractClient) -> None:
        assert client.get(ACCOUNT).json().keys() & {*SETTINGS, "defaultAgentId"} == set()

    def test_what_is_named_changes_in_both_environments_and_the_rest_stays(self, party: Party) -> None:
        with party.client("live") as live, party.client("test") as test:
            changed = test.patch(ACCOUNT, json={"name": "Renamed", "timezone": "Europe/Madrid", **SETTINGS}).json()
            seen = live.get(ACCOUNT).json()

        assert (seen["name"], seen["timezone"], seen["defaultRegion"]) == ("Renamed", "Europe/Madrid", "US")
        assert {name: seen[name] for name in SETTINGS} == {name: changed[name] for name in SETTINGS} == SETTINGS

    def test_null_gives_the_default_back(self, client: ContractClient) -> None:
        client.patch(ACCOUNT, json={"timezone": "Europe/Madrid", **SETTINGS})

        reset = client.patch(ACCOUNT, json=dict.fromkeys(("timezone", "defaultRegion", *SETTINGS))).json()

        assert reset["timezone"] == "UTC"
        assert reset.keys() & {*SETTINGS, "defaultRegion"} == set()

    def test_object_replaces_the_one_before_it(self, client: ContractClient) -> None:
        client.patch(ACCOUNT, json=SETTINGS)

        changed = client.patch(ACCOUNT, json={"budgets": {"monthlyTokens": 5}}).json()

        assert changed["budgets"] == {"monthlyTokens": 5}
        assert changed["quietHours"] == SETTINGS["quietHours"]

    @pytest.mark.parametrize(
        ("body", "where"),
        [
            ({"name": None}, "/name"),
            ({"name": " "}, "/name"),
            ({"quietHours": {"start": "24:00", "end": "08:00"}}, "/quietHours/start"),
            ({"quietHours": {"start": "21:00"}}, "/quietHours/end"),
            ({"frequencyCap": {"messages": 0, "hours": 24}}, "/frequencyCap/messages"),
            ({"budgets": {"monthlyMessages": -1}}, "/budgets/monthlyMessages"),
            ({"budgets": {"yearlyMessages": 1}}, "/budgets/yearlyMessages"),
            ({"retention": {"auditLogDays": 29}}, "/retention/auditLogDays"),
            ({"retention": {"messageDays": 30}}, "/retention/messageDays"),
            ({"defaultRegion": "usa"}, "/defaultRegion"),
            ({"defaultAgentId": "1"}, "/defaultAgentId"),
            ({"webhookToken": "whk_0123456789abcdef"}, "/webhookToken"),
        ],
        ids=str,
    )
    def test_bad_member_is_400(self, client: ContractClient, body: dict[str, Any], where: str) -> None:
        answer = client.patch(ACCOUNT, json=body)

        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, where)

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"timezone": "Mars/Olympus"}, 422, "unknown_timezone"),
            ({"defaultRegion": "ZZ"}, 422, "unknown_region"),
            ({"defaultAgentId": "f" * 24}, 404, "agent_not_found"),
        ],
    )
    def test_what_there_is_none_of_is_refused(
        self, client: ContractClient, body: dict[str, Any], status: int, code: str
    ) -> None:
        answer = client.patch(ACCOUNT, json={"name": "Renamed", **body})

        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert client.get(ACCOUNT).json()["name"] == "Example"

    def test_default_agent_is_that_of_the_environment(self, party: Party, client: ContractClient) -> None:
        agent = client.post("/api/agent-config", json={"name": "Mia"}).json()["_id"]
        client.patch(ACCOUNT, json={"defaultAgentId": agent})

        with party.client("live") as live:
            seen, refused = live.get(ACCOUNT).json(), live.patch(ACCOUNT, json={"defaultAgentId": agent})

        assert client.get(ACCOUNT).json()["defaultAgentId"] == agent
        assert ("defaultAgentId" in seen, refused.status_code) == (False, 404)
        assert "defaultAgentId" not in client.patch(ACCOUNT, json={"defaultAgentId": None}).json()

    def test_new_region_counts_for_the_next_lead(self, client: ContractClient) -> None:
        client.get(ACCOUNT)
        client.patch(ACCOUNT, json={"defaultRegion": "ES"})

        assert client.post("/api/leads", json={"phone": "612 34 56 78"}).json()["phone"] == "+34612345678"

    def test_stale_change_is_412(self, client: ContractClient) -> None:
        tag = client.get(ACCOUNT).headers["ETag"]

        answers = [client.patch(ACCOUNT, json={"name": name}, headers={"If-Match": tag}) for name in ("One", "Two")]

        assert [answer.status_code for answer in answers] == [200, 412]
        assert client.get(ACCOUNT).json()["name"] == "One"

    def test_change_needs_its_scope_and_is_audited(self, party: Party, client: ContractClient) -> None:
        with party.client(scopes=["dashboard:view"]) as viewer:
            refused = viewer.patch(ACCOUNT, json={"name": "Mine"})
        client.patch(ACCOUNT, json={"name": "Renamed", "budgets": None, "retention": {"auditLogDays": 30}})

        with database.connection():
            told = [(entry.action, entry.metadata) for entry in AuditEntry.of(party.account_id)]
        assert refused.status_code == 403
        assert ("account.updated", {"changed": ["budgets", "name", "retention"]}) in told


class TestUsage:
    def test_account_that_used_nothing_has_no_months(self, client: ContractClient) -> None:
        answer = client.get(f"{ACCOUNT}/usage").json()

        assert (answer["environment"], answer["months"], answer["budgets"]) == ("test", [], [])
        assert "exhausted" not in answer

    def test_usage_is_the_environments_and_budgets_are_the_accounts(self, party: Party, client: ContractClient) -> None:
        client.patch(ACCOUNT, json={"budgets": {"monthlyMessages": 5, "monthlyCostUsd": 0.002}})
        now = clock.now()
        with database.transaction():
            for environment in ENVIRONMENTS:
                usage.add(party.tenant(environment), now, messages_sent=2, turns=1, input_tokens=9, cost_micros=1000)

        answer = client.get(f"{ACCOUNT}/usage").json()

        [month] = answer["months"]
        assert (month["month"], month["messagesSent"], month["inputTokens"]) == (answer["month"], 2, 9)
        assert month["costUsd"] == 0.001
        assert answer["budgets"] == [
            {"name": "monthlyMessages", "limit": 5, "used": 4, "left": 1},
            {"name": "monthlyCostUsd", "limit": 0.002, "used": 0.002, "left": 0},
        ]
        assert answer["exhausted"] == "monthlyCostUsd"

    def test_so_many_months_are_answered_as_are_asked_for(self, client: ContractClient) -> None:
        statuses = [client.get(f"{ACCOUNT}/usage", params={"months": each}).status_code for each in (0, 1, 36, 37)]

        assert statuses == [400, 200, 200, 400]

    def test_usage_needs_its_scope(self, party: Party) -> None:
        with party.client(scopes=["leads:view"]) as other:
            assert other.get(f"{ACCOUNT}/usage").status_code == 403
