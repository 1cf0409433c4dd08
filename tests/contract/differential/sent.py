"""Requests as they go over the wire, and the ones that Schemathesis and Hypothesis make of the contract."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode

from server.contract import Json, Operation, dereference, operations

Headers = tuple[tuple[bytes, bytes], ...]
_NOT_OURS = {"user-agent", "accept-encoding", "accept", "connection", "x-schemathesis-testcaseid", "content-length"}


@dataclass(frozen=True)
class Sent:
    """One request; path and query as they are written, percent signs and all."""

    method: str
    path: bytes
    query: bytes = b""
    headers: Headers = ()
    body: bytes = b""
    operation: str = field(default="", compare=False)  # what it was made for
    takes: tuple[bytes, ...] = field(default=(), compare=False)  # the names of query parameters

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, named in lower case."""
        return next((value for each, value in self.headers if each == name), None)

    def with_header(self, name: bytes, value: bytes) -> Sent:
        """The same request with just this value of the header."""
        return replace(self, headers=(*[pair for pair in self.headers if pair[0] != name], (name, value)))

    def without_header(self, name: bytes) -> Sent:
        """The same request without the header."""
        return replace(self, headers=tuple(pair for pair in self.headers if pair[0] != name))

    def scope(self) -> dict[str, Any]:
        """The request as an ASGI server hands it on."""
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": unquote(self.path.decode("ascii", "replace")),
            "raw_path": self.path,
            "query_string": self.query,
            "root_path": "",
            "headers": [*self.headers, *([(b"content-length", b"%d" % len(self.body))] if self.body else [])],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8080),
        }

    def __str__(self) -> str:
        return f"{self.method} {self.path!r} ?{self.query!r} {dict(self.headers)} {self.body[:400]!r}"


def _sent(case: Any, key: bytes, operation: Operation) -> Sent:
    """The bytes of a generated case, with a key that works."""
    options = case.as_transport_kwargs(base_url="http://127.0.0.1")
    options.pop("verify", None)
    made = requests.Request(**{name: value for name, value in options.items() if name in _OPTIONS}).prepare()
    parts = urlsplit(str(made.url))
    body = made.body or b""
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1") if isinstance(value, str) else value)
        for name, value in made.headers.items()
        if name.lower() not in _NOT_OURS
    ]
    sent = Sent(
        str(made.method),
        parts.path.encode(),
        parts.query.encode(),
        tuple(headers),
        body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body),
        operation.id,
        tuple(each["name"].encode() for each in operation.spec["parameters"] if each["in"] == "query"),
    )
    return sent.without_header(b"authorization").with_header(b"x-api-key", key)


_OPTIONS = ("method", "url", "headers", "params", "data", "json", "files", "cookies")


def _drawn(strategy: SearchStrategy[Any], count: int, chance: int) -> list[Any]:
    drawn: list[Any] = []

    @seed(chance)
    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(each: Any) -> None:
        drawn.append(each)

    collect()
    return drawn


def values(count: int, chance: int) -> list[Any]:
    """Any JSON at all, the same for the same `chance`."""
    scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    anything = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
    return _drawn(anything, count, chance)


def generated(document: Json, key: bytes, *, per_operation: int, chance: int) -> Iterator[Sent]:
    """So many valid and as many invalid requests to each operation, the same for the same `chance`."""
    known = {
        (each.method.upper(), each.path): Operation(each.method, each.path, dereference(document, each.spec))
        for each in operations(document)
    }
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        target = found.ok()
        operation = known[target.method.upper(), target.path]
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            with contextlib.suppress(Unsatisfiable):  # nothing can be wrong with an operation that takes nothing
                for case in _drawn(target.as_strategy(generation_mode=mode), per_operation, chance):
                    yield _sent(case, key, operation)
