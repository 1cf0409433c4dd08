"""Servers that can be killed by the dozen: forked from a process that has read newleaf's code and contract already.

Each is `newleaf serve` as a process of its own with the worker inside, started by the same command line function; only
importing Python modules and parsing YAML, most of the time that a start takes, are not done again.

Nobody outlives the tests: the kernel kills the nursery when its parent ends, and a server when the nursery ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import httpx

from tests.support.live_server import ROOT, free_port

_START_TIMEOUT_S = 60
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


class Nursery:
    """The process that servers are forked from."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.faults.nursery"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._hear() == "ready"

    def bear(self, settings: dict[str, str], port: int, cwd: Path) -> int:
        """A new server; returns its process id."""
        assert self._process.stdin is not None
        order = {"settings": settings, "port": port, "cwd": str(cwd)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._hear())

    def bury(self) -> int:
        """Wait for the end of the server born last; returns the signal that ended it, 0 if it ended by itself."""
        return int(self._hear())

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=_START_TIMEOUT_S)

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class MortalServer:
    """A server on one port and one database, through all its lives."""

    def __init__(self, nursery: Nursery, settings: dict[str, str], cwd: Path) -> None:
        self._nursery = nursery
        self._settings = settings
        self._cwd = cwd
        self._port = free_port()
        self._pid: int | None = None
        self.base_url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._pid = self._nursery.bear(self._settings, self._port, self._cwd)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.base_url}/healthz", trust_env=False, timeout=5).status_code == 200:
                    return
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL; returns once the process is gone."""
        pid, self._pid = self._pid, None
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert self._nursery.bury() == signal.SIGKILL, "the server had ended before it was killed"

    def __enter__(self) -> MortalServer:
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._pid is not None:
            self.kill()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def _bear() -> None:
    """Fork a server for each line of stdin, and tell of its birth and of its death."""
    _die_with_parent()
    import engine.agents.turn
    import server.listening  # noqa: F401
    from engine.jobs import registry
    from server import app, cli, contract  # noqa: F401

    contract.document()
    registry.of_kind("")  # imports every module that declares jobs
    engine.agents.turn._turn_agent()
    print("ready", flush=True)  # noqa: T201
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if pid == 0:
            _serve(json.loads(line))
        print(pid, flush=True)  # noqa: T201
        _, status = os.waitpid(pid, 0)
        print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, flush=True)  # noqa: T201


def _serve(order: dict[str, Any]) -> NoReturn:
    from server.cli import main

    _die_with_parent()
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)  # stdout belongs to the nursery's reports
    os.environ.update(order["settings"])
    os.chdir(order["cwd"])
    try:
        main(["serve", "--port", str(order["port"])])
    finally:
        os._exit(1)


if __name__ == "__main__":
    _bear()
