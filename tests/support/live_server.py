"""A real newleaf over loopback, in a thread of the test process or in a process of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from server.app import create_app
from server.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
_START_TIMEOUT_S = 120  # a bound for machines under load, usually two or three


@contextlib.contextmanager
def serve_in_thread(settings: Settings, *, with_worker: bool = True) -> Iterator[str]:
    """Serve an app over the database that this process is connected to; gives the base URL."""
    app = create_app(settings, with_worker=with_worker)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, access_log=False, log_config=None, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not server.started:
        if time.monotonic() > deadline or not thread.is_alive():
            raise RuntimeError("the server did not start")
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=_START_TIMEOUT_S)


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """`newleaf serve` as a process, which can be killed and started again on the same port."""

    def __init__(
        self, environment: dict[str, str], *arguments: str, cwd: Path | None = None, log: Path | None = None
    ) -> None:
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        self._arguments = arguments
        self._cwd = cwd
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "server.cli", "serve", "--port", str(self.port), *self._arguments]
        with contextlib.nullcontext() if self._log is None else self._log.open("ab") as log:
            self.process = subprocess.Popen(command, env=self._environment, cwd=self._cwd, stderr=log)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.base_url}/healthz", trust_env=False, verify=False).status_code == 200:
                    return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"newleaf serve did not start: exit {self.process.poll()}")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM; the exit code after a graceful end."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=60)

    def __enter__(self) -> ServerProcess:
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
