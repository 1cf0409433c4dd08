"""What a spine decides about a request: its status, what it finds wrong, and what it would call the handler with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from connexion import ConnexionMiddleware
from starlette.datastructures import UploadFile
from starlette.types import Message, Receive, Scope, Send

from server.execution import Execution
from server.requests import state
from server.spine import Application

from .sent import Sent


@dataclass(frozen=True)
class Decision:
    """`paths` of what is wrong and the error's `code`, or the `operation` and its `arguments` as text."""

    status: int
    code: str = ""
    paths: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    operation: str = ""
    arguments: str = ""


class _Recorder:
    """Stands for an Execution and does everything it does but run the handler."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            arguments = await self.execution.plan.read(scope, receive)
            if self.execution.takes_user:
                caller = state(scope).caller
                arguments["user"] = caller and caller.key_id
            shown = repr([(name, await _shown(value)) for name, value in sorted(arguments.items())])
            scope["called"].append((self.execution.operation.id, shown))
        finally:
            for file in state(scope).files:
                await file.close()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def _shown(value: Any) -> Any:
    if isinstance(value, UploadFile):
        return value.filename, value.content_type, await value.read()
    if isinstance(value, dict) and any(isinstance(each, UploadFile) for each in value.values()):
        return sorted([(name, await _shown(each)) for name, each in value.items()])
    return value


def record(app: ConnexionMiddleware) -> ConnexionMiddleware:
    """The same application with its handlers replaced."""
    for each in app.middleware_stack or ():
        if isinstance(each, Application):
            for api in (api for apis in each.apis.values() for api in apis):
                api.operations = {name: _Recorder(execution) for name, execution in api.operations.items()}
    return app


async def decide(app: ConnexionMiddleware, sent: Sent) -> Decision:
    """What this application makes of the request."""
    messages: list[Message] = []
    called: list[tuple[str, str]] = []
    incoming = iter([{"type": "http.request", "body": sent.body, "more_body": False}])

    async def receive() -> Message:
        return next(incoming, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        messages.append(message)

    await app({**sent.scope(), "called": called}, receive, send)
    status = messages[0]["status"]
    if called:
        return Decision(status, operation=called[0][0], arguments=called[0][1])
    answer = json.loads(b"".join(message.get("body", b"") for message in messages[1:]) or b"{}")
    problems = answer.get("errors", [])
    return Decision(
        status,
        answer.get("code", ""),
        tuple(each["path"] for each in problems),
        tuple(each["message"] for each in problems),
    )
