"""Servers under measurement: processes on loopback, each held to the core it is measured on."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from .house import House

ROOT = Path(__file__).resolve().parents[2]
_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORES = {_CORES[0]}
CLIENT_CORES = set(_CORES[1:2] or _CORES)  # also the database server's, where there is one
BOTH_CORES = SERVER_CORES | CLIENT_CORES
_START_TIMEOUT_S = 120
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_WITHOUT_BOUNDS = str(10**9)

# Every tier counts and none refuses.
LIMITS = {f"NEWLEAF_LIMIT_{tier}": _WITHOUT_BOUNDS for tier in ("GLOBAL", "KEY", "SYNC", "ACCOUNT")}


@dataclass(slots=True)
class Server:
    """A running server over a database of its own."""

    name: str
    house: House
    port: int
    process: subprocess.Popen[bytes]
    started_s: float = 0.0  # from its start to its first answer

    def client(self) -> httpx.Client:
        """A client with the house's key."""
        headers = {"X-API-Key": self.house.key}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, trust_env=False, timeout=60)

    def cpu_s(self) -> float:
        """Seconds of processor time it has used, its children included."""
        return sum(_cpu_s(pid) for pid in self._pids())

    def pss_mib(self) -> float:
        """Memory it holds, what it shares counted in parts, in MiB."""
        return sum(map(_pss_mib, self._pids()))

    def _pids(self) -> list[int]:
        pids, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            pids.append(pid)
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has just ended
                    waiting += map(int, children.read_text().split())
        return pids


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def _pss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def newleaf_command(*options: str) -> list[str]:
    """`newleaf serve` as anybody starts it."""
    return [sys.executable, "-m", "server.cli", "serve", "--port", "{port}", *options]


def uvicorn_command(app: str, *options: str) -> list[str]:
    """An ASGI application under the same uvicorn: uvloop, httptools, one process."""
    return [sys.executable, "-m", "uvicorn", app, "--port", "{port}", "--no-server-header", *options]


@contextlib.contextmanager
def serving(
    name: str,
    command: Sequence[str],
    house: House,
    folder: Path,
    cores: set[int] = SERVER_CORES,
    **environment: str,
) -> Iterator[Server]:
    """A server over this house, ended with the block; its log is a file in the folder. Raises RuntimeError."""
    port = _free_port()
    env: dict[str, Any] = {
        **os.environ,
        **LIMITS,
        "PYTHONPATH": str(ROOT),
        "NEWLEAF_DATABASE_URL": house.url,
        **environment,
    }
    started = time.perf_counter()
    with (folder / f"{name.replace(' ', '-')}.log").open("ab") as log:
        process = subprocess.Popen(
            [part.format(port=port) for part in command],
            cwd=folder,
            env=env,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
    try:
        server = Server(name, house, port, process)
        _await_answer(server, folder)
        server.started_s = time.perf_counter() - started
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_answer(server: Server, folder: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    with server.client() as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if client.get("/api/leads?limit=1").status_code == 200:
                    return
            if server.process.poll() is not None or time.monotonic() > deadline:
                log = folder / f"{server.name.replace(' ', '-')}.log"
                raise RuntimeError(f"{server.name} does not answer: {log.read_text()[-2000:]}")
            time.sleep(0.01)
