"""What newleaf knows about the request in hand, kept in its ASGI scope from the first middleware to the last."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass, field

from starlette.datastructures import UploadFile
from starlette.types import Scope

from storage.tenancy import Caller

Headers = list[tuple[bytes, bytes]]

_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(slots=True)
class RequestState:
    """Identity, caller and answer headers of one request."""

    id: str
    address: str
    started: float = field(default_factory=time.perf_counter)
    caller: Caller | None = None
    credential: str = field(default="", repr=False)  # the API key as it was presented
    operation: str | None = None
    incoming: dict[bytes, bytes] = field(default_factory=dict, repr=False)  # by name in lower case, the first of each
    headers: Headers = field(default_factory=list)  # go onto the answer, whoever gives it
    counted: bool = False  # against the address's limit
    body_hash: str = ""
    body_size: int = 0
    files: list[UploadFile] = field(default_factory=list)  # of a multipart body, to be closed with the request


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a header, given in lower case; the first where it is repeated."""
    value = state(scope).incoming.get(name)
    return None if value is None else value.decode("latin-1")


def state(scope: Scope) -> RequestState:
    """The state that the outermost middleware put into this scope."""
    found: RequestState = scope["newleaf"]
    return found


def begin(scope: Scope) -> RequestState:
    """Open the state of a request: the client's own request id where it is acceptable, a new one otherwise."""
    incoming = dict(reversed(scope["headers"]))
    offered = incoming.get(b"x-request-id", b"").decode("latin-1")
    request_id = offered if _ACCEPTABLE_ID.fullmatch(offered) else secrets.token_hex(8)
    client = scope.get("client")
    opened = RequestState(id=request_id, address=client[0] if client else "unknown", incoming=incoming)
    scope["newleaf"] = opened
    return opened
