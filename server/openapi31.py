"""The contract as OpenAPI 3.1, derived from the 3.0.3 document that is written by hand and served.

What changes: schemas become JSON Schema 2020-12, required scopes move into the security requirements, which 3.1 allows
for keys of any kind, requests that others send us are described a second time under `webhooks`, and those that we send
stand there alone.
"""

from __future__ import annotations

import copy
from typing import Any

from .contract import METHODS, Json, dereference, operations

_DIALECT = "https://spec.openapis.org/oas/3.1/dialect/base"
_INBOUND = "Inbound webhooks"
_OUTBOUND = "x-webhooks"  # what 3.0 has no place for

_SCHEMA = ("items", "not", "additionalProperties")
_SCHEMAS = ("allOf", "anyOf", "oneOf")
_DATA = ("example", "examples", "default", "enum")  # values, in which a member `schema` or `nullable` is no keyword
_BOUNDS = (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum"))
_CONTENT = {"binary": ("contentMediaType", "application/octet-stream"), "byte": ("contentEncoding", "base64")}


def to_31(document: Json) -> Json:
    """The OpenAPI 3.1 form of a bundled 3.0 document, which is left as it is."""
    result: Json = {"openapi": "3.1.0", "info": {}, "jsonSchemaDialect": _DIALECT}
    result |= {key: _walk(value) for key, value in document.items() if key not in ("openapi", "components", _OUTBOUND)}
    components = {key: _walk(value) for key, value in document["components"].items() if key != "schemas"}
    schemas = {name: schema_31(node) for name, node in document["components"].get("schemas", {}).items()}
    result["components"] = components | {"schemas": schemas}
    schemes = [name for requirement in document.get("security", ()) for name in requirement]
    for item in result["paths"].values():
        for method in METHODS:
            _require_scopes(item.get(method, {}), schemes)
    result["webhooks"] = _walk(document.get(_OUTBOUND, {})) | _webhooks(result)
    return result


def _walk(node: Any) -> Any:
    """A copy of anything but a schema, with the schemas in it converted."""
    if isinstance(node, list):
        return [_walk(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: _member(key, value) for key, value in node.items()}


def _member(key: str, value: Any) -> Any:
    if key == "schema":
        return schema_31(value)
    return copy.deepcopy(value) if key in _DATA else _walk(value)


def schema_31(node: Any) -> Any:
    """A schema of OpenAPI 3.0 as JSON Schema 2020-12 with the same meaning; true and false stay."""
    if not isinstance(node, dict):
        return node
    result = {key: _keyword(key, value) for key, value in node.items() if key not in ("nullable", "example")}
    for bound, exclusive in _BOUNDS:
        if exclusive in node:
            is_exclusive = result.pop(exclusive)
            if is_exclusive and bound in result:
                result[exclusive] = result.pop(bound)
    if "example" in node:
        result["examples"] = [copy.deepcopy(node["example"])]
    if result.get("format") in _CONTENT:
        keyword, value = _CONTENT[result.pop("format")]
        result[keyword] = value
    return _nullable(result) if node.get("nullable") is True else result


def _keyword(key: str, value: Any) -> Any:
    if key == "properties":
        return {name: schema_31(node) for name, node in value.items()}
    if key in _SCHEMA:
        return schema_31(value)
    if key in _SCHEMAS:
        return [schema_31(item) for item in value]
    return copy.deepcopy(value)


def _nullable(schema: Json) -> Json:
    # `nullable` counts only beside a `type`. Here null need not stand in an `enum` too, as in the compiled validators.
    if "type" not in schema:
        return schema
    result = schema | {"type": [schema["type"], "null"]}
    if None not in result.get("enum", [None]):
        result["enum"] = [*result["enum"], None]
    return result


def _require_scopes(operation: Json, schemes: list[str]) -> None:
    scopes = operation.get("x-required-scopes")
    if scopes and "security" not in operation:
        ways = [list(scopes), *([scope] for scope in operation.get("x-sufficient-scopes", []))]
        operation["security"] = [{scheme: way} for way in ways for scheme in schemes]


def _webhooks(document: Json) -> Json:
    """What others send us, by operationId: at no path, so without its parameters, and not a second time by that id."""
    webhooks = {}
    for operation in operations(document):
        if _INBOUND in operation.spec.get("tags", ()):
            spec = {key: copy.deepcopy(value) for key, value in operation.spec.items() if key != "operationId"}
            spec["parameters"] = [one for one in spec["parameters"] if dereference(document, one)["in"] != "path"]
            webhooks[operation.id] = {operation.method: spec}
    return webhooks
