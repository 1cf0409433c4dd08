"""The team over HTTP: invited, joined, given other roles, removed; never without an owner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from storage import clock, database, roles
from storage.accounts import Member
from storage.audit import AuditEntry
from storage.members import Invitation
from tests.conftest import Party
from tests.support.contract_client import ContractClient

MEMBERS = "/api/accounts/current/members"
INVITATIONS = "/api/accounts/current/invitations"


@pytest.fixture
def live(party: Party) -> Iterator[ContractClient]:
    with party.client("live") as opened:
        yield opened


@pytest.fixture
def join(live: ContractClient) -> Callable[..., dict[str, Any]]:
    """Makes a member with these roles."""

    def make(*names: str, email: str = "ada@example.com") -> dict[str, Any]:
        token = live.post(INVITATIONS, json={"email": email, "roles": list(names)}).json()["token"]
        return dict(live.post(accepting(token), json={"firstName": "Ada", "lastName": "Example"}).json())

    return make


def accepting(token: str) -> str:
    return f"/api/accounts/invitations/{token}/accept"


class TestMembers:
    def test_list_is_a_plain_array_of_six_properties(self, live: ContractClient, join: Callable[..., Any]) -> None:
        ada, bob = join("owner"), join("analyst", email="bob@example.com")

        listed = live.get(MEMBERS)

        assert listed.json() == [bob, ada]
        assert ada.keys() == {"_id", "clerkUserId", "email", "firstName", "lastName", "roles"}
        assert listed.headers["X-Total-Count"] == "2"

    def test_member_is_found_by_either_name(self, party: Party, live: ContractClient, join: Callable[..., Any]) -> None:
        ada = join("owner")
        with database.connection():
            [row] = Member.of(party.account_id)
            row.store(clerk_user_id="user_2NNEqL2nrIRdJ194ndJqAHwEfxC")

        found = [live.get(f"{MEMBERS}/{name}").json()["email"] for name in (ada["_id"], row.clerk_user_id)]

        assert found == ["ada@example.com"] * 2

    def test_malformed_name_is_400_and_unknown_one_404(self, live: ContractClient) -> None:
        answers = [live.get(f"{MEMBERS}/{name}") for name in ("a%20b", "user_nobody")]

        assert [(each.status_code, each.json()["error"]) for each in answers] == [
            (400, "Invalid user ID format"),
            (404, "Member not found"),
        ]

    def test_another_accounts_member_is_404(self, make_party: Callable[..., Party], join: Callable[..., Any]) -> None:
        ada = join("owner")

        with make_party("Other").client("live") as other:
            answer = other.patch(f"{MEMBERS}/{ada['_id']}/roles", json={"roles": ["analyst"]})

        assert answer.status_code == 404


class TestRoles:
    def test_all_roles_are_replaced_and_it_is_audited(
        self, party: Party, live: ContractClient, join: Callable[..., Any]
    ) -> None:
        join("owner")
        bob = join("analyst", "operator", email="bob@example.com")

        changed = live.patch(f"{MEMBERS}/{bob['clerkUserId']}/roles", json={"roles": ["integrator"]})

        assert changed.json() == {"success": True}
        assert live.get(f"{MEMBERS}/{bob['_id']}").json()["roles"] == ["integrator"]
        with database.connection():
            told = [each.metadata for each in AuditEntry.of(party.account_id) if each.action == "member.roles_changed"]
        assert told == [{"from": ["analyst", "operator"], "to": ["integrator"]}]

    @pytest.mark.parametrize("body", [{}, {"roles": []}, {"roles": ["king"]}, {"roles": ["owner", "owner"]}], ids=str)
    def test_bad_roles_are_400(self, live: ContractClient, join: Callable[..., Any], body: Any) -> None:
        assert live.patch(f"{MEMBERS}/{join('owner')['_id']}/roles", json=body).status_code == 400

    @pytest.mark.parametrize(
        ("given", "lacking"),
        [(["owner"], "leads:import"), (["analyst", "integrator"], "leads:sync_create"), (["operator"], "leads:import")],
    )
    def test_nobody_gives_what_they_have_not(
        self, party: Party, join: Callable[..., Any], given: list[str], lacking: str
    ) -> None:
        ada = join("analyst")

        with party.client("live", ["team:change_role", *roles.scopes_of(["analyst"])]) as narrow:
            answer = narrow.patch(f"{MEMBERS}/{ada['_id']}/roles", json={"roles": given})

        assert (answer.status_code, answer.json()["code"]) == (403, "scope_not_held")
        assert answer.json()["message"] == f"API key does not have the required scope (requires: {lacking})."

    def test_nobody_takes_what_they_have_not(
        self, party: Party, live: ContractClient, join: Callable[..., Any]
    ) -> None:
        ada, _ = join("owner"), join("owner", email="bob@example.com")
        scopes = ["team:change_role", "team:remove", *roles.scopes_of(["analyst"])]

        with party.client("live", scopes) as narrow:
            demoted = narrow.patch(f"{MEMBERS}/{ada['_id']}/roles", json={"roles": ["analyst"]})
            removed = narrow.delete(f"{MEMBERS}/{ada['_id']}")

        assert [demoted.status_code, removed.status_code] == [403, 403]
        assert live.get(f"{MEMBERS}/{ada['_id']}").json()["roles"] == ["owner"]

    def test_last_owner_stays(self, live: ContractClient, join: Callable[..., Any]) -> None:
        ada = join("owner")
        place = f"{MEMBERS}/{ada['_id']}"
        refused = [live.patch(f"{place}/roles", json={"roles": ["analyst"]}), live.delete(place)]

        join("owner", email="bob@example.com")

        assert [each.json()["code"] for each in refused] == ["last_owner"] * 2
        assert [each.status_code for each in refused] == [409] * 2
        assert live.patch(f"{place}/roles", json={"roles": ["analyst", "owner"]}).status_code == 200
        assert live.delete(place).json() == {"success": True}

    def test_test_key_looks_only(self, client: ContractClient, join: Callable[..., Any]) -> None:
        place = f"{MEMBERS}/{join('owner')['_id']}"

        refused = [
            client.patch(f"{place}/roles", json={"roles": ["analyst"]}),
            client.delete(place),
            client.post(INVITATIONS, json={"email": "bob@example.com", "roles": ["analyst"]}),
        ]

        assert client.get(place).status_code == 200
        assert [each.json()["code"] for each in refused] == ["live_key_required"] * 3

    def test_stale_change_is_412(self, live: ContractClient, join: Callable[..., Any]) -> None:
        join("owner")
        place = f"{MEMBERS}/{join('analyst', email='bob@example.com')['_id']}"
        tag = live.get(place).headers["ETag"]

        answers = [
            live.patch(f"{place}/roles", json={"roles": [each]}, headers={"If-Match": tag})
            for each in ("operator", "integrator")
        ]

        assert [each.status_code for each in answers] == [200, 412]

    def test_removed_members_keys_stay(self, live: ContractClient, join: Callable[..., Any]) -> None:
        join("owner")
        key = {"name": "Bob's", "scopes": ["leads:view"], "environment": "live"}
        made = live.post("/api/api-keys", json=key).json()["apiKey"]["_id"]

        live.delete(f"{MEMBERS}/{join('analyst', email='bob@example.com')['_id']}")

        assert live.get(f"/api/api-keys/{made}").json()["status"] == "active"


class TestInvitations:
    def test_token_is_shown_once_and_kept_as_a_digest(self, party: Party, live: ContractClient) -> None:
        made = live.post(INVITATIONS, json={"email": "Ada@Example.com", "roles": ["analyst"]}).json()

        place = f"{INVITATIONS}/{made['invitation']['_id']}"
        assert made["token"] not in live.get(INVITATIONS).text + live.get(place).text
        assert live.get(INVITATIONS).json() == [live.get(place).json()] == [made["invitation"]]
        with database.connection():
            [row] = Invitation.of(party.account_id)
        assert made["token"] not in repr(row.__data__)
        assert (row.email, made["invitation"]["status"]) == ("ada@example.com", "pending")

    def test_accepted_once(self, live: ContractClient, join: Callable[..., Any]) -> None:
        token = live.post(INVITATIONS, json={"email": "ada@example.com", "roles": ["operator"]}).json()["token"]

        first, second = (live.post(accepting(token), json={}) for _ in range(2))

        assert (first.status_code, first.json()["roles"]) == (201, ["operator"])
        assert (second.status_code, second.json()["code"]) == (404, "invitation_not_found")
        assert live.get(first.headers["Location"]).json() == first.json()
        assert live.get(INVITATIONS).json() == []

    def test_repeated_acceptance_is_replayed(self, live: ContractClient) -> None:
        token = live.post(INVITATIONS, json={"email": "ada@example.com", "roles": ["operator"]}).json()["token"]

        first, second = (live.post(accepting(token), json={}, headers={"Idempotency-Key": "1"}) for _ in range(2))

        assert first.json() == second.json()
        assert second.headers["Idempotent-Replayed"] == "true"

    def test_expired_or_revoked_token_is_nobodys(self, party: Party, live: ContractClient) -> None:
        made = [
            live.post(INVITATIONS, json={"email": f"{name}@example.com", "roles": ["analyst"]}).json()
            for name in ("ada", "bob")
        ]
        live.delete(f"{INVITATIONS}/{made[0]['invitation']['_id']}")
        with database.connection():
            [row] = Invitation.of(party.account_id)
            row.store(expires_at=clock.iso(clock.now() - timedelta(seconds=1)))

        answers = [live.post(accepting(each["token"]), json={}) for each in (*made, {"token": "inv_nobodys"})]

        assert {(each.status_code, each.json()["code"]) for each in answers} == {(404, "invitation_not_found")}
        assert [each["status"] for each in live.get(INVITATIONS).json()] == ["expired"]
        again = live.post(INVITATIONS, json={"email": "bob@example.com", "roles": ["analyst"]})
        assert (again.status_code, len(live.get(INVITATIONS).json())) == (201, 1)

    def test_person_is_invited_once_and_no_member_is(self, live: ContractClient, join: Callable[..., Any]) -> None:
        join("owner")
        guest = {"email": "bob@example.com", "roles": ["analyst"]}
        live.post(INVITATIONS, json=guest)

        answers = [
            live.post(INVITATIONS, json={**guest, "email": each}) for each in ("BOB@example.com", "ADA@example.com")
        ]

        assert [each.status_code for each in answers] == [409, 409]
        assert [each.json()["code"] for each in answers] == ["already_invited", "already_member"]

    def test_nobody_invites_to_more_than_they_have(self, party: Party) -> None:
        with party.client("live", ["team:invite"]) as narrow:
            answer = narrow.post(INVITATIONS, json={"email": "ada@example.com", "roles": ["analyst"]})

        assert (answer.status_code, answer.json()["code"]) == (403, "scope_not_held")
