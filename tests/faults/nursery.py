"""Processes that can be killed by the dozen: forked from one that has read newleaf's code and built its application.

Each is `newleaf serve` with the worker inside, or `newleaf worker`, as a process of its own, started by the same
command line function. Only what touches neither database nor queue and would take most of a start is not done again:
importing Python modules, parsing YAML, building the ASGI application out of both.

Nobody outlives the tests: the kernel kills the nursery when its parent ends, and a server when the nursery ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn, Self

import httpx

from tests.support.live_server import ROOT, free_port

_START_TIMEOUT_S = 60
_NO_WORKER = "--no-worker"
_USED_LATER = (  # by the first request, turn or message of a process
    *(f"engine.channels.{name}" for name in ("email", "sms", "telegram", "whatsapp")),
    "anyio._backends._asyncio",
    "genai_prices.data",
    "openai.resources.chat.completions.completions",
    "phonenumbers.timezone",
    "pydantic_ai.models.openai",
    "pydantic_ai.providers.openai_compatible",
    "tld.utils",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
)
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


class Nursery:
    """The process that others are forked from."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.faults.nursery"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._asking = threading.Lock()
        assert self._hear() == "ready"

    def bear(self, arguments: list[str], settings: dict[str, str], cwd: Path) -> int:
        """A new `newleaf` with these arguments; returns its process id."""
        return self._ask(arguments=arguments, settings=settings, cwd=str(cwd))

    def bury(self, pid: int) -> int:
        """Wait for the end of one that was born here; returns the signal that ended it, 0 if it ended by itself."""
        return self._ask(bury=pid)

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=_START_TIMEOUT_S)

    def _ask(self, **order: Any) -> int:
        assert self._process.stdin is not None
        with self._asking:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return int(self._hear())

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class Mortal:
    """A `newleaf` on one database, through all its lives."""

    def __init__(self, nursery: Nursery, arguments: list[str], settings: dict[str, str], cwd: Path) -> None:
        self._nursery = nursery
        self._arguments = arguments
        self.settings = settings
        self._cwd = cwd
        self._pid: int | None = None

    def start(self) -> None:
        """Start it."""
        self._pid = self._nursery.bear(self._arguments, self.settings, self._cwd)

    def kill(self) -> None:
        """SIGKILL; returns once the process is gone."""
        pid, self._pid = self._pid, None
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert self._nursery.bury(pid) == signal.SIGKILL, "the process had ended before it was killed"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._pid is not None:
            self.kill()


class MortalServer(Mortal):
    """`newleaf serve`, on one port, which is its public address too. with_worker: inside."""

    def __init__(self, nursery: Nursery, settings: dict[str, str], cwd: Path, *, with_worker: bool = True) -> None:
        port = free_port()
        self.base_url = f"http://127.0.0.1:{port}"
        arguments = ["serve", "--port", str(port), *([] if with_worker else [_NO_WORKER])]
        super().__init__(nursery, arguments, {**settings, "NEWLEAF_PUBLIC_URL": self.base_url}, cwd)

    def start(self) -> None:
        """Start it and wait until it answers."""
        super().start()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.base_url}/healthz", trust_env=False, verify=False, timeout=5).status_code == 200:
                    return
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)


class MortalWorker(Mortal):
    """`newleaf worker`, beside a server."""

    def __init__(self, nursery: Nursery, settings: dict[str, str], cwd: Path) -> None:
        super().__init__(nursery, ["worker"], settings, cwd)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def _run() -> None:
    """Fork a `newleaf` for each birth that is ordered on stdin, wait for each death that is, and tell of both."""
    _die_with_parent()
    import engine.agents.turn
    import server.listening  # noqa: F401
    from engine import phones
    from engine.jobs import registry
    from server import cli, contract  # noqa: F401

    contract.document()
    registry.of_kind("")  # imports every module that declares jobs
    engine.agents.turn._turn_agent()
    for name in _USED_LATER:
        importlib.import_module(name)
    phones.normalize("+12025550101")  # reads what is known of American numbers
    builder = _Builder()
    print("ready", flush=True)  # noqa: T201
    for line in iter(sys.stdin.readline, ""):
        order = json.loads(line)
        if "bury" in order:
            _, status = os.waitpid(order["bury"], 0)
            print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, flush=True)  # noqa: T201
            continue
        if order["arguments"][0] == "serve":
            builder.build(order["settings"], with_worker=_NO_WORKER not in order["arguments"])
        pid = os.fork()
        if pid == 0:
            _live(order)
        print(pid, flush=True)  # noqa: T201


class _Builder:
    """Builds an application once for all servers that are forked with the same settings."""

    def __init__(self) -> None:
        from server import app

        self._create: Any = app.create_app
        self._named: tuple[dict[str, str], bool] = {}, False
        self._built: Any = None
        app.create_app = self._find

    def build(self, named: dict[str, str], *, with_worker: bool) -> None:
        """Have those that are forked from now on find it."""
        if (named, with_worker) == self._named:
            return
        from server.settings import Settings

        before = dict(os.environ)
        os.environ.update(named)
        chosen = Settings()
        os.environ.clear()
        os.environ.update(before)
        self._named, self._built = (named, with_worker), self._create(chosen, with_worker=with_worker)
        gc.collect()
        gc.freeze()  # else each child's own collection copies the pages of this process

    def _find(self, chosen: Any, *, with_worker: bool = False) -> Any:
        del chosen
        assert with_worker == self._named[1]
        return self._built


def _live(order: dict[str, Any]) -> NoReturn:
    from server.cli import main

    _die_with_parent()
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)  # stdout belongs to the nursery's reports
    os.environ.update(order["settings"])
    os.chdir(order["cwd"])
    try:
        main(order["arguments"])
    finally:
        os._exit(1)


if __name__ == "__main__":
    _run()
