"""What Connexion has no counterpart of, between its security and its validation: limits, scopes, the size of a body."""

from __future__ import annotations

import copy
from typing import Any

from connexion.lifecycle import ConnexionRequest
from connexion.middleware import abstract
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import bodies, security
from server.contract import Json, Operation, operations
from server.limits import RateLimits
from server.requests import state
from server.settings import Settings
from storage.errors import NotFound
from storage.tenancy import Caller


async def check_key(_: str, request: ConnexionRequest) -> dict[str, Caller]:
    """Whose key a request carries, as Connexion wants to be told. Raises Unauthenticated."""
    scope = request.scope
    found = state(scope)
    found.caller = found.caller or await security.identify(scope)
    return {"sub": found.caller}


def with_checks(document: Json) -> Json:
    """The document with the function that checks a key named in it, and without bodies that are to stay unread."""
    document = copy.deepcopy(document)
    for operation in operations(document):
        if operation.spec.get("x-raw-body"):
            document["paths"][operation.path][operation.method].pop("requestBody", None)
    schemes = document["components"]["securitySchemes"]
    schemes["ApiKey"]["x-apikeyInfoFunc"] = schemes["BearerKey"]["x-bearerInfoFunc"] = f"{__name__}.check_key"
    return document


class RoutedMiddleware(abstract.SpecMiddleware):
    """Notes which operation Connexion has found."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._base_paths: set[str] = set()

    def add_api(self, specification: Any, base_path: str | None = None, **_: Any) -> None:
        """Take note of where a document is served."""
        self._base_paths.add(specification.base_path if base_path is None else base_path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. Raises NotFound where there is no such operation: Connexion would go on without one."""
        if scope["type"] == "http":
            found = scope["extensions"][abstract.ROUTING_CONTEXT]
            if found["operation_id"] is None or found["api_base_path"] not in self._base_paths:
                raise NotFound("route_not_found", "Not found")
            state(scope).operation = found["operation_id"].rpartition(".")[2]
        await self.app(scope, receive, send)


class _Gate:
    def __init__(self, next_app: ASGIApp, operation: Operation, limits: RateLimits, body_limit: int) -> None:
        self.next_app = next_app
        self.scopes = operation.scopes
        self.is_sync = operation.spec.get("x-rate-limit-tier") == "sync"
        self.limits = limits
        self.body_limit = body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = state(scope)
        await self.limits.admit(request, request.caller, is_sync=self.is_sync)
        if request.caller is not None:
            security.require(request.caller, self.scopes)
        raw = await bodies.read(scope, receive, self.body_limit)
        request.body_size = len(raw)
        request.body_hash = bodies.digest(raw, bodies.content_type(scope)[1])
        scope = {**scope, "headers": list(scope["headers"])}
        MutableHeaders(scope=scope)["content-length"] = str(len(raw))  # Connexion takes a chunked body for none
        await self.next_app(scope, _repeat(raw, receive), send)


def _repeat(body: bytes, receive: Receive) -> Receive:
    """A channel that delivers this body once more."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


class _Gates(abstract.RoutedAPI[_Gate]):
    def __init__(self, *args: Any, middleware: GateMiddleware, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._middleware = middleware
        self.add_paths()

    def make_operation(self, operation: Any) -> _Gate:
        return self._middleware.gate(operation.operation_id)


class GateMiddleware(abstract.RoutedMiddleware[_Gates]):
    """Every operation behind its limits."""

    def __init__(self, app: ASGIApp, operations: dict[str, Operation], limits: RateLimits, settings: Settings) -> None:
        super().__init__(app)
        self._operations = operations
        self._limits = limits
        self._settings = settings

    def gate(self, operation_id: str) -> _Gate:
        """What stands before this operation."""
        operation = self._operations[operation_id.rpartition(".")[2]]
        is_upload = operation.spec.get("x-body-limit") == "upload"
        body_limit = self._settings.upload_limit_bytes if is_upload else self._settings.body_limit_bytes
        return _Gate(self.app, operation, self._limits, body_limit)

    def add_api(self, specification: Any, **kwargs: Any) -> _Gates:
        """Build the gates of a document."""
        gates = _Gates(specification, next_app=self.app, middleware=self, **kwargs)
        self.apis[gates.base_path].append(gates)
        return gates
