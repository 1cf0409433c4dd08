"""The OpenAPI document: read from `openapi/`, bundled into one document whose components keep their names.

Generators name models after components, so the bundle turns each `$ref` to a file into a reference to a named
component instead of inlining it, as Connexion's own document and most resolvers would.
"""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent / "openapi"
METHODS = ("get", "post", "put", "patch", "delete")

_SECTIONS = {
    "schemas": "schemas",
    "responses": "responses",
    "parameters": "parameters",
    "headers": "headers",
    "security": "securitySchemes",
}


class ContractError(Exception):
    """The document cannot be bundled: a file, a fragment or a unique name is missing."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the one in C is ten times as fast
    """YAML in which a date stays the string that it is in JSON."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Operation:
    """One operation of the bundled document; `spec` still holds references."""

    method: str
    path: str
    spec: Json

    @property
    def id(self) -> str:
        """The operationId."""
        return str(self.spec["operationId"])

    @property
    def scopes(self) -> tuple[str, ...]:
        """Scopes a key must have, empty for operations that any key may call."""
        return tuple(self.spec.get("x-required-scopes", ()))

    @property
    def sufficient_scopes(self) -> tuple[str, ...]:
        """Scopes each of which does instead of all those."""
        return tuple(self.spec.get("x-sufficient-scopes", ()))

    @property
    def is_public(self) -> bool:
        """Whether it is served without a key."""
        return bool(self.spec.get("security") == [])


class _Bundler:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[Path, Any] = {}
        self.components: dict[str, Json] = {}
        self.origin: dict[tuple[str, str], str] = {}

    def read(self, path: Path) -> Any:
        if path not in self.files:
            try:
                self.files[path] = yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506
            except FileNotFoundError:
                raise ContractError(f"{path.relative_to(self.root)} does not exist") from None
        return self.files[path]

    def fragment(self, path: Path, pointer: str) -> Any:
        node = self.read(path)
        for part in pointer.strip("/").split("/"):
            if not isinstance(node, dict) or part not in node:
                raise ContractError(f"{path.relative_to(self.root)} has no {pointer}")
            node = node[part]
        return node

    def resolve(self, ref: str, base: Path) -> Any:
        file, _, pointer = ref.partition("#")
        path = Path(os.path.normpath(base.parent / file)) if file else base
        relative = path.relative_to(self.root)
        if relative.parts[0] != "components":
            return self.walk(self.fragment(path, pointer), path)
        section = _SECTIONS[relative.with_suffix("").parts[1]]
        name = pointer.strip("/")
        origin = f"{relative}#{pointer}"
        if self.origin.setdefault((section, name), origin) != origin:
            raise ContractError(f"two components are named {name}: {origin}, {self.origin[section, name]}")
        named = self.components.setdefault(section, {})
        if name not in named:
            named[name] = None
            named[name] = self.walk(self.fragment(path, pointer), path)
        return {"$ref": f"#/components/{section}/{name}"}

    def walk(self, node: Any, base: Path) -> Any:
        if isinstance(node, list):
            return [self.walk(item, base) for item in node]
        if not isinstance(node, dict):
            return node
        if isinstance(node.get("$ref"), str):
            return self.resolve(node["$ref"], base)
        return {str(key): self.walk(value, base) for key, value in node.items()}


def bundle(root: Path = ROOT) -> Json:
    """The whole contract as one OpenAPI 3.0.3 document with named components, freshly built.

    Raises ContractError where a reference leads nowhere or two components share a name.
    """
    bundler = _Bundler(root)
    entry = root / "openapi.yaml"
    document: Json = bundler.walk(bundler.read(entry), entry)
    schemes = bundler.read(root / "components" / "security.yaml")
    components = {section: dict(sorted(named.items())) for section, named in sorted(bundler.components.items())}
    document["components"] = {**components, "securitySchemes": schemes}
    return document


@functools.cache
def _document() -> Json:
    return bundle()


def document() -> Json:
    """The bundled contract of this installation; the caller's own copy."""
    return copy.deepcopy(_document())


def operations(spec: Json) -> Iterator[Operation]:
    """Every operation of a bundled document, in its order, path-level parameters merged in."""
    for path, item in spec["paths"].items():
        for method in METHODS:
            if method in item:
                parameters = item.get("parameters", []) + item[method].get("parameters", [])
                yield Operation(method, path, {**item[method], "parameters": parameters})


def to_yaml(document: Json) -> str:
    """The document as YAML, its members in their order."""
    return str(yaml.dump(document, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False))


def dereference(spec: Json, node: Any) -> Any:
    """`node` with every reference into `spec` replaced by what it names; schemas of the contract do not recurse."""
    if isinstance(node, list):
        return [dereference(spec, item) for item in node]
    if not isinstance(node, dict):
        return node
    ref = node.get("$ref")
    if isinstance(ref, str):
        target: Any = spec
        for part in ref.removeprefix("#/").split("/"):
            target = target[part]
        return dereference(spec, target)
    return {key: dereference(spec, value) for key, value in node.items()}
