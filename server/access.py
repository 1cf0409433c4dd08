"""The outermost layer: gives a request its id, puts the standard headers on every answer, and logs one line."""

from __future__ import annotations

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .requests import begin

_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


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
            self.log.info(
                "request",
                method=scope["method"],
                operation=request.operation,
                status=status,
                ms=round((time.perf_counter() - request.started) * 1000, 1),
                account=request.caller.tenant.account_id if request.caller else None,
                key=request.caller.key_id if request.caller else None,
            )
