"""The outermost layer: a request id, the standard headers on every answer, one line of the log, one more in metrics."""

from __future__ import annotations

import time
from functools import lru_cache

import structlog
from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .requests import begin

_METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}
_REQUESTS = Histogram(
    "newleaf_http_request_duration_seconds",
    "HTTP requests, by operationId; those outside the contract are `none`.",
    ["operation", "method", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
)
_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


@lru_cache(maxsize=4096)  # finding the series anew would take longer than counting
def _series(operation: str | None, method: str, status: int) -> Histogram:
    shown = f"{status // 100}xx" if status else "none"  # nobody waited for the answer
    return _REQUESTS.labels(operation or "none", method if method in _METHODS else "other", shown)


class AccessMiddleware:
    """Request id in, request id out; nothing of the query string, the body or a key is logged."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.log = structlog.get_logger("newleaf.access").bind()  # once, for binding costs more than the line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request and tell what became of it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = begin(scope)
        structlog.contextvars.bind_contextvars(request_id=request.id)
        status = 0

        async def finish(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"]
                present = {name for name, _ in headers}
                own = [*request.headers, (b"x-request-id", request.id.encode()), *_ALWAYS]
                message["headers"] = [*headers, *[pair for pair in own if pair[0] not in present]]
            await send(message)

        try:
            await self.app(scope, receive, finish)
        finally:
            taken_s = time.perf_counter() - request.started
            _series(request.operation, scope["method"], status).observe(taken_s)
            self.log.info(
                "request",
                method=scope["method"],
                operation=request.operation,
                status=status,
                ms=round(taken_s * 1000, 1),
                account=request.caller.tenant.account_id if request.caller else None,
                key=request.caller.key_id if request.caller else None,
            )
