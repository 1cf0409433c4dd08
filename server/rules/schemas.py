"""Rules over bodies, schemas and examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft4Validator, FormatChecker

from server.contract import Json, dereference
from server.rules.view import Contract, name_of

_WITH_NUL = ("\0", "a\0a", "1\0001", f"{'a' * 20}\0")

# Components that may be open objects, and why.
OPEN_OBJECTS = {
    "OpenApiDocument": "its form is the OpenAPI Specification's to say",
    "ProviderEvent": "its form is the provider's to say, and nothing of it is refused",
}


def bodies(contract: Contract) -> Iterator[str]:
    """A body has a named schema and an example."""
    for where, media in contract.media():
        if not media.get("schema", {}).get("$ref", "").startswith("#/components/schemas/"):
            yield f"{where}: the schema must be a named one"
        if "example" not in media and not media.get("examples"):
            yield f"{where}: an example is missing"


def objects(contract: Contract) -> Iterator[str]:
    """Objects are named, for generators, and closed: or maps with a bound."""
    for schema in contract.schemas():
        if schema.node.get("type") != "object" and "properties" not in schema.node:
            continue
        if not schema.is_named:
            yield f"{schema.where}: an object must be a component"
        extra = schema.node.get("additionalProperties")
        is_bounded_map = isinstance(extra, dict) and "maxProperties" in schema.node
        if extra is not False and not is_bounded_map and schema.component not in OPEN_OBJECTS:
            yield f"{schema.where}: an object must be closed, or a map with maxProperties"


def bounds(contract: Contract) -> Iterator[str]:
    """Strings, arrays and numbers have an end, and strings a form: a pattern that refuses NUL if nothing better."""
    needed = {
        "string": ["maxLength"],
        "array": ["maxItems"],
        "integer": ["minimum", "maximum"],
        "number": ["minimum", "maximum"],
    }
    for schema in contract.schemas():
        if "enum" in schema.node:
            continue
        for key in needed.get(schema.node.get("type", ""), ()):
            if key not in schema.node:
                yield f"{schema.where}: {key} is missing"
        if schema.node.get("type") == "string" and not {"pattern", "format"} & {*schema.node}:
            yield f"{schema.where}: pattern or format is missing"
        if "pattern" in schema.node and any(re.search(schema.node["pattern"], text) for text in _WITH_NUL):
            yield f"{schema.where}: the pattern takes NUL, which no database stores"


def properties(contract: Contract) -> Iterator[str]:
    """A property says what it means and shows a value, a list by that of its items, an object by its members'."""
    for schema in contract.schemas():
        for name, written in schema.node.get("properties", {}).items():
            node = contract.at(written)
            if not node.get("description"):
                yield f"{schema.where}.{name}: a description is missing"
            shown = contract.at(node["items"]) if node.get("type") == "array" and "items" in node else node
            is_shown = "example" in node or "example" in shown or shown.get("type") == "object"
            if not is_shown and node.get("format") != "binary":
                yield f"{schema.where}.{name}: an example is missing"


def examples(contract: Contract) -> Iterator[str]:
    """Every example is valid where it stands."""
    for where, schema, example in _examples(contract):
        validator = Draft4Validator(_draft4(dereference(contract.document, schema)), format_checker=FormatChecker())
        for error in validator.iter_errors(example):
            yield f"{where}: the example is invalid at /{'/'.join(map(str, error.path))}: {error.message[:200]}"


def _examples(contract: Contract) -> Iterator[tuple[str, Json, Any]]:
    """Every example with its place and the schema it must fit."""
    holders = list(contract.media())
    holders += [(f"header {name}", header) for name, header in contract.document["components"]["headers"].items()]
    for operation in contract.operations:
        for parameter in contract.parameters(operation):
            holders.append((f"{name_of(operation)} parameter {parameter['name']}", parameter))
    holders += [(schema.where, {**schema.node, "schema": schema.node}) for schema in contract.schemas()]
    for where, holder in holders:
        if "schema" in holder and "example" in holder:
            yield where, holder["schema"], holder["example"]
        for named in holder.get("examples", {}).values():
            yield where, holder["schema"], named["value"]


def _draft4(schema: Any) -> Any:
    """The schema as JSON Schema draft 4, which knows no `nullable`."""
    if isinstance(schema, list):
        return [_draft4(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _draft4(value) for key, value in schema.items()}
    if result.get("nullable") is True:
        result["type"] = [result["type"], "null"]
        if "enum" in result:
            result["enum"] = [*result["enum"], None]
    return result
