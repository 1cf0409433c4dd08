"""The team when several change it at once: an owner is left, a token is used once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from engine import team
from storage import accounts, database, members
from storage.errors import Conflict, NotFound
from storage.roles import SCOPES
from storage.tenancy import SYSTEM, Caller, Tenant

THREADS = 8


@pytest.fixture
def owner(tenant: Tenant) -> Caller:
    live = accounts.tenant_row(tenant.account_id, "live").tenant
    return Caller(live, "1" * 24, frozenset(SCOPES), ("owner",), SYSTEM)


def together(work: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
    def connected(argument: Any) -> Any:
        with database.connection():
            try:
                return work(argument) or "done"
            except (Conflict, NotFound) as refusal:
                return refusal.code

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(connected, arguments))


@pytest.mark.parametrize(
    "leave",
    [lambda caller, name: team.remove(caller, name), lambda caller, name: team.change_roles(caller, name, ["analyst"])],
    ids=["removed", "demoted"],
)
def test_owners_who_leave_at_once_leave_one(owner: Caller, leave: Callable[[Caller, str], None]) -> None:
    account_id = owner.tenant.account_id
    made = [
        members.add(account_id, email=f"{n}@example.com", first_name="", last_name="", roles=["owner"]).id
        for n in range(THREADS)
    ]

    answers = together(lambda name: leave(owner, name), made)

    assert sorted(answers) == ["done"] * (THREADS - 1) + ["last_owner"]
    assert len(members.owners(account_id)) == 1


def test_token_that_is_used_at_once_makes_one_member(owner: Caller) -> None:
    token = team.invite(owner, "ada@example.com", ["analyst"], 7).token

    answers = together(lambda _: team.accept(token, "Ada", "") and None, range(THREADS))

    assert sorted(answers) == ["done"] + ["invitation_not_found"] * (THREADS - 1)
    assert members.page(owner.tenant.account_id, limit=10)[1] == 1
