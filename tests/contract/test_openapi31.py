import copy

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from server import contract
from server.openapi31 import schema_31, to_31


@pytest.fixture(scope="module")
def document():
    return contract.document()


@pytest.fixture(scope="module")
def derived(document):
    return to_31(document)


def schemas_of(node):
    """Every schema of a 3.1 document, wherever it stands; values of examples are not looked into."""
    if isinstance(node, list):
        for item in node:
            yield from schemas_of(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "schema":
                yield from subschemas_of(value)
            elif key == "schemas":
                for schema in value.values():
                    yield from subschemas_of(schema)
            elif key not in ("example", "examples"):
                yield from schemas_of(value)


def subschemas_of(schema):
    if isinstance(schema, dict):
        yield schema
        inner = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
        for sub in inner + [one for key in ("allOf", "anyOf", "oneOf") for one in schema.get(key, ())]:
            yield from subschemas_of(sub)


def test_derived_contract_is_valid_openapi_31(derived):
    problems = [f"{list(error.path)}: {error.message}" for error in OpenAPIV31SpecValidator(derived).iter_errors()]

    assert problems == []
    assert derived["openapi"] == "3.1.0"


def test_no_keyword_of_30_is_left_in_a_schema(derived):
    old = [schema for schema in schemas_of(derived) if {"nullable", "example"} & schema.keys()]
    exclusive = [schema for schema in schemas_of(derived) if isinstance(schema.get("exclusiveMinimum"), bool)]

    assert old == exclusive == []


def test_deriving_leaves_the_original_alone(document):
    before = copy.deepcopy(document)

    to_31(document)["paths"].clear()

    assert document == before


def test_paths_and_components_stay_the_same(document, derived):
    assert list(derived["paths"]) == list(document["paths"])
    assert {key: list(value) for key, value in derived["components"].items()} == {
        key: list(value) for key, value in document["components"].items()
    }


def test_required_scopes_stand_in_the_security_of_each_scheme(derived):
    for operation in contract.operations(derived):
        for scheme in ("ApiKey", "BearerKey") if operation.scopes else ():
            assert {scheme: list(operation.scopes)} in operation.spec["security"]


def test_operation_without_scopes_keeps_its_security(derived):
    assert derived["paths"]["/healthz"]["get"]["security"] == []
    assert "security" not in derived["paths"]["/api/accounts/current"]["get"]


def test_inbound_webhook_is_described_without_its_path(derived):
    webhook = derived["webhooks"]["receive_lead"]["post"]

    assert "operationId" not in webhook
    assert [one for one in webhook["parameters"] if one.get("in") == "path"] == []
    assert webhook["requestBody"] == derived["paths"]["/api/webhooks/leads/{token}"]["post"]["requestBody"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(
            {"type": "string", "nullable": True},
            {"type": ["string", "null"]},
            id="nullable",
        ),
        pytest.param(
            {"type": "string", "nullable": True, "enum": ["a"]},
            {"type": ["string", "null"], "enum": ["a", None]},
            id="nullable enum",
        ),
        pytest.param({"type": "string", "nullable": False}, {"type": "string"}, id="not nullable"),
        pytest.param({"anyOf": [{}], "nullable": True}, {"anyOf": [{}]}, id="nullable of no type means nothing"),
        pytest.param(
            {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
            {"type": "integer", "exclusiveMinimum": 0},
            id="exclusive minimum",
        ),
        pytest.param(
            {"type": "number", "maximum": 1, "exclusiveMaximum": False},
            {"type": "number", "maximum": 1},
            id="inclusive maximum",
        ),
        pytest.param({"type": "string", "example": "a"}, {"type": "string", "examples": ["a"]}, id="example"),
        pytest.param(
            {"type": "string", "format": "binary"},
            {"type": "string", "contentMediaType": "application/octet-stream"},
            id="bytes",
        ),
        pytest.param(
            {"type": "object", "properties": {"nullable": {"type": "string", "nullable": True}}},
            {"type": "object", "properties": {"nullable": {"type": ["string", "null"]}}},
            id="a property may be named like a keyword",
        ),
        pytest.param(
            {"type": "object", "example": {"schema": {"nullable": True}}},
            {"type": "object", "examples": [{"schema": {"nullable": True}}]},
            id="values are not schemas",
        ),
        pytest.param(
            {"type": "array", "items": {"oneOf": [{"type": "string", "nullable": True}]}},
            {"type": "array", "items": {"oneOf": [{"type": ["string", "null"]}]}},
            id="nested",
        ),
        pytest.param(
            {"type": "object", "additionalProperties": False},
            {"type": "object", "additionalProperties": False},
            id="closed object",
        ),
    ],
)
def test_schema_keeps_its_meaning(old, new):
    assert schema_31(old) == new
