"""Who may call what: every operation with its key, without one, and with a key that may do everything else.

The cases are made from the contract: an operation is covered as soon as it is in the document.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from server.contract import Operation
from storage.roles import SCOPES, scopes_of
from tests.conftest import Party
from tests.security.calls import all_operations, examples, path_kind
from tests.security.kinds import UNKNOWN
from tests.support.contract_client import ContractClient

GUARDED = {name: operation for name, operation in all_operations().items() if not operation.is_public}
WITH_SCOPES = [
    pytest.param(operation, scope, id=f"{name} {scope}")
    for name, operation in GUARDED.items()
    for scope in operation.scopes
]
TAKES_ID = {name: operation for name, operation in GUARDED.items() if "{id}" in operation.path}

GRANTS = {"create_invitation": scopes_of(["analyst"])}  # what the example gives, which its caller must have

NO_KEY = "Authentication required. Provide an API key via X-API-Key header or Authorization: Bearer header."
WRONG_KEY = "Invalid or expired API key"
MADE_UP = "nl_live_4f1d2c3b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c35ed47a60"  # well-formed, nobody's

guarded = pytest.mark.parametrize("operation", GUARDED.values(), ids=GUARDED)
with_scopes = pytest.mark.parametrize(("operation", "scope"), WITH_SCOPES)
takes_id = pytest.mark.parametrize("operation", TAKES_ID.values(), ids=TAKES_ID)


@pytest.fixture
def anybody(party: Party) -> Any:
    """A client that shows no key of its own."""
    with ContractClient(party.base_url) as opened:
        yield opened


def ask(client: httpx.Client, operation: Operation, headers: dict[str, str], *, broken: bool = False) -> httpx.Response:
    """Call the operation as the contract shows it, for objects that nobody has; broken: with what it does not take."""
    path = operation.path
    query: dict[str, Any] = {"unheardOf": "1"} if broken else {}
    for parameter in operation.spec["parameters"]:
        name, place = parameter["name"], parameter["in"]
        if place == "path":
            kind = path_kind(operation, name)
            path = path.replace(f"{{{name}}}", str(UNKNOWN[kind][0] if kind else parameter["example"]))
        elif place == "query" and parameter.get("required"):
            query[name] = parameter["example"]
    media_type, body = examples(operation)[0]
    if isinstance(body, dict) and "scopes" in body:
        body = {**body, "scopes": list(operation.scopes)}  # nobody grants what it has not
    content = {"json": {"unheardOf": True} if broken else body} if media_type else {}
    return client.request(operation.method.upper(), path, params=query, headers=headers, **content)


def refusal(scope: str) -> str:
    return f"API key does not have the required scope (requires: {scope})."


def needed(operation: Operation) -> set[str]:
    return {*operation.scopes, *GRANTS.get(operation.id, ())}


def key_with(party: Party, scopes: Any) -> dict[str, str]:
    return {"X-API-Key": party.key("live", list(scopes))}


def every_other(operation: Operation, scope: str) -> set[str]:
    """All scopes but this one and those that would do instead of it."""
    return SCOPES.keys() - {scope} - set(operation.sufficient_scopes)


@guarded
def test_no_key_is_told_how_to_show_one(anybody: httpx.Client, operation: Operation) -> None:
    answer = ask(anybody, operation, {})

    assert answer.status_code == 401
    assert answer.json()["error"] == NO_KEY
    assert answer.headers["www-authenticate"].startswith("Bearer")


@guarded
@pytest.mark.parametrize(
    "headers", [{"X-API-Key": MADE_UP}, {"Authorization": f"Bearer {MADE_UP}"}], ids=["own", "bearer"]
)
def test_key_of_nobodys_is_refused(anybody: httpx.Client, operation: Operation, headers: dict[str, str]) -> None:
    answer = ask(anybody, operation, headers)

    assert answer.status_code == 401
    assert answer.json()["error"] == WRONG_KEY
    assert answer.headers["www-authenticate"].startswith("Bearer")


@with_scopes
def test_key_with_every_other_scope_is_told_the_one_it_lacks(
    anybody: httpx.Client, party: Party, operation: Operation, scope: str
) -> None:
    answer = ask(anybody, operation, key_with(party, every_other(operation, scope)))

    assert answer.status_code == 403
    assert answer.json()["error"] == "Forbidden"
    assert answer.json()["message"] == refusal(scope)


@guarded
def test_key_with_just_its_scopes_gets_in(anybody: httpx.Client, party: Party, operation: Operation) -> None:
    key = key_with(party, needed(operation))["X-API-Key"]

    by_own_header = ask(anybody, operation, {"X-API-Key": key})
    by_bearer = ask(anybody, operation, {"Authorization": f"Bearer {key}"})

    assert by_own_header.status_code not in (401, 403)
    assert by_bearer.status_code not in (401, 403)


@pytest.mark.parametrize(
    ("operation", "scope"),
    [
        pytest.param(operation, scope, id=f"{name} {scope}")
        for name, operation in GUARDED.items()
        for scope in operation.sufficient_scopes
    ],
)
def test_sufficient_scope_does_alone(anybody: httpx.Client, party: Party, operation: Operation, scope: str) -> None:
    assert ask(anybody, operation, key_with(party, [scope])).status_code not in (401, 403)


@guarded
def test_key_in_its_own_header_counts_before_a_bearer(
    anybody: httpx.Client, party: Party, operation: Operation
) -> None:
    right = key_with(party, needed(operation))["X-API-Key"]

    wrong_before_right = ask(anybody, operation, {"X-API-Key": MADE_UP, "Authorization": f"Bearer {right}"})
    right_before_wrong = ask(anybody, operation, {"X-API-Key": right, "Authorization": f"Bearer {MADE_UP}"})

    assert wrong_before_right.status_code == 401
    assert right_before_wrong.status_code not in (401, 403)


@with_scopes
def test_scopes_of_a_bearer_do_not_mend_those_of_the_key(
    anybody: httpx.Client, party: Party, operation: Operation, scope: str
) -> None:
    poor = key_with(party, every_other(operation, scope))
    rich = key_with(party, SCOPES)["X-API-Key"]

    answer = ask(anybody, operation, {**poor, "Authorization": f"Bearer {rich}"})

    assert answer.status_code == 403


@guarded
def test_what_is_wrong_with_a_request_is_told_to_nobody_without_a_key(
    anybody: httpx.Client, operation: Operation
) -> None:
    assert ask(anybody, operation, {}, broken=True).status_code == 401


@with_scopes
def test_what_is_wrong_with_a_request_is_told_to_nobody_without_the_scope(
    anybody: httpx.Client, party: Party, operation: Operation, scope: str
) -> None:
    answer = ask(anybody, operation, key_with(party, every_other(operation, scope)), broken=True)

    assert answer.status_code == 403


@takes_id
def test_object_that_is_not_there_is_not_found_by_who_may_ask(
    anybody: httpx.Client, party: Party, operation: Operation
) -> None:
    assert ask(anybody, operation, key_with(party, operation.scopes)).status_code == 404


@guarded
def test_what_is_wrong_with_a_request_is_told_to_who_may_ask(
    anybody: httpx.Client, party: Party, operation: Operation
) -> None:
    answer = ask(anybody, operation, key_with(party, operation.scopes), broken=True)

    assert answer.status_code in ((400, 404) if operation.id in TAKES_ID else (400,))


def test_token_of_nobodys_lets_no_lead_in(anybody: httpx.Client) -> None:
    answer = anybody.post("/api/webhooks/leads/whk_nobodys", json={"phone": "+12025550142"})

    assert answer.status_code == 401
    assert answer.json()["error"] == "Invalid webhook token"
    assert "www-authenticate" in answer.headers


def test_every_scope_that_is_asked_for_exists() -> None:
    asked = {scope for operation in GUARDED.values() for scope in (*operation.scopes, *operation.sufficient_scopes)}

    assert asked <= SCOPES.keys()
