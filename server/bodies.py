"""Request bodies: read up to a limit, parsed strictly, so that nothing a database or a model chokes on gets further.

JSON here means RFC 8259 in UTF-8 without the freedoms that parsers take: no NaN, no infinite number, no repeated
name, no NUL, no lone surrogate.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import AsyncIterator, Iterator
from email.message import Message
from typing import Any, NoReturn

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Receive, Scope

from storage.errors import Blocked, Malformed, TooLarge

from .requests import header, state

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def content_type(scope: Scope) -> tuple[str, str | None]:
    """Media type in lower case ("" if none was sent) and the boundary of a multipart body."""
    given = header(scope, b"content-type") or ""
    if given in ("", "application/json"):
        return given, None
    message = Message()
    message["content-type"] = given
    boundary = message.get_param("boundary")
    return message.get_content_type(), boundary if isinstance(boundary, str) else None


async def read(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body. Raises TooLarge beyond `limit` bytes, before reading where Content-Length already says so."""
    declared = header(scope, b"content-length") or ""
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise _too_large(limit)
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Malformed("client_disconnected", "The request ended before its body did")
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


def _too_large(limit: int) -> TooLarge:
    return TooLarge("payload_too_large", f"Request body too large: at most {limit} bytes are accepted")


def digest(body: bytes, boundary: str | None) -> str:
    """What tells two bodies apart; the boundary of a multipart body, drawn anew on each sending, does not count."""
    if boundary:
        body = body.replace(boundary.encode("latin-1", "replace"), b"")
    return hashlib.sha256(body).hexdigest()


def _refuse_constant(name: str) -> NoReturn:
    raise Malformed("malformed_json", f"Malformed JSON: {name} is not a JSON value")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Malformed("malformed_json", "Malformed JSON: a number is too large")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed("malformed_json", "Malformed JSON: a name occurs twice in one object")
    return members


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def refuse_nul(value: Any) -> None:
    """Raises Blocked for a NUL in any text of a value, names of members included, which no schema can bound."""
    for text in _strings(value):
        if "\0" in text:
            raise Blocked("unstorable_text", "Text must not contain NUL characters, nor must names")


def _refuse_lone_surrogates(value: Any) -> None:
    for text in _strings(value):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Malformed("malformed_text", "Text must be valid Unicode: a surrogate stands alone") from None


def parse_json(body: bytes) -> Any:
    """The value that a JSON body holds. Raises Malformed."""
    try:
        value = json.loads(
            body.decode(), parse_constant=_refuse_constant, parse_float=_number, object_pairs_hook=_unique
        )
        if _SURROGATE.search(body):
            _refuse_lone_surrogates(value)
    except UnicodeDecodeError:
        raise Malformed("malformed_json", "Malformed JSON: not valid UTF-8") from None
    except json.JSONDecodeError as error:
        raise Malformed(
            "malformed_json", f"Malformed JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from None
    except RecursionError:
        raise Malformed("malformed_json", "Malformed JSON: it is nested too deeply") from None
    except ValueError:
        raise Malformed("malformed_json", "Malformed JSON: a number has too many digits") from None
    return value


async def parse_multipart(scope: Scope, body: bytes) -> dict[str, Any]:
    """Fields and files of a multipart body; a file is an UploadFile, open until the request ends. Raises Malformed."""

    async def stream() -> AsyncIterator[bytes]:
        yield body

    try:
        form = await MultiPartParser(Headers(scope=scope), stream(), max_files=1, max_fields=20).parse()  # type: ignore[arg-type]
    except (MultiPartException, KeyError, UnicodeDecodeError, ValueError):
        raise Malformed("malformed_multipart", "Malformed multipart body") from None
    state(scope).files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name in fields:
            raise Malformed("malformed_multipart", "A field occurs twice")
        fields[name] = value
    return fields
