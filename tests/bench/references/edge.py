"""The edge of the servers written by hand: request id, key, limits, scope, error shape, headers, one log line.

One function does it all around an endpoint, in the order of newleaf: 401, 429, 403, 404, 400, 409.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from . import limiting
from .contract import BadRequest
from .texts import stamp

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode

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


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Whose key it is."""

    key_id: str
    account_id: str
    tenant_id: int
    environment: str
    name: str
    scopes: frozenset[str]
    region: str | None


class Refusal(Exception):
    """An error that has a status and a code."""

    def __init__(self, status: int, code: str, message: str, **members: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": message, "code": code, **members}


KEY_BY_HASH = """
SELECT k.id, k.account_id, k.tenant_id, k.environment, k.name, k.scopes, a.default_region, k.status, k.expires_at
FROM api_key k JOIN account a ON a.id = k.account_id WHERE k.key_hash = {}
"""

FindKey = Callable[[str], Awaitable[tuple[Any, ...] | None]]
Handler = Callable[[Request, Caller], Awaitable[Response]]


async def identify(request: Request, find_key: FindKey) -> Caller:
    """Whose key the request shows. Raises Refusal."""
    key = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
    if not key:
        raise Refusal(401, "authentication_required", _NO_KEY)
    row = await find_key(hashlib.sha256(key.encode()).hexdigest())
    if row is None or row[7] != "active" or (row[8] is not None and row[8] <= stamp()):
        raise Refusal(401, "invalid_api_key", "Invalid or expired API key")
    scopes = decode(row[5]) if isinstance(row[5], str) else row[5]
    return Caller(row[0], row[1], row[2], row[3], row[4], frozenset(scopes), row[6])


def guarded(find_key: FindKey, scope: str, handler: Handler, *, is_sync: bool = False) -> Any:
    """The endpoint that does all that is not the handler's business."""

    async def serve(request: Request) -> Response:
        started = time.perf_counter()
        offered = request.headers.get("x-request-id", "")
        request.state.id = request_id = offered if _ACCEPTABLE_ID.fullmatch(offered) else secrets.token_hex(8)
        headers: dict[str, str] = {}
        caller = None
        try:
            try:
                caller = await identify(request, find_key)
            finally:
                headers = limiting.admit(_charges(request, caller, is_sync))
            if scope not in caller.scopes:
                message = f"API key does not have the required scope (requires: {scope})."
                raise Refusal(403, "missing_scope", "Forbidden", message=message)
            response = await handler(request, caller)
        except Refusal as error:
            response = _refused(error.status, error.body, request_id)
        except BadRequest as error:
            problems = [{"path": path, "message": text} for path, text in error.problems]
            body = {"error": str(error), "code": "validation_failed", "errors": problems}
            response = _refused(400, body, request_id)
        except limiting.TooManyRequests as error:
            headers = error.headers
            response = _refused(429, {"error": str(error), "code": "rate_limited"}, request_id)
        own = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        response.raw_headers += [*own, (b"x-request-id", request_id.encode()), *_STANDARD]
        _log.info(
            encode(
                {
                    "event": "request",
                    "request_id": request_id,
                    "method": request.method,
                    "status": response.status_code,
                    "ms": round((time.perf_counter() - started) * 1000, 1),
                    "account": caller.account_id if caller else None,
                    "key": caller.key_id if caller else None,
                }
            ).decode()
        )
        return response

    return serve


def _charges(request: Request, caller: Caller | None, is_sync: bool) -> list[tuple[Any, str, str]]:
    charges = [(limiting.ADDRESS, "global", request.client.host if request.client else "unknown")]
    if caller is not None:
        charges += [(limiting.KEY, "key", caller.key_id), (limiting.ACCOUNT, "account", caller.account_id)]
        if is_sync:
            charges.append((limiting.SYNC, "sync", caller.key_id))
    return charges


def _refused(status: int, body: dict[str, Any], request_id: str) -> Response:
    headers = {"WWW-Authenticate": 'Bearer realm="newleaf"'} if status == 401 else None
    return answer({**body, "requestId": request_id}, status, headers)


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """The body as JSON."""
    return Response(encode(body), status, headers, "application/json")


def not_found() -> Refusal:
    """What a lead that is not there is answered with."""
    return Refusal(404, "lead_not_found", "Lead not found")
