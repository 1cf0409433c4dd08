"""How `newleaf serve` begins and ends: only when it can work, and never in the middle of a request."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import handlers.leads
from server.contract import ContractError
from storage import accounts, api_keys, database, roles
from storage import leads as stored_leads
from storage.tenancy import SYSTEM, Tenant
from tests.support.live_server import ROOT, ServerProcess


@pytest.fixture
def tenant(engine: str) -> Tenant:
    with database.transaction():
        return accounts.tenant_row(accounts.create("Example").id, "test").tenant


@pytest.fixture
def key(tenant: Tenant) -> str:
    with database.transaction():
        return api_keys.issue(tenant, SYSTEM, name="tests", scopes=roles.scopes_of(["owner"])).full_key


@pytest.fixture
def process(database_url: str, engine: str, tmp_path: Path) -> Iterator[ServerProcess]:
    """`newleaf serve` over the database of this test."""
    environment = {"NEWLEAF_DATABASE_URL": database_url, "NEWLEAF_RATE_LIMITS": "off", "NEWLEAF_LOG_LEVEL": "error"}
    with ServerProcess(environment, cwd=tmp_path) as started:
        yield started


def newleaf(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server.cli", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


class SlowRequest:
    """A request that the server has begun to work on, and whose body is still to come."""

    def __init__(self, port: int, key: str, phone: str) -> None:
        self.body = json.dumps({"phone": phone}).encode()
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        head = (
            f"POST /api/leads HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(self.body)}\r\nExpect: 100-continue\r\n\r\n"
        )
        self.connection.sendall(head.encode())
        assert self.connection.recv(100).startswith(b"HTTP/1.1 100 Continue")  # sent when the app asks for the body

    def finish(self) -> int:
        """Send the body; the status of the answer."""
        with self.connection:
            self.connection.sendall(self.body)
            answer = http.client.HTTPResponse(self.connection)
            answer.begin()
            return answer.status


def is_listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


class TestStart:
    def test_old_schema_is_refused_with_what_to_do(self, tmp_path: Path) -> None:
        refused = newleaf("serve", "--port", "0", NEWLEAF_DATABASE_URL=f"sqlite:///{tmp_path}/empty.db")

        assert refused.returncode == 1
        assert "newleaf migrate" in refused.stderr

    def test_handler_that_is_missing_stops_the_start(
        self, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., str]
    ) -> None:
        monkeypatch.delattr(handlers.leads, "list_leads")

        with pytest.raises(Exception, match="list_leads"):
            serve()

    def test_handler_with_other_arguments_stops_the_start(
        self, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., str]
    ) -> None:
        @functools.wraps(handlers.leads.get_lead, assigned=(), updated=())
        def get_lead(user: Any, number: int) -> None:
            """Not what the contract gives."""

        del get_lead.__wrapped__
        monkeypatch.setattr(handlers.leads, "get_lead", get_lead)

        with pytest.raises(ContractError, match="get_lead"):
            serve()


class TestEnd:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
    def test_requests_under_way_are_answered_and_nothing_is_lost(
        self, process: ServerProcess, tenant: Tenant, key: str, number: signal.Signals
    ) -> None:
        assert process.process is not None
        under_way = [SlowRequest(process.port, key, f"+1202555{index:04}") for index in range(100, 120)]
        idle = socket.create_connection(("127.0.0.1", process.port))

        process.process.send_signal(number)
        stopped = any(not is_listening(process.port) for _ in range(100_000))
        statuses = [request.finish() for request in under_way]

        assert stopped
        assert statuses == [201] * 20
        assert process.process.wait(timeout=60) == 0
        with database.connection():
            assert stored_leads.count(tenant) == 20
        with idle:
            assert idle.recv(1) == b""  # closed by the server
