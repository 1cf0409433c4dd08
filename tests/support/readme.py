"""The README as a script: its `console` blocks as commands with what they print, and a shell to run them in."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import httpx

from tests.support.live_server import ROOT, free_port

README = ROOT / "README.md"
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PORT = "8080"
_START_TIMEOUT_S = 60


@dataclass(frozen=True)
class Command:
    """A command as a person types it, and what the README shows after it; `…` stands for anything."""

    text: str
    shown: str

    @property
    def installs(self) -> bool:
        """Whether it fetches packages or runs tox: done by `tox -e install`, not by the ordinary tests."""
        return "pip install" in self.text or self.text.split()[0] == "tox"

    def matches(self, printed: str) -> bool:
        """Whether this was printed, spaces and line ends aside."""
        pattern = ".*".join(re.escape(_squeezed(part)) for part in self.shown.split("…"))
        return re.fullmatch(pattern, _squeezed(printed), re.DOTALL) is not None


def commands() -> list[Command]:
    """Every command of the README, in its order."""
    return [command for block in _BLOCK.findall(README.read_text()) for command in _commands_of(block)]


def _commands_of(block: str) -> list[Command]:
    """A command begins at `$ ` and goes on until its quotes are closed; the lines after it are what it prints."""
    found: list[Command] = []
    lines = block.splitlines()
    while lines:
        text = lines.pop(0).removeprefix("$ ")
        while text.count("'") % 2 and not text.startswith("python3 -c"):
            text += "\n" + lines.pop(0)
        shown = []
        while lines and not lines[0].startswith("$ "):
            shown.append(lines.pop(0))
        found.append(Command(text, "\n".join(shown)))
    return found


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


class Shell:
    """A bash in an empty folder with `newleaf` on its PATH, and `curl`: ours where the machine has none, or if told."""

    def __init__(self, folder: Path, *, own_curl: bool) -> None:
        self._port = str(free_port())
        self._bin = folder / "bin"
        self._bin.mkdir()
        self._write("newleaf", f'exec "{sys.executable}" -m server.cli "$@"')
        self._write("python3", f'exec "{sys.executable}" "$@"')
        if own_curl:
            self._write("curl", f'exec "{sys.executable}" "{ROOT}/tests/support/curl.py" "$@"')
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NEWLEAF_")}
        environment |= {"PATH": f"{self._bin}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
        work = folder / "work"
        work.mkdir()
        self._log = (folder / "stderr").open("w+")
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            cwd=work,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )

    def _write(self, name: str, command: str) -> None:
        script = self._bin / name
        script.write_text(f"#!/bin/sh\n{command}\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)

    def run(self, command: Command) -> str:
        """What the command prints. Raises AssertionError where it fails."""
        text = command.text.replace(_PORT, self._port)
        if text.startswith("newleaf serve"):
            text = text.replace("newleaf serve", f"newleaf serve --port {self._port}")
        self._type(text)
        if text.endswith("&"):
            self._wait_for_server()
        self._type('echo "@@ $?"')
        printed = ""
        while "@@ " not in printed:
            line = self._read()
            printed += line
        output, _, code = printed.rpartition("@@ ")
        assert code.strip() == "0", f"{command.text}\nexit {code}{output}\n{self._complaints()}"
        return output.replace(self._port, _PORT)

    def _type(self, text: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(text + "\n")
        self._bash.stdin.flush()

    def _read(self) -> str:
        assert self._bash.stdout is not None
        line = self._bash.stdout.readline()
        assert line, self._complaints()
        return line

    def _wait_for_server(self) -> None:
        """A person reads that it listens; a connection attempt tells the same."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                httpx.get(
                    f"http://127.0.0.1:{self._port}/healthz", timeout=_START_TIMEOUT_S, trust_env=False, verify=False
                )
            except httpx.ConnectError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(self._complaints())

    def _complaints(self) -> str:
        self._log.flush()
        return Path(self._log.name).read_text()[-3000:]

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the server and the shell."""
        self._bash.communicate("kill $(jobs -p); wait\n", timeout=60)
        self._log.close()
