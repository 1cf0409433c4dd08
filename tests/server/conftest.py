"""Fixtures of the server's tests: clients without a key, raw requests, and servers inside this process."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from connexion.spec import OpenAPISpecification

from server import app, logs
from server.contract import document
from server.settings import Settings
from storage import accounts
from storage import database as storage_database
from tests.conftest import Party, Served
from tests.server import raw_http
from tests.server.raw_http import RawAnswer
from tests.support.contract_client import ContractClient
from tests.support.live_server import serve_in_thread


@pytest.fixture
def anonymous(served: Served) -> Iterator[ContractClient]:
    """A client without a key."""
    with ContractClient(served.base_url) as opened:
        yield opened


@pytest.fixture
def send(party: Party, client: ContractClient) -> Callable[..., RawAnswer]:
    """Sends a request byte by byte with the key of `client`."""
    key = client.headers["X-API-Key"]

    def sender(method: str, target: bytes, headers: dict[str, str] | None = None, body: bytes = b"") -> RawAnswer:
        sent = raw_http.request(method, target, {"X-API-Key": key, **(headers or {})}, body)
        return raw_http.exchange(party.base_url, sent, method)

    return sender


@pytest.fixture
def log_lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What servers of this process have logged so far, as the production setup writes it."""
    written = io.StringIO()
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers, root.level
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", written)
        logs.configure(Settings(_env_file=None))
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    structlog.configure(**before)
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def rendered() -> None:
    """The contract, rendered once for all servers of this process."""
    app.publish(document())


@pytest.fixture
def serve(engine: str, rendered: None, log_lines: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Serves the app in a thread of this process, over the empty database, with these settings; gives the base URL."""
    monkeypatch.setattr(app, "publish", lambda _: None)
    monkeypatch.setattr(OpenAPISpecification, "_validate_spec", lambda *_: None)  # for seconds, and always the same
    with contextlib.ExitStack() as servers:

        def start(**settings: Any) -> str:
            chosen = Settings(**{"rate_limits": "off", "_env_file": None, **settings})
            return servers.enter_context(serve_in_thread(chosen, with_worker=False))

        yield start


@pytest.fixture
def make_account(engine: str) -> Callable[..., Party]:
    """Creates accounts in the database behind `serve`."""

    def make(base_url: str, name: str = "Example") -> Party:
        with storage_database.transaction():
            return Party(accounts.create(name, default_region="US").id, base_url)

    return make
