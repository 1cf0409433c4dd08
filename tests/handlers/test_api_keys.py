"""API keys over HTTP: issued once in full, masked ever after, rotated, revoked and deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from storage import clock
from tests.conftest import Party
from tests.support.contract_client import ContractClient

KEYS = "/api/api-keys"
NEW = {"name": "CRM sync", "scopes": ["leads:view", "leads:sync_create"], "environment": "test"}


@pytest.fixture
def key(client: ContractClient) -> dict[str, Any]:
    """A new key: `fullKey` and `apiKey`."""
    return dict(client.post(KEYS, json=NEW).json())


def path(key: dict[str, Any], part: str = "") -> str:
    return f"{KEYS}/{key['apiKey']['_id']}{part}"


def status_with(party: Party, full_key: str) -> int:
    with ContractClient(party.base_url, full_key) as opened:
        return opened.get("/api/leads").status_code


class TestCreate:
    @pytest.mark.parametrize(
        ("change", "where"),
        [
            ({"name": None}, "/name"),
            ({"name": " "}, "/name"),
            ({"scopes": []}, "/scopes"),
            ({"scopes": ["leads:fly"]}, "/scopes/0"),
            ({"scopes": ["leads:view", "leads:view"]}, "/scopes"),
            ({"environment": "staging"}, "/environment"),
            ({"expiresAt": "tomorrow"}, "/expiresAt"),
            ({"ipAllowlist": ["192.0.2.0/33"]}, "/ipAllowlist/0"),
            ({"ipAllowlist": ["example.com"]}, "/ipAllowlist/0"),
        ],
        ids=str,
    )
    def test_bad_key_is_400(self, client: ContractClient, change: dict[str, Any], where: str) -> None:
        answer = client.post(KEYS, json={**NEW, **change})

        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, where)

    @pytest.mark.parametrize("moment", ["2020-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00", "2016-12-31T23:59:60Z"])
    def test_expiry_that_is_not_to_come_is_422(self, client: ContractClient, moment: str) -> None:
        assert client.post(KEYS, json={**NEW, "expiresAt": moment}).status_code == 422

    def test_scope_that_the_caller_lacks_is_403(self, party: Party) -> None:
        with party.client(scopes=["api_keys:manage", "leads:view"]) as narrow:
            answer = narrow.post(KEYS, json=NEW)

        assert (answer.status_code, answer.json()["code"]) == (403, "scope_not_held")
        assert answer.json()["message"] == "API key does not have the required scope (requires: leads:sync_create)."

    def test_test_key_makes_no_live_key(self, client: ContractClient) -> None:
        assert client.post(KEYS, json={**NEW, "environment": "live"}).json()["code"] == "live_key_from_test"

    def test_new_key_is_shown_in_full_once(self, party: Party, client: ContractClient, key: dict[str, Any]) -> None:
        full, shown = key["fullKey"], key["apiKey"]

        assert (full[:8], full[-4:]) == (shown["keyPrefix"], shown["keyHint"])
        assert (shown["status"], shown["expiresAt"], shown["lastUsedAt"]) == ("active", None, None)
        assert full not in client.get(KEYS).text + client.get(path(key)).text
        assert status_with(party, full) == 200

    def test_live_key_makes_keys_of_both_environments(self, party: Party) -> None:
        with party.client("live") as live:
            made = [live.post(KEYS, json={**NEW, "environment": each}).json()["fullKey"] for each in ("live", "test")]

        assert [each[:8] for each in made] == ["nl_live_", "nl_test_"]

    def test_key_outside_its_addresses_is_403(self, party: Party, client: ContractClient) -> None:
        made = client.post(KEYS, json={**NEW, "ipAllowlist": ["192.0.2.0/24"]}).json()
        near = client.post(KEYS, json={**NEW, "ipAllowlist": ["127.0.0.0/8", "::1"]}).json()

        assert [status_with(party, each["fullKey"]) for each in (made, near)] == [403, 200]


class TestRead:
    def test_unknown_key_is_404(self, client: ContractClient) -> None:
        assert client.get(f"{KEYS}/{'f' * 24}").json()["code"] == "api_key_not_found"

    def test_current_key_tells_what_it_may_do(self, party: Party) -> None:
        with party.client(scopes=["leads:view"]) as narrow:
            current = narrow.get(f"{KEYS}/current").json()

        assert (current["accountId"], current["environment"]) == (party.account_id, "test")
        assert current["permissions"] == current["apiKey"]["scopes"] == ["leads:view"]

    def test_list_is_a_plain_array_newest_first_with_pages(self, client: ContractClient) -> None:
        made = [client.post(KEYS, json={**NEW, "name": f"Key {number}"}).json()["apiKey"]["_id"] for number in range(5)]

        first = client.get(KEYS, params={"limit": 4})
        second = client.get(first.links["next"]["url"])

        own = client.get(f"{KEYS}/current").json()["apiKey"]["_id"]
        assert [each["_id"] for each in first.json() + second.json()] == [*reversed(made), own]
        assert first.headers["X-Total-Count"] == "6"

    def test_test_key_sees_no_live_keys_and_a_live_key_both(self, party: Party, client: ContractClient) -> None:
        with party.client("live") as live:
            seen = [{each["environment"] for each in c.get(KEYS).json()} for c in (client, live)]

        assert seen == [{"test"}, {"test", "live"}]


class TestRevoke:
    def test_revoked_key_ends_at_once_and_for_good(
        self, party: Party, client: ContractClient, key: dict[str, Any]
    ) -> None:
        used = status_with(party, key["fullKey"])

        revoked, again = (client.patch(path(key, "/revoke")) for _ in range(2))

        assert (used, status_with(party, key["fullKey"])) == (200, 401)
        assert revoked.json()["status"] == "revoked"
        assert again.json() == revoked.json()

    def test_key_may_revoke_itself(self, party: Party, client: ContractClient) -> None:
        own = client.get(f"{KEYS}/current").json()

        assert client.patch(path(own, "/revoke")).status_code == 200
        assert client.get("/api/leads").json()["error"] == "Invalid or expired API key"


class TestRotate:
    @pytest.mark.parametrize("overlap", [-1, 604_801, 1.5, "3600"])
    def test_bad_overlap_is_400(self, client: ContractClient, key: dict[str, Any], overlap: Any) -> None:
        answer = client.post(path(key, "/rotate"), json={"overlapSeconds": overlap})

        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, "/overlapSeconds")

    def test_revoked_key_is_409(self, client: ContractClient, key: dict[str, Any]) -> None:
        client.patch(path(key, "/revoke"))

        assert client.post(path(key, "/rotate")).json()["code"] == "api_key_not_active"

    @pytest.mark.parametrize("body", [None, {}, {"overlapSeconds": 0}], ids=["no body", "empty", "zero"])
    def test_new_key_replaces_the_old_one_at_once(
        self, party: Party, client: ContractClient, key: dict[str, Any], body: Any
    ) -> None:
        new = client.post(path(key, "/rotate"), json=body).json()

        assert [status_with(party, each["fullKey"]) for each in (key, new)] == [401, 200]
        same = ("name", "scopes", "environment", "ipAllowlist")
        assert [new["apiKey"][name] for name in same] == [key["apiKey"][name] for name in same]
        assert client.get(path(key)).json()["status"] == "revoked"

    def test_overlap_leaves_both_valid_for_a_while(
        self, party: Party, client: ContractClient, key: dict[str, Any]
    ) -> None:
        new = client.post(path(key, "/rotate"), json={"overlapSeconds": 3600}).json()

        old = client.get(path(key)).json()
        assert [status_with(party, each["fullKey"]) for each in (key, new)] == [200, 200]
        assert clock.now() < clock.parse(old["expiresAt"]) <= clock.now() + timedelta(hours=1)


class TestDelete:
    def test_key_in_use_is_409(self, client: ContractClient, key: dict[str, Any]) -> None:
        assert client.delete(path(key)).json()["code"] == "api_key_not_revoked"

    def test_revoked_key_leaves_the_list(self, client: ContractClient, key: dict[str, Any]) -> None:
        client.patch(path(key, "/revoke"))

        assert client.delete(path(key)).json() == {"success": True}
        assert client.get(path(key)).status_code == client.delete(path(key)).status_code == 404
