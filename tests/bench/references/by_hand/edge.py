"""The edge of the servers written by hand: request id, key, limits, scope, error shape, headers, one log line.

One function does it all around a handler, in the order of newleaf: 401, 429, 403, 404, 400, 409.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tests.bench.references import limiting
from tests.bench.references.texts import stamp

from .answers import Caller, Refusal, answer, decode, encode
from .contract import BadRequest
from .databases import Database, run
from .statements import KEY_BY_HASH, KEY_USED

_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_STANDARD = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_NO_KEY = "Authentication required. Provide an API key via X-API-Key header or Authorization: Bearer header."

_log = logging.getLogger("reference.access")
_log.setLevel(logging.INFO)
_log.propagate = False
_log.addHandler(logging.StreamHandler(sys.stderr))
_last_used: dict[str, str] = {}


class Asked:
    """A request that was let in, and who sent it."""

    __slots__ = ("address", "body", "caller", "request")

    def __init__(self, request: Request, body: bytes, address: str, caller: Caller) -> None:
        self.request = request
        self.body = body
        self.address = address
        self.caller = caller


Handler = Callable[[Database, Asked], Response]


class _Guard:
    """What stands before a handler."""

    def __init__(self, scope: str, handler: Handler, is_sync: bool) -> None:
        self.scope = scope
        self.handler = handler
        self.is_sync = is_sync

    def serve(self, request: Request, body: bytes, db: Database) -> Response:
        """The answer, whatever it is."""
        started = time.perf_counter()
        offered = request.headers.get("x-request-id", "")
        request.state.id = request_id = offered if _ACCEPTABLE_ID.fullmatch(offered) else secrets.token_hex(8)
        address = request.client.host if request.client else "unknown"
        headers: dict[str, str] = {}
        caller = None
        try:
            try:
                caller = _identify(db, request)
            finally:
                headers = limiting.admit(self._charges(address, caller))
            if self.scope not in caller.scopes:
                message = f"API key does not have the required scope (requires: {self.scope})."
                raise Refusal(403, "missing_scope", "Forbidden", message=message)
            response = self.handler(db, Asked(request, body, address, caller))
        except Refusal as error:
            response = _refused(error.status, error.body, request_id)
        except BadRequest as error:
            problems = [{"path": path, "message": text} for path, text in error.problems]
            told = {"error": str(error), "code": "validation_failed", "errors": problems}
            response = _refused(400, told, request_id)
        except limiting.TooManyRequests as error:
            headers = error.headers
            response = _refused(429, {"error": str(error), "code": "rate_limited"}, request_id)
        own = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        response.raw_headers += [*own, (b"x-request-id", request_id.encode()), *_STANDARD]
        _tell(request, response.status_code, caller, started)
        return response

    def _charges(self, address: str, caller: Caller | None) -> list[tuple[Any, str, str]]:
        charges = [(limiting.ADDRESS, "global", address)]
        if caller is not None:
            charges += [(limiting.KEY, "key", caller.key_id), (limiting.ACCOUNT, "account", caller.account_id)]
            if self.is_sync:
                charges.append((limiting.SYNC, "sync", caller.key_id))
        return charges


def guarded(scope: str, handler: Handler, *, is_sync: bool = False) -> Any:
    """The endpoint that does all that is not the handler's business."""
    guard = _Guard(scope, handler, is_sync)

    async def endpoint(request: Request) -> Response:
        body = b"" if request.method == "GET" else await request.body()
        return await run(partial(guard.serve, request, body))

    return endpoint


def _identify(db: Database, request: Request) -> Caller:
    key = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
    if not key:
        raise Refusal(401, "authentication_required", _NO_KEY)
    row = db.one(KEY_BY_HASH, (hashlib.sha256(key.encode()).hexdigest(),))
    now = stamp()
    if row is None or row[7] != "active" or (row[8] is not None and row[8] <= now):
        raise Refusal(401, "invalid_api_key", "Invalid or expired API key")
    if _last_used.get(row[0]) != now[:16]:  # at most once a minute
        _last_used[row[0]] = now[:16]
        db.change(KEY_USED, [(now, row[0])])
    scopes = decode(row[5]) if isinstance(row[5], str) else row[5]
    return Caller(row[0], row[1], row[2], row[3], row[4], frozenset(scopes), row[6])


def _tell(request: Request, status: int, caller: Caller | None, started: float) -> None:
    line = {
        "event": "request",
        "request_id": request.state.id,
        "method": request.method,
        "status": status,
        "ms": round((time.perf_counter() - started) * 1000, 1),
        "account": caller.account_id if caller else None,
        "key": caller.key_id if caller else None,
    }
    _log.info(encode(line).decode())


def _refused(status: int, body: dict[str, Any], request_id: str) -> Response:
    headers = {"WWW-Authenticate": 'Bearer realm="newleaf"'} if status == 401 else None
    return answer({**body, "requestId": request_id}, status, headers)
