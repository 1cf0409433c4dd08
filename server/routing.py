"""Routing: Connexion's routing middleware with a table made once, in which a fixed path beats a template.

Stock routing answers `GET /conversations/start` with `/conversations/{id}`, redirects a trailing slash with an empty
body, and lets no method of a path be told; here each of these has the answer that HTTP gives it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from connexion.middleware.abstract import ROUTING_CONTEXT, AbstractRoutingAPI, SpecMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from storage.errors import NotFound

from .errors import MethodNotAllowed
from .requests import state

_TEMPLATE = re.compile(r"\{([^}]*)\}")


class _Routes(AbstractRoutingAPI):
    """Hands every operation of the document to the table."""

    def __init__(self, specification: Any, *, table: RouteTable, **kwargs: Any) -> None:
        self.table = table
        super().__init__(specification, **kwargs)

    def make_operation(self, operation: Any) -> str:
        return str(operation.operation_id)

    @staticmethod
    def _framework_path_and_name(operation: Any, path: str) -> tuple[str, str]:  # noqa: ARG004
        return path, path

    def _add_operation_internal(self, method: str, path: str, operation: str, name: str | None = None) -> None:  # noqa: ARG002
        self.table.add((self.base_path or "").rstrip("/") + path, method.upper(), operation)


@dataclass(slots=True)
class _Node:
    """A place in the tree of paths: what follows it by name, what follows whatever the name, and what ends here."""

    named: dict[str, _Node] = field(default_factory=dict)
    any_name: _Node | None = None
    methods: dict[str, str] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()


class RouteTable:
    """Paths to operations, as a tree of their segments: looking one up takes as long however many there are."""

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, path: str, method: str, operation: str) -> None:
        """Route `method path` to this operation id."""
        node = self._root
        for segment in path.split("/"):
            if _TEMPLATE.fullmatch(segment):
                node.any_name = node = node.any_name or _Node()
            else:
                node = node.named.setdefault(segment, _Node())
        node.methods[method] = operation
        node.parameters = tuple(_TEMPLATE.findall(path))

    def find(self, path: str) -> tuple[dict[str, str], dict[str, str]] | None:
        """The operations by method and the path parameters of this path, None if no path of the contract fits."""
        values: list[str] = []
        node = self._walk(self._root, path.split("/"), 0, values)
        return None if node is None else (node.methods, dict(zip(node.parameters, values, strict=True)))

    def _walk(self, node: _Node, segments: list[str], depth: int, values: list[str]) -> _Node | None:
        if depth == len(segments):
            return node if node.methods else None
        segment = segments[depth]
        following = node.named.get(segment)
        found = None if following is None else self._walk(following, segments, depth + 1, values)
        if found is None and node.any_name is not None and segment:
            values.append(segment)
            found = self._walk(node.any_name, segments, depth + 1, values)
            if found is None:
                values.pop()
        return found


class RoutingMiddleware(SpecMiddleware):
    """Finds the operation and says where it is in Connexion's own routing context."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.table = RouteTable()
        self.base_path = ""

    def add_api(self, specification: Any, base_path: str | None = None, **kwargs: Any) -> None:
        """Take the routes of a document."""
        known = ("resolver", "resolver_error_handler", "uri_parser_class", "pythonic_params")
        _Routes(
            specification,
            base_path=base_path,
            table=self.table,
            **{name: kwargs[name] for name in known if name in kwargs},
        )
        self.base_path = base_path if base_path is not None else specification.base_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its operation. Raises NotFound and MethodNotAllowed."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        found = self.table.find(scope["path"])
        if found is None:
            raise NotFound("route_not_found", "Not found")
        methods, parameters = found
        operation = methods.get(scope["method"])
        if operation is None:
            raise MethodNotAllowed(sorted(methods))
        scope["path_params"] = parameters
        state(scope).operation = operation.rpartition(".")[2]
        scope.setdefault("extensions", {})[ROUTING_CONTEXT] = {
            "api_base_path": self.base_path,
            "operation_id": operation,
        }
        await self.app(scope, receive, send)
