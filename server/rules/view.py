"""The bundled contract as the rules look at it: operations with their parameters and responses, and every schema."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from server.contract import Json, Operation, operations


@dataclass(frozen=True)
class Schema:
    """A schema as written somewhere: the component it belongs to ("" for none), where, and whether it has the name."""

    component: str
    where: str
    node: Json
    is_named: bool = False


@dataclass(frozen=True)
class Contract:
    """A bundled document with the questions that rules ask of it."""

    document: Json

    @functools.cached_property
    def operations(self) -> list[Operation]:
        """Every operation, in the order of the document."""
        return list(operations(self.document))

    def at(self, node: Any) -> Any:
        """The node itself, or what it refers to; references inside it stay."""
        while isinstance(node, dict) and isinstance(node.get("$ref"), str):
            target: Any = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def written(self, operation: Operation) -> Json:
        """The operation as it stands in the document, without the parameters of its path."""
        found: Json = self.document["paths"][operation.path][operation.method]
        return found

    def parameters(self, operation: Operation) -> list[Json]:
        """Its parameters, those of the path first, without references."""
        return [self.at(parameter) for parameter in operation.spec["parameters"]]

    def takes(self, operation: Operation, name: str) -> bool:
        """Whether it has a parameter of this name."""
        return any(parameter["name"] == name for parameter in self.parameters(operation))

    def responses(self, operation: Operation) -> dict[str, Json]:
        """Its responses by status, without references."""
        return {status: self.at(response) for status, response in operation.spec["responses"].items()}

    def successes(self, operation: Operation) -> list[Json]:
        """Its responses below 300."""
        return [response for status, response in self.responses(operation).items() if status.startswith("2")]

    def answers(self, operation: Operation) -> list[Json]:
        """The schemas of what it answers when it succeeds."""
        contents = [response.get("content", {}) for response in self.successes(operation)]
        return [media.get("schema", {}) for content in contents for media in content.values()]

    def media(self) -> Iterator[tuple[str, Json]]:
        """Every media type of a body, with its place."""
        for operation in self.operations:
            for kind, media in self.at(operation.spec.get("requestBody", {})).get("content", {}).items():
                yield f"{name_of(operation)} body {kind}", media
        for name, response in self.document["components"].get("responses", {}).items():
            for kind, media in response.get("content", {}).items():
                yield f"response {name} {kind}", media

    def schemas(self) -> Iterator[Schema]:
        """Every schema, nested ones too, each where it is written; references are not followed."""
        components = self.document["components"]
        for name, node in components.get("schemas", {}).items():
            yield from _nested(Schema(name, f"schema {name}", node, is_named=True))
        for section in ("parameters", "headers"):
            for name, component in components.get(section, {}).items():
                yield from _nested(Schema("", f"{section} {name}", component.get("schema", {})))
        for operation in self.operations:
            for parameter in operation.spec["parameters"]:
                if "$ref" not in parameter:
                    where = f"{name_of(operation)} parameter {parameter['name']}"
                    yield from _nested(Schema("", where, parameter.get("schema", {})))
        for where, media in self.media():
            yield from _nested(Schema("", where, media.get("schema", {})))


def _nested(schema: Schema) -> Iterator[Schema]:
    yield schema
    node = schema.node
    inner = {f".{name}": value for name, value in node.get("properties", {}).items()}
    for key in ("items", "additionalProperties", "not"):
        if isinstance(node.get(key), dict):
            inner[f" {key}"] = node[key]
    for key in ("oneOf", "anyOf", "allOf"):
        inner |= {f" {key} {index}": value for index, value in enumerate(node.get(key, ()))}
    for step, value in inner.items():
        yield from _nested(Schema(schema.component, schema.where + step, value))


def name_of(operation: Operation) -> str:
    """What a problem calls it: method and path."""
    return f"{operation.method.upper()} {operation.path}"


def is_write(operation: Operation) -> bool:
    """Whether it may change something."""
    return operation.method != "get"


def is_get_one(operation: Operation) -> bool:
    """Whether it reads one object by its id."""
    return operation.method == "get" and operation.path.endswith("}")


def is_raw(operation: Operation) -> bool:
    """Whether it takes a provider's event, whose own id makes it safe to repeat, and whose form is the provider's."""
    return operation.spec.get("x-raw-body") is True
