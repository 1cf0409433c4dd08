"""Error shape, headers, key and limits, by middleware, exception handlers and dependencies."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import sys
import time
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.bench.references import limiting, texts

from .tables import Account, ApiKey, reading, writing

_NO_KEY = "Authentication required. Provide an API key via X-API-Key header or Authorization: Bearer header."
_last_used: dict[str, str] = {}

_log = logging.getLogger("reference.access")
_log.setLevel(logging.INFO)
_log.addHandler(logging.StreamHandler(sys.stderr))

app = FastAPI()


class Refusal(Exception):
    """An error that has a status and a code."""

    def __init__(self, status: int, code: str, message: str, **members: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": message, "code": code, **members}


@app.middleware("http")
async def standard_headers(request: Request, call_next: Any) -> Response:
    """Request id, standard headers, a line in the log."""
    started = time.perf_counter()
    request.state.id = request.headers.get("x-request-id") or secrets.token_hex(8)
    request.state.headers = {}
    response: Response = await call_next(request)
    response.headers.update(request.state.headers)
    response.headers["X-Request-Id"] = request.state.id
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    line = {
        "event": "request",
        "request_id": request.state.id,
        "method": request.method,
        "status": response.status_code,
        "ms": round((time.perf_counter() - started) * 1000, 1),
    }
    _log.info(json.dumps(line))
    return response


def _error(request: Request, status: int, body: dict[str, Any]) -> JSONResponse:
    headers = {"WWW-Authenticate": 'Bearer realm="newleaf"'} if status == 401 else None
    return JSONResponse({**body, "requestId": request.state.id}, status, headers)


@app.exception_handler(Refusal)
async def refused(request: Request, error: Refusal) -> JSONResponse:
    """The error in newleaf's shape."""
    return _error(request, error.status, error.body)


@app.exception_handler(limiting.TooManyRequests)
async def too_many(request: Request, error: limiting.TooManyRequests) -> JSONResponse:
    """429."""
    request.state.headers = error.headers
    return _error(request, 429, {"error": str(error), "code": "rate_limited"})


@app.exception_handler(RequestValidationError)
async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    """400 with every problem."""
    problems = [
        {"path": "".join(f"/{part}" for part in each["loc"][1:]), "message": each["msg"]} for each in error.errors()
    ]
    body = {"error": problems[0]["message"], "code": "validation_failed", "errors": problems}
    return _error(request, 400, body)


Reading = Annotated[Session, Depends(reading)]
Writing = Annotated[Session, Depends(writing)]
Key = Annotated[str | None, Header(alias="X-API-Key")]


class Caller:
    """Whose key it is."""

    def __init__(self, key: ApiKey, region: str | None) -> None:
        self.key_id, self.account_id, self.tenant_id = key.id, key.account_id, key.tenant_id
        self.environment, self.name, self.scopes = key.environment, key.name, frozenset(key.scopes)
        self.region = region


def _identify(session: Session, key: str | None) -> Caller:
    if not key:
        raise Refusal(401, "authentication_required", _NO_KEY)
    digest = hashlib.sha256(key.encode()).hexdigest()
    query = select(ApiKey, Account.default_region).join(Account, Account.id == ApiKey.account_id)
    found = session.execute(query.where(ApiKey.key_hash == digest)).first()
    now = texts.stamp()
    if found is None or found[0].status != "active" or (found[0].expires_at or now) < now:
        raise Refusal(401, "invalid_api_key", "Invalid or expired API key")
    if _last_used.get(found[0].id) != now[:16]:
        _last_used[found[0].id] = now[:16]
        found[0].last_used_at = now
        session.commit()
        session.refresh(found[0])
    return Caller(*found)


def _admit(request: Request, session: Session, key: str | None, scope: str, is_sync: bool) -> Caller:
    address = request.client.host if request.client else "unknown"
    charges = [(limiting.ADDRESS, "global", address)]
    try:
        caller = _identify(session, key)
        charges += [(limiting.KEY, "key", caller.key_id), (limiting.ACCOUNT, "account", caller.account_id)]
        if is_sync:
            charges.append((limiting.SYNC, "sync", caller.key_id))
    finally:
        request.state.headers = limiting.admit(charges)
    if scope not in caller.scopes:
        message = f"API key does not have the required scope (requires: {scope})."
        raise Refusal(403, "missing_scope", "Forbidden", message=message)
    return caller


def may_view(request: Request, session: Reading, key: Key = None) -> Caller:
    """A caller who may read leads."""
    return _admit(request, session, key, "leads:view", False)


def may_import(request: Request, session: Writing, key: Key = None) -> Caller:
    """A caller who may create leads."""
    return _admit(request, session, key, "leads:import", False)


def may_sync(request: Request, session: Writing, key: Key = None) -> Caller:
    """A caller who may sync leads."""
    return _admit(request, session, key, "leads:sync_create", True)
