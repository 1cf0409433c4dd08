from __future__ import annotations

import copy
from typing import Any

import pytest

from server.contract import document
from server.openapi_diff import breaking_changes, narrowed, weakened

BASE: dict[str, Any] = {
    "openapi": "3.0.3",
    "security": [{"ApiKey": []}],
    "paths": {
        "/things": {
            "parameters": [{"name": "q", "in": "query", "schema": {"type": "string", "maxLength": 10}}],
            "post": {
                "operationId": "create_thing",
                "x-required-scopes": ["things:edit"],
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                },
                "responses": {
                    "201": {
                        "headers": {"Location": {"schema": {"type": "string"}}},
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                    },
                    "409": {"content": {}},
                },
            },
        },
    },
    "components": {
        "schemas": {
            "Thing": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "kind": {"type": "string", "enum": ["a", "b"]}},
            }
        }
    },
}
POST = "POST /things"


def changed(*path: str, to: Any = None) -> dict[str, Any]:
    """BASE with one member set to something else, or removed."""
    copied = copy.deepcopy(BASE)
    node = copied
    for step in path[:-1]:
        node = node[step]
    if to is None:
        del node[path[-1]]
    else:
        node[path[-1]] = to
    return copied


OPERATION = ("paths", "/things", "post")
THING = ("components", "schemas", "Thing")


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (changed("paths", "/things"), ["/things: the path is gone"]),
        (changed(*OPERATION), [f"{POST}: the operation is gone"]),
        (changed(*OPERATION, "operationId", to="add"), [f"{POST}: operationId was create_thing, is add"]),
        (changed(*OPERATION, "x-required-scopes", to=["things:own"]), [f"{POST}: needs the scope things:own now"]),
        (changed("paths", "/things", "parameters"), [f"{POST} parameter q: is gone"]),
        (
            changed(*OPERATION, "parameters", to=[{"name": "n", "in": "query", "required": True, "schema": {}}]),
            [f"{POST} parameter n: is new and required"],
        ),
        (
            changed(
                *OPERATION,
                "parameters",
                to=[{"name": "q", "in": "query", "schema": {"type": "string", "maxLength": 5}}],
            ),
            [f"{POST} parameter q: maxLength is 5 now"],
        ),
        (changed(*OPERATION, "requestBody"), [f"{POST} body: is gone"]),
        (changed(*OPERATION, "requestBody", "required", to=True), [f"{POST} body: is required now"]),
        (changed(*OPERATION, "responses", "201"), [f"{POST} 201: is gone"]),
        (changed(*OPERATION, "responses", "201", "headers"), [f"{POST} 201 header Location: is gone"]),
        (
            changed(*THING, "properties", "kind"),
            [f"{POST} body application/json.kind: is gone", f"{POST} 201 application/json.kind: is gone"],
        ),
        (
            changed(*THING, "properties", "kind", "enum", to=["a"]),
            [f"{POST} body application/json.kind: takes b no more"],
        ),
        (
            changed(*THING, "properties", "kind", "enum", to=["a", "b", "c"]),
            [f"{POST} 201 application/json.kind: may be c now"],
        ),
        (changed(*THING, "required", to=["name", "kind"]), [f"{POST} body application/json.kind: is required now"]),
        (changed(*THING, "required", to=[]), [f"{POST} 201 application/json.name: may be absent now"]),
    ],
    ids=lambda value: value[0].partition(" ")[2] if isinstance(value, list) else "",
)
def test_change_that_breaks_clients_is_named(new, said):
    assert breaking_changes(BASE, new) == said


@pytest.mark.parametrize(
    "new",
    [
        changed("paths", "/more", to={"get": {"operationId": "more", "responses": {}}}),
        changed(*OPERATION, "parameters", to=[{"name": "n", "in": "query", "schema": {"type": "integer"}}]),
        changed(*THING, "properties", "size", to={"type": "integer"}),
        changed(*OPERATION, "responses", "202", to={"content": {}}),
        changed(*OPERATION, "responses", "409"),
        changed(*OPERATION, "x-required-scopes", to=[]),
        changed(*OPERATION, "security", to=[]),
    ],
    ids=["path", "optional parameter", "optional property", "status", "error gone", "fewer scopes", "open"],
)
def test_addition_breaks_nothing(new):
    assert breaking_changes(BASE, new) == []


def test_key_that_was_not_needed_is_named():
    assert breaking_changes(changed(*OPERATION, "security", to=[]), BASE) == [f"{POST}: needs a key now"]


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ({"type": "number"}, {"type": "integer"}),
        ({"type": "string", "nullable": True}, {"type": "string"}),
        ({"type": "string"}, {"type": "string", "enum": ["a"]}),
        ({"type": "array", "items": {"type": "number"}}, {"type": "array", "items": {"type": "integer"}}),
        ({"oneOf": [{"type": "string"}, {"type": "number"}]}, {"oneOf": [{"type": "string"}]}),
        (
            {"type": "object", "additionalProperties": {"type": "number"}},
            {"type": "object", "additionalProperties": {"type": "integer"}},
        ),
    ],
    ids=["type", "null", "enum", "items", "alternatives", "further properties"],
)
def test_narrower_schema_breaks_requests_and_wider_one_answers(wide, narrow):
    assert list(narrowed(wide, narrow, "x"))
    assert not list(narrowed(narrow, wide, "x"))
    assert list(weakened(narrow, wide, "x"))
    assert not list(weakened(wide, narrow, "x"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"minimum": 0}, {"minimum": 1}),
        ({}, {"maximum": 5}),
        ({"minLength": 1}, {"minLength": 2}),
        ({}, {"pattern": "^a"}),
        ({"additionalProperties": True}, {"additionalProperties": False}),
    ],
    ids=["minimum", "maximum", "length", "pattern", "closed"],
)
def test_bound_that_tightens_breaks_requests_only(old, new):
    assert list(narrowed(old, new, "x"))
    assert not list(narrowed(new, old, "x"))
    assert not list(weakened(old, new, "x"))


def test_our_contract_breaks_nothing_of_itself():
    assert breaking_changes(document(), document()) == []
