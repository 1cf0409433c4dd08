"""The caller's account, its roles and all roles there are, over HTTP."""

from __future__ import annotations

import pytest

from storage.roles import ROLES, SCOPES
from tests.conftest import Party
from tests.support.contract_client import ContractClient


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
