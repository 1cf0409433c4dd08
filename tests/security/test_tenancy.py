"""Nobody sees, changes or notices what another tenant has, whatever id, text or cursor of it they send.

The cases are made from the contract: an operation is covered as soon as it is in the document.
"""

from __future__ import annotations

from typing import Any

import pytest

from server.contract import Operation
from tests.security import kinds
from tests.security.calls import all_operations, calls_of, places
from tests.security.kinds import FILTER_KINDS, KINDS, LEAD_FIELDS, NO_IDS, PATHS, UNKNOWN, UnknownName
from tests.security.matrix import Matrix
from tests.security.worlds import PAIRS, Pair

OPERATIONS = all_operations()
TAKES_ID = {name: each for name, each in OPERATIONS.items() if not each.is_public and "{" in each.path}
NEEDS_OBJECT = {  # PUT may make what is not there
    name: each for name, each in TAKES_ID.items() if each.method != "put" or "201" not in each.spec["responses"]
}
SHOWS = {
    name: each
    for name, each in OPERATIONS.items()
    if each.method == "get" and (name in TAKES_ID or any(p["name"] == "cursor" for p in each.spec["parameters"]))
}

OF_THE_ACCOUNT = {"list_members", "get_member", "list_invitations", "get_invitation"}  # its tenants share them
SEEN = [
    pytest.param(operation, pair, id=f"{name}-{pair.name}")
    for name, operation in SHOWS.items()
    for pair in PAIRS
    if not (pair.same_account and name in OF_THE_ACCOUNT)
]

# No key's doing: the account notes it with what is live. And an account has one chain of audit entries.
ACROSS_ENVIRONMENTS = {"accept_invitation", "verify_audit_logs"}
CASES = [
    pytest.param(operation, pair, id=f"{name}-{pair.name}")
    for name, operation in OPERATIONS.items()
    for pair in PAIRS
    if not (pair.same_account and name in ACROSS_ENVIRONMENTS)
]


@pytest.mark.usefixtures("beside")
class TestMatrix:
    @pytest.mark.parametrize(("operation", "pair"), CASES)
    def test_another_tenant_is_neither_seen_nor_changed_nor_noticed(
        self, matrix: Matrix, operation: Operation, pair: Pair
    ) -> None:
        findings = matrix.findings(operation, pair)

        assert "\n".join(map(str, findings)) == ""

    @pytest.mark.parametrize("operation", NEEDS_OBJECT.values(), ids=NEEDS_OBJECT)
    @pytest.mark.parametrize("environment", ["live", "test"])
    def test_id_of_nobodys_in_a_path_is_not_found(self, matrix: Matrix, operation: Operation, environment: Any) -> None:
        answers = matrix.expected(operation, environment)

        statuses = [answer.status for answer in answers if answer.call.about.startswith("path ")]
        assert statuses
        assert set(statuses) == {404}

    @pytest.mark.parametrize(("operation", "pair"), SEEN)
    def test_its_owner_sees_what_nobody_else_may(self, matrix: Matrix, operation: Operation, pair: Pair) -> None:
        assert matrix.seen_by_itself(operation, pair)


class TestApiKeys:
    def test_live_key_sees_test_keys_of_its_account(self, party: Any) -> None:
        party.key("test")

        with party.client("live") as client:
            seen = client.get("/api/api-keys").json()

        assert {key["environment"] for key in seen} == {"live", "test"}

    def test_test_key_sees_no_live_keys(self, party: Any) -> None:
        party.key("live")

        with party.client("test") as client:
            seen = client.get("/api/api-keys").json()

        assert {key["environment"] for key in seen} == {"test"}


class TestNames:
    def test_id_under_an_unknown_name_stops_the_matrix(self) -> None:
        body = {"type": "object", "properties": {"widgets": {"type": "array", "items": _holding("widgetId")}}}

        with pytest.raises(UnknownName, match="widgetId"):
            list(places(body))

    @pytest.mark.parametrize("name", ["widgetId", "widget_ids", "widgetToken", "page_cursor", "parentReference", "key"])
    def test_names_that_look_like_ids_are_asked_for(self, name: str) -> None:
        with pytest.raises(UnknownName):
            kinds.kind_of(name)

    def test_bare_id_of_a_body_is_known_by_what_holds_it(self) -> None:
        with pytest.raises(UnknownName, match=r"widget\.id"):
            list(places({"type": "object", "properties": {"widget": _holding("id")}}))

    def test_id_below_an_unknown_path_stops_the_matrix(self) -> None:
        parameter = {"name": "id", "in": "path", "schema": {"type": "string"}}
        spec = {"operationId": "get_widget", "parameters": [parameter], "responses": {}}

        with pytest.raises(UnknownName, match="/api/widgets/"):
            calls_of(Operation("get", "/api/widgets/{id}", spec))

    def test_id_that_leads_can_be_filtered_by_is_asked_for(self) -> None:
        with pytest.raises(UnknownName, match="widgetId"):
            kinds.filters(UNKNOWN, ["widgetId"])

    def test_every_known_name_is_still_in_the_contract(self) -> None:
        used = {name for operation in OPERATIONS.values() for name in _names(operation)}

        assert (KINDS.keys() | NO_IDS.keys()) - used == set()
        assert {
            prefix for prefix in PATHS if not any(each.path.startswith(prefix) for each in TAKES_ID.values())
        } == set()
        assert FILTER_KINDS.keys() - set(LEAD_FIELDS) == set()


def _holding(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string"}}}


def _names(operation: Operation) -> set[str]:
    """Names of parameters and, a bare `id` with what holds it, of all properties of bodies."""
    names = {parameter["name"] for parameter in operation.spec["parameters"]}
    for content in operation.spec.get("requestBody", {}).get("content", {}).values():
        names |= _properties(content["schema"], "")
    return names


def _properties(node: Any, holder: str) -> set[str]:
    if isinstance(node, list):
        return {name for item in node for name in _properties(item, holder)}
    if not isinstance(node, dict):
        return set()
    found: set[str] = set()
    for name, inner in node.get("properties", {}).items():
        found |= {f"{holder}.{name}" if name == "id" and holder else name} | _properties(inner, name)
    for key, inner in node.items():
        if key not in ("properties", "example", "default"):
            found |= _properties(inner, holder)
    return found
