"""A receiver of events on loopback that verifies what it gets, and workers that send until nothing is due."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook

from engine.events import sending, subscriptions
from engine.jobs import worker
from engine.knowledge import fetch
from storage import event_log

PATIENCE_S = 20.0


@dataclass
class Receiver:
    """Answers as `answers` says, else 200, and keeps what it was sent. gate: closed, nobody is answered."""

    url: str = ""
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    called: threading.Event = field(default_factory=threading.Event)

    def bodies(self, secret: str) -> list[Any]:
        """What was sent, each verified by this secret."""
        return [Webhook(secret).verify(body, headers) for headers, body in self.got]


@pytest.fixture
def make_receiver() -> Iterator[Callable[[], Receiver]]:
    servers: list[ThreadingHTTPServer] = []
    receivers: list[Receiver] = []

    def make() -> Receiver:
        receiver = Receiver()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                receiver.called.set()
                receiver.gate.wait(PATIENCE_S)
                status, headers, said = receiver.answers.pop(0) if receiver.answers else (200, {}, b"ok")
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
        receiver.gate.set()
        servers.append(server)
        receivers.append(receiver)
        return receiver

    yield make
    for receiver in receivers:
        receiver.gate.set()
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def receiver(make_receiver: Callable[[], Receiver]) -> Receiver:
    return make_receiver()


@pytest.fixture(autouse=True)
def reach(secret_key: str, engine: str) -> Iterator[None]:
    """Loopback may be reached, and secrets can be kept."""
    fetch.configure(allows_private=["127.0.0.1:*"])
    yield
    sending.settle(PATIENCE_S)
    fetch.configure()


@pytest.fixture
def subscribe(tenant: Any, actor: Any) -> Callable[..., Any]:
    """Subscribes a receiver: (subscription, secret)."""

    def subscribe(receiver: Receiver, *events: str) -> Any:
        return subscriptions.create(tenant, {"url": receiver.url, "events": list(events or ["*"])}, actor=actor)

    return subscribe


@pytest.fixture
def deliver() -> Callable[[], None]:
    """Sends until nothing is due."""

    def deliver() -> None:
        while worker.work_next() or sending.settle(PATIENCE_S):
            continue

    return deliver


@pytest.fixture
def happen(tenant: Any) -> Callable[..., int]:
    """Something of this type happens."""
    return lambda type_="lead.created", **data: event_log.emit(tenant, type_, lambda: data)


@pytest.fixture
def told(tenant: Any) -> Callable[[Any], Any]:
    """Deliveries of a subscription, the oldest first, and their attempts."""

    def told(subscription: Any) -> Any:
        found, _, _ = event_log.page(tenant, subscription, limit=100)
        found.sort(key=lambda each: each.id)
        return found, event_log.attempts(tenant, found)

    return told
