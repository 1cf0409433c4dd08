"""What the servers written by hand pass around: the caller, a refusal, an answer in JSON."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


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


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """The body as JSON."""
    return Response(encode(body), status, headers, "application/json")
