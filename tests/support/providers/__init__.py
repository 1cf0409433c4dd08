"""Providers on loopback: real HTTP servers that follow a provider's documented contract, and fail when told to.

with WhatsAppServer() as provider:             # a subclass of ProviderServer, listening on 127.0.0.1
    provider.answers(429, {"error": …})        # the next request gets this instead of the usual answer
    provider.loses_answer()                    # the next one is handled as usual, then the connection closes
    …
    assert provider.requests[0].json["to"] == "12025550101"
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit, urlunsplit

import httpx

FOR_EVER = sys.maxsize


@dataclass(frozen=True)
class Received:
    """A request as it came in. headers: names in lower case; query: the last value of each name."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        """The last value of each field of a form-encoded body."""
        return _last_values(self.body.decode())


@dataclass(frozen=True)
class Answer:
    """What goes back. body: bytes or text as they are, None for nothing, anything else as JSON."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> tuple[bytes, str]:
        """The bytes, and their media type unless the headers name one."""
        if self.body is None:
            return b"", "text/plain"
        if isinstance(self.body, bytes | str):
            return self.body if isinstance(self.body, bytes) else self.body.encode(), "text/plain"
        return json.dumps(self.body).encode(), "application/json"


@dataclass
class _Step:
    """What happens to some next requests instead of the usual. path: only where the path contains it."""

    times: int
    path: str
    answer: Answer | None = None
    delay_s: float = 0
    loses: Literal["", "request", "answer"] = ""


@dataclass(frozen=True)
class Webhook:
    """A signed call of the provider to us. url: what was signed; headers: with the signature."""

    url: str
    body: bytes
    headers: Mapping[str, str]

    def post(self, via: str = "") -> httpx.Response:
        """Deliver it once. via: the server that stands behind the signed address, such as http://127.0.0.1:8080."""
        parts = urlsplit(self.url)
        target = urlunsplit(("", "", parts.path, parts.query, "")) if via else self.url
        return httpx.post(
            via + target, content=self.body, headers=dict(self.headers), timeout=30, trust_env=False, verify=False
        )


class ProviderServer:
    """A provider. `respond` is the contract of it; steps told in advance go before, in the order they were told.

    url: its address without a slash at the end. It stays the same when the server is stopped and started again.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._requests: list[Received] = []
        self._steps: list[_Step] = []
        self._stopping = threading.Event()
        self._server: _Server | None = None
        self._thread = threading.Thread()
        self._port = 0

    def respond(self, request: Received) -> Answer:
        """What the provider does with a request. One runs at a time, so subclasses need no locks."""
        del request
        return Answer(404, {"error": "nothing here"})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def requests(self) -> list[Received]:
        """All that came in so far, in order; lost ones too, if they were read."""
        with self._changed:
            return list(self._requests)

    def requests_to(self, path: str) -> list[Received]:
        """Those whose path contains this."""
        return [request for request in self.requests if path in request.path]

    def wait_for(self, enough: Callable[[list[Received]], bool], timeout_s: float = 30) -> list[Received]:
        """The requests as soon as they are enough. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: enough(self._requests), timeout_s):
                raise TimeoutError(f"only {len(self._requests)} requests came in")
            return list(self._requests)

    def forget(self) -> None:
        """Drop what was recorded and what was told in advance."""
        with self._changed:
            self._requests.clear()
            self._steps.clear()

    def answers(
        self,
        status: int,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        times: int = 1,
        path: str = "",
    ) -> None:
        """Answer the next requests with this; they have no effect."""
        self._tell(_Step(times, path, answer=Answer(status, body, headers or {})))

    def delays(self, delay_s: float, *, times: int = 1, path: str = "") -> None:
        """Handle the next requests as usual, but answer late."""
        self._tell(_Step(times, path, delay_s=delay_s))

    def loses_answer(self, *, times: int = 1, path: str = "") -> None:
        """Handle the next requests as usual, then close the connection without an answer."""
        self._tell(_Step(times, path, loses="answer"))

    def loses_request(self, *, times: int = 1, path: str = "") -> None:
        """Close the connection before the next bodies are read: no effect, no answer."""
        self._tell(_Step(times, path, loses="request"))

    def start(self) -> Self:
        """Listen; again on the same port after `stop`."""
        self._stopping.clear()
        self._server = _Server(self, self._port)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Refuse connections, and close those that are open."""
        if self._server is None:
            return
        self._stopping.set()
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()
        self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _tell(self, step: _Step) -> None:
        with self._changed:
            self._steps.append(step)

    def _next_step(self, path: str) -> _Step:
        with self._changed:
            for step in self._steps:
                if step.path in path:
                    step.times -= 1
                    if not step.times:
                        self._steps.remove(step)
                    return step
        return _Step(1, "")

    def _handle(self, request: Received, step: _Step) -> Answer:
        with self._changed:
            self._requests.append(request)
            answer = step.answer or self.respond(request)
            self._changed.notify_all()
        if step.delay_s:
            self._stopping.wait(step.delay_s)
        return answer


def refusing_url() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def _last_values(encoded: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(encoded, keep_blank_values=True).items()}


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False  # so that closing waits for them and leaves no socket behind

    def __init__(self, provider: ProviderServer, port: int) -> None:
        self.provider = provider
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        self._open.discard(request)
        super().close_request(request)

    def close_connections(self) -> None:
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # the client was quicker
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that gave up is none of our errors
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def handle_any(self) -> None:
        provider, parts = self.server.provider, urlsplit(self.path)
        step = provider._next_step(parts.path)
        if step.loses == "request":
            self.close_connection = True
            return
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # whoever was sending it has died
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = provider._handle(Received(self.command, parts.path, _last_values(parts.query), headers, body), step)
        if step.loses == "answer":
            self.close_connection = True
            return
        self._write(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

    def _write(self, answer: Answer) -> None:
        body, media_type = answer.encoded()
        headers = {"Content-Type": media_type, "Content-Length": str(len(body)), **answer.headers}
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # silence
        del format, args
