"""The one shape of every error: `{"error", "code", "requestId"}` and where they help `message`, `details`, `errors`.

This module alone knows which status a refusal has. A request that accepts `application/problem+json` is answered with
the same content as RFC 9457.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storage.errors import (
    Blocked,
    Conflict,
    Forbidden,
    Invalid,
    NewleafError,
    NotFound,
    Problem,
    Stale,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

from .requests import header, state

_log = structlog.get_logger("newleaf.errors")
_encode = msgspec.json.Encoder().encode
MAX_ERRORS = 100
_MAX_INSTANCE = 160  # characters of the path; escaped they are at most 1,920, mostly as many
_PATH_CHARACTERS = "/:@!$&'()*+,;=~"  # what may stand in a path unescaped, beside letters, digits, "-", "." and "_"

STATUS: dict[type[NewleafError], int] = {
    Invalid: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Stale: 412,
    TooLarge: 413,
    Blocked: 422,
    Unavailable: 503,
}
_CHALLENGE = 'Bearer realm="newleaf"'


class MethodNotAllowed(NewleafError):
    """The path exists, this method on it does not."""

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__("method_not_allowed", "Method not allowed")
        self.allowed = ", ".join(allowed)


class UnsupportedMediaType(NewleafError):
    """The body has a content type that the operation does not take."""


class RateLimited(NewleafError):
    """A tier is exhausted for `retry_after_s` more seconds."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__("rate_limited", message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error on its way out: status, extra headers, and the members of its body."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


def _status(error: NewleafError) -> int:
    if isinstance(error, MethodNotAllowed):
        return 405
    if isinstance(error, UnsupportedMediaType):
        return 415
    if isinstance(error, RateLimited):
        return 429
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def _headers(error: NewleafError) -> dict[str, str]:
    if isinstance(error, MethodNotAllowed):
        return {"Allow": error.allowed}
    if isinstance(error, RateLimited):
        return {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": _CHALLENGE}
    return {}


def _shown(text: str, length: int) -> str:
    """Text that may repeat a name from the request, as the contract's bounds let it out."""
    return text[:length].replace("\0", "\N{REPLACEMENT CHARACTER}")


def _problems(problems: Sequence[Problem]) -> list[dict[str, str]]:
    return [{"path": _shown(path, 500), "message": _shown(text, 1000)} for path, text in problems[:MAX_ERRORS]]


def answer_for(error: Exception, request_id: str) -> ErrorAnswer:
    """What a client is told about this error. An error that is none of ours tells nothing about itself."""
    if isinstance(error, HTTPException) and error.status_code < 500:
        title = HTTPStatus(error.status_code).phrase
        return ErrorAnswer(
            error.status_code,
            {"error": title, "code": _word(title), "requestId": request_id},
            dict(error.headers or {}),
        )
    if not isinstance(error, NewleafError):
        return ErrorAnswer(500, {"error": "Internal server error", "code": "internal_error", "requestId": request_id})
    body: dict[str, Any] = {"error": _shown(error.message, 1000), "code": error.code, "requestId": request_id}
    if isinstance(error, Forbidden):
        body |= {"error": "Forbidden", "message": error.message}
    if error.details is not None:
        body["details"] = _shown(error.details, 2000)
    if error.problems:
        body["errors"] = _problems(error.problems)
    return ErrorAnswer(_status(error), body, _headers(error))


def _word(title: str) -> str:
    return "".join(char if char.isalnum() else "_" for char in title.lower())


def _as_problem(answer: ErrorAnswer, path: str) -> dict[str, Any]:
    text = answer.body.get("message", answer.body["error"])
    return {
        "type": "about:blank",
        "title": HTTPStatus(answer.status).phrase,
        "status": answer.status,
        "detail": text,
        "instance": path,
        **answer.body,
    }


async def send_error(answer: ErrorAnswer, scope: Scope, send: Send) -> None:
    """Send the error in the form that the client asked for."""
    accept = header(scope, b"accept") or ""
    if "application/problem+json" in accept:
        media_type = b"application/problem+json"
        body = _encode(_as_problem(answer, quote(scope["path"][:_MAX_INSTANCE], safe=_PATH_CHARACTERS)))
    else:
        media_type, body = b"application/json", _encode(answer.body)
    headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]
    headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


class ErrorMiddleware:
    """Turns everything that is raised further in into an answer; a crash is logged with its request id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request; answer what it raises."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def watch(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception as error:
            answer = answer_for(error, state(scope).id)
            if answer.status >= 500:
                _log.error("request failed", error=type(error).__name__, exc_info=error)
            if begun:
                raise
            await send_error(answer, scope, send)
