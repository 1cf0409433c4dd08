"""Routing: Connexion's routing middleware with a table made once, in which a fixed path beats a template.

Stock routing answers `GET /conversations/start` with `/conversations/{id}`, redirects a trailing slash with an empty
body, and lets no method of a path be told; here each of these has the answer that HTTP gives it.
"""

from __future__ import annotations

import re
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


class RouteTable:
    """Paths to operations: a dict for fixed paths, for templates one list of patterns per number of segments."""

    def __init__(self) -> None:
        self._fixed: dict[str, dict[str, str]] = {}
        self._templates: dict[int, dict[str, tuple[re.Pattern[str], dict[str, str]]]] = {}

    def add(self, path: str, method: str, operation: str) -> None:
        """Route `method path` to this operation id."""
        if "{" not in path:
            self._fixed.setdefault(path, {})[method] = operation
            return
        parts = _TEMPLATE.split(path)
        pattern = "".join(f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part) for index, part in enumerate(parts))
        depth = self._templates.setdefault(path.count("/"), {})
        depth.setdefault(path, (re.compile(pattern), {}))[1][method] = operation

    def find(self, path: str) -> tuple[dict[str, str], dict[str, str]] | None:
        """The operations by method and the path parameters of this path, None if no path of the contract fits."""
        methods = self._fixed.get(path)
        if methods is not None:
            return methods, {}
        for pattern, by_method in self._templates.get(path.count("/"), {}).values():
            match = pattern.fullmatch(path)
            if match:
                return by_method, match.groupdict()
        return None


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
