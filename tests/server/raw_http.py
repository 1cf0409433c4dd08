"""Requests byte by byte, for what no HTTP library agrees to send."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class RawAnswer:
    """An answer as it came over the wire; names of headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def request(method: str, target: bytes, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """A request on a connection of its own; the length of the body is told unless a header says otherwise."""
    own = {"Host": "localhost", "Connection": "close", **(headers or {})}
    if body and not {"Transfer-Encoding", "Content-Length"} & own.keys():
        own["Content-Length"] = str(len(body))
    lines = b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in own.items())
    return method.encode() + b" " + target + b" HTTP/1.1\r\n" + lines + b"\r\n" + body


def exchange(base_url: str, sent: bytes, method: str = "GET") -> RawAnswer:
    """What the server answers to these bytes."""
    address = urlsplit(base_url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(sent)
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return RawAnswer(answer.status, found, answer.read())
