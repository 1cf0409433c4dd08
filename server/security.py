"""The gate: who is calling, within which limits, with which scopes, in this order.

A subclass of Connexion's security middleware: the operation's `security` says whether a key is wanted, its
`x-required-scopes` which scopes, its `x-sufficient-scopes` which single one does instead. Of two credentials
`X-API-Key` counts, so a wrong one there is not mended by a right one in `Authorization`.
"""

from __future__ import annotations

from typing import Any

from connexion.middleware.abstract import RoutedAPI
from connexion.middleware.security import SecurityMiddleware
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from storage import api_keys
from storage.database import connection
from storage.errors import Forbidden, Unauthenticated
from storage.tenancy import Caller

from .contract import Operation
from .limits import RateLimits
from .requests import RequestState, header, state

_NO_KEY = "Authentication required. Provide an API key via X-API-Key header or Authorization: Bearer header."


def presented_key(scope: Scope) -> str:
    """The key that a request shows. Raises Unauthenticated where it shows none."""
    key = header(scope, b"x-api-key")
    if key:
        return key
    scheme, _, credentials = (header(scope, b"authorization") or "").partition(" ")
    if scheme.lower() != "bearer" or not credentials.strip():
        raise Unauthenticated("authentication_required", _NO_KEY)
    return credentials.strip()


def _authenticate(key: str, request: RequestState) -> Caller:
    with connection():
        return api_keys.authenticate(key, request.address, request.id)


async def identify(scope: Scope) -> Caller:
    """Whose key this request carries. A malformed or made-up key is refused without asking the database.

    Raises Unauthenticated.
    """
    request = state(scope)
    key = request.credential = presented_key(scope)
    known = api_keys.recall(key)
    if known is not None:
        return api_keys.admit(known, request.address, request.id)
    if not api_keys.checksum_ok(key):
        raise Unauthenticated("invalid_api_key", "Invalid or expired API key")
    return await run_in_threadpool(_authenticate, key, request)


def require(caller: Caller, scopes: tuple[str, ...], sufficient: tuple[str, ...] = ()) -> None:
    """Raises Forbidden, naming the first of these scopes that the caller lacks, unless it holds a sufficient one."""
    if not caller.scopes.isdisjoint(sufficient):
        return
    for scope in scopes:
        if scope not in caller.scopes:
            raise Forbidden("missing_scope", f"API key does not have the required scope (requires: {scope}).")


class Gate:
    """The checks of one operation."""

    def __init__(self, next_app: ASGIApp, operation: Operation, limits: RateLimits) -> None:
        self.next_app = next_app
        self.is_public = operation.is_public
        self.scopes = operation.scopes
        self.sufficient = operation.sufficient_scopes
        self.is_sync = operation.spec.get("x-rate-limit-tier") == "sync"
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through. Raises Unauthenticated, RateLimited, Forbidden."""
        request = state(scope)
        if not self.is_public:
            request.caller = await identify(scope)
        await self.limits.admit(request, request.caller, is_sync=self.is_sync)
        if request.caller is not None:
            require(request.caller, self.scopes, self.sufficient)
        await self.next_app(scope, receive, send)


class _Gates(RoutedAPI[Gate]):
    def __init__(self, *args: Any, operations: dict[str, Operation], limits: RateLimits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._by_id = operations
        self._limits = limits
        self.add_paths()

    def make_operation(self, operation: Any) -> Gate:
        return Gate(self.next_app, self._by_id[operation.operation_id.rpartition(".")[2]], self._limits)


class GateMiddleware(SecurityMiddleware):
    """Every operation behind its gate."""

    def __init__(self, app: ASGIApp, operations: dict[str, Operation], limits: RateLimits) -> None:
        super().__init__(app)
        self._operations = operations
        self._limits = limits

    def add_api(self, specification: Any, **kwargs: Any) -> _Gates:
        """Build the gates of a document."""
        gates = _Gates(specification, next_app=self.app, operations=self._operations, limits=self._limits, **kwargs)
        self.apis[gates.base_path].append(gates)
        return gates
