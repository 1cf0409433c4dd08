"""The document's schemas, compiled for the servers written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec

from server import contract

_DOCUMENT = contract.document()


def _plain(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _plain(value) for name, value in schema.items() if not name.startswith("x-")}


class BadRequest(Exception):
    """A request that the document does not allow; `problems` are paths and texts."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__(problems[0][1])
        self.problems = problems


class Body:
    """The JSON body of one operation."""

    def __init__(self, component: str) -> None:
        schema = contract.dereference(_DOCUMENT, _DOCUMENT["components"]["schemas"][component])
        self._validator = jsonschema_rs.Draft4Validator(_plain(schema), validate_formats=True)
        self._decode = msgspec.json.Decoder().decode

    def read(self, raw: bytes) -> Any:
        """What the body says. Raises BadRequest."""
        try:
            value = self._decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequest([("", f"Malformed JSON: {error}")]) from None
        if not self._validator.is_valid(value):
            raise BadRequest([each for error in self._validator.iter_errors(value) for each in _told(error)])
        return value


def _told(error: Any) -> Iterator[tuple[str, str]]:
    path, details = "".join(f"/{part}" for part in error.instance_path), error.kind.as_dict()
    if error.kind.name == "required":
        yield f"{path}/{details['property']}", f"{details['property']} is required"
    elif error.kind.name == "additionalProperties":
        yield from ((f"{path}/{name}", f"Unknown property {name}") for name in details["unexpected"])
    else:
        yield path, error.message


def bounded(query: Any, name: str, default: int, low: int, high: int) -> int:
    """An integer of the query string. Raises BadRequest."""
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise BadRequest([(name, f"{name} must be an integer between {low} and {high}")])
    return int(text)


def only(query: Any, known: frozenset[str]) -> None:
    """Raises BadRequest for a parameter that the operation does not have."""
    for name in query:
        if name not in known:
            raise BadRequest([(name, f"Unknown query parameter {name}")])
