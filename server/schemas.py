"""Schemas of the contract, compiled once into validators that name every problem in the words of the contract.

The texts name what is wrong and never repeat a value, which may be a secret. A schema overrides its text with
`x-error-message`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jsonschema_rs

from storage.errors import Malformed, Problem

_TYPES = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
# A schema's own text speaks of a value that is absent or of another form; one that is merely too much gets the bound.
_OWN_TEXT = {"type", "enum", "pattern", "format", "minLength", "minimum", "maximum", "anyOf", "oneOf"}
_MANY = 500
_ANOTHER_TYPE = 10**9  # how far a value is from a schema whose type it has not


class _Found(NamedTuple):
    """Something wrong at a path; `is_own` where the schema has words of its own for it."""

    path: list[str | int]
    text: str
    is_own: bool = False


def to_json_schema(schema: Any) -> Any:
    """An OpenAPI 3.0 schema object, dereferenced, as plain draft-4 JSON schema."""
    if isinstance(schema, list):
        return [to_json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: to_json_schema(value) for key, value in schema.items() if not key.startswith("x-")}
    if schema.get("nullable") is True and "type" in plain:
        plain["type"] = [plain["type"], "null"]
        if "enum" in plain and None not in plain["enum"]:
            plain["enum"] = [*plain["enum"], None]
    return plain


def pointer(path: Sequence[str | int]) -> str:
    """RFC 6901 JSON pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _label(path: Sequence[str | int], name: str) -> str:
    words = [part for part in path if isinstance(part, str)]
    if not words:
        return name
    trailing = path[len(path) - list(reversed(path)).index(words[-1]) :]
    return words[-1] + "".join(f"[{index}]" for index in trailing)


def _is_unknown_word(cause: Any, depth: int, member: str) -> bool:
    below = list(cause.instance_path)[depth:]
    return below == [member] and cause.kind.name in ("enum", "pattern") and isinstance(cause.instance, str)


def _distance(schema: dict[str, Any], causes: Sequence[Any], depth: int) -> tuple[int, int]:
    """How far a value is from one of several schemas: by its members that the schema does not know, then by the others.

    Of those what the first say counts most, their type most of all.
    """
    members = list(schema.get("properties", ()))
    unknown = distance = 0
    for cause in causes:
        if cause.kind.name == "additionalProperties" and len(cause.instance_path) == depth:
            unknown += len(cause.kind.as_dict()["unexpected"])
        below = list(cause.instance_path)[depth:] or [cause.kind.as_dict().get("property")]
        if below[0] in members:
            distance += 100 ** (len(members) - members.index(below[0]))
        else:
            distance += _ANOTHER_TYPE if cause.kind.name == "type" else 1
    return unknown, distance


def is_large(value: Any) -> bool:
    """Whether it has so many objects and arrays that to look for all problems takes seconds.

    A filter of some thousand conditions, each of them wrong in all of its forms, took twenty.
    """
    left, seen = [value], 0
    while left and seen <= _MANY:
        each = left.pop()
        if isinstance(each, (dict, list)):
            seen += 1
            left += each.values() if isinstance(each, dict) else each
    return seen > _MANY


class Validator:
    """One schema, ready to judge: `problems(value)` is empty for what it allows."""

    def __init__(self, schema: dict[str, Any], name: str) -> None:
        self.schema = schema
        self.name = name
        self._compiled = jsonschema_rs.Draft4Validator(to_json_schema(schema), validate_formats=True)

    def problems(self, value: Any, prefix: Sequence[str | int] = ()) -> list[Problem]:
        """Everything wrong with this value, with JSON pointers below `prefix`; of a large one the first problem alone.

        Where a schema has its own words for a value, nothing else is said of that value. Raises Malformed for one that
        is nested too deeply to be looked through.
        """
        if self._compiled.is_valid(value):
            return []
        try:
            found = [each for error in self._errors(value) for each in self._tell(error)]
        except ValueError:
            raise Malformed("malformed_json", "Malformed JSON: it is nested too deeply") from None
        own = [each.path for each in found if each.is_own]
        told = [each for each in found if each.is_own or each.path not in own]
        return list(dict.fromkeys(Problem(pointer([*prefix, *each.path]), each.text) for each in told))

    def _errors(self, value: Any) -> Iterable[Any]:
        if not is_large(value):
            return self._compiled.iter_errors(value)
        try:
            self._compiled.validate(value)
        except jsonschema_rs.ValidationError as first:
            return [first]
        return []

    def _tell(self, error: Any) -> Iterator[_Found]:
        path = list(error.instance_path)
        kind = error.kind.name
        details = error.kind.as_dict()
        node = self._node(error.schema_path[:-1])
        if kind == "required":
            missing = details["property"]
            own = str(node.get("properties", {}).get(missing, {}).get("x-error-message", ""))
            says_so = own.endswith("required")  # others speak of the form of a value that is there
            yield _Found([*path, missing], own if says_so else f"{missing} is required", says_so)
        elif kind == "additionalProperties":
            for unexpected in details["unexpected"]:
                yield _Found([*path, unexpected], f"Unknown property {unexpected[:100]}")
        elif kind in _OWN_TEXT and "x-error-message" in node:
            yield _Found(path, node["x-error-message"], is_own=True)
        elif kind in ("anyOf", "oneOf") and error.kind.context:
            branches = self._node(error.schema_path)
            yield from self._tell_nearest(error, list(zip(branches, error.kind.context, strict=True)), path)
        else:
            yield _Found(path, self._text(kind, details, node, _label(path, self.name)))

    def _tell_nearest(
        self, error: Any, branches: list[tuple[dict[str, Any], Sequence[Any]]], path: list[str | int]
    ) -> Iterator[_Found]:
        """The problems with the schema that the value comes nearest to; a word that none of them knows is named."""
        depth = len(path)
        for member, word in error.instance.items() if isinstance(error.instance, dict) else ():
            # A path lacks names that are empty, so that a word may be further down than it seems.
            if isinstance(word, str) and all(
                any(_is_unknown_word(cause, depth, member) for cause in causes) for _, causes in branches
            ):
                yield _Found([*path, member], f"Unknown {member}: {word[:100]}")
                return
        _, nearest = min(branches, key=lambda branch: _distance(branch[0], branch[1], depth))
        for cause in nearest:
            yield from self._tell(cause)

    def _node(self, path: Sequence[str | int]) -> Any:
        node: Any = self.schema
        for part in path:
            node = node[part]
        return node

    @staticmethod
    def _text(kind: str, details: dict[str, Any], node: dict[str, Any], label: str) -> str:
        if kind == "enum" or (kind == "type" and "enum" in node):
            return f"Invalid {label}. Must be one of: {', '.join(map(str, node.get('enum', ())))}"
        if kind == "type":
            is_map = node.get("type") == "object" and "properties" not in node
            wanted = "a key-value object" if is_map else _TYPES.get(str(node.get("type")), "another type")
            return f"{label} must be {wanted}"
        limit = details.get("limit")
        texts = {
            "minLength": f"{label} must have at least {limit} characters" if limit != 1 else f"{label} is required",
            "maxLength": f"{label} must have at most {limit} characters",
            "minItems": f"{label} must have at least {limit} items",
            "maxItems": f"{label} must have at most {limit} items",
            "minProperties": f"{label} must have at least {limit} properties",
            "maxProperties": f"{label} must have at most {limit} properties",
            "minimum": f"{label} must be at least {limit}",
            "maximum": f"{label} must be at most {limit}",
            "exclusiveMinimum": f"{label} must be greater than {limit}",
            "exclusiveMaximum": f"{label} must be less than {limit}",
            "uniqueItems": f"{label} must not repeat an item",
            "multipleOf": f"{label} must be a multiple of {details.get('multiple_of')}",
            "format": f"{label} must be a valid {node.get('format')}",
            "pattern": f"{label} is malformed",
            "oneOf": f"{label} fits more than one of the allowed forms",
        }
        return texts.get(kind, f"{label} is invalid")
