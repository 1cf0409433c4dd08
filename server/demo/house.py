"""The demo's house: a database in a temporary folder with one account in it, and `newleaf serve` over it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from storage import accounts, api_keys, database, migrate, roles
from storage.tenancy import SYSTEM

_LISTENS = re.compile(r"listens on (http://\S+),")
_STOP_TIMEOUT_S = 30
_LOG_LINES = 15


class HouseDown(Exception):
    """The server did not start, or ended; the message carries its last log lines."""


class House:
    """A running server of the demo's own, to be used as a context; the folder goes with it."""

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._folder = tempfile.TemporaryDirectory(prefix="newleaf-demo-")
        self.folder = Path(self._folder.name)
        self.base_url = self.key = ""
        self._process: subprocess.Popen[str] | None = None

    @property
    def log(self) -> Path:
        """Where the server's log lines go."""
        return self.folder / "serve.log"

    def __enter__(self) -> House:
        """Furnish the database and start the server. Raises HouseDown."""
        try:
            url = f"sqlite:///{self.folder}/newleaf.db"
            self.key = _furnish(url)
            self._start(url)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the server and remove the folder."""
        self._end()

    def wait(self) -> None:
        """Return when the server ends by itself, which it should not. Raises HouseDown."""
        assert self._process is not None
        code = self._process.wait()
        raise HouseDown(f"The server ended with exit code {code}.\n{self._last_lines()}")

    def _start(self, url: str) -> None:
        # Nothing of the caller's configuration may lead the demo to their database, queue or model.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NEWLEAF_")}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        command = [sys.executable, "-m", "server.cli", "serve", "--port", str(self._port)]
        with self.log.open("w") as log:
            self._process = subprocess.Popen(  # noqa: S603 (our own interpreter, our own module)
                command,
                cwd=self.folder,
                env=environment | {"NEWLEAF_DATABASE_URL": url},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        said = _LISTENS.search(self._process.stdout.readline())
        if said is None:
            self._process.wait(_STOP_TIMEOUT_S)
            raise HouseDown(f"The server did not start.\n{self._last_lines()}")
        self.base_url = said.group(1)

    def _last_lines(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-_LOG_LINES:])

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()
        self._folder.cleanup()


def _furnish(url: str) -> str:
    """What `newleaf migrate`, `account create` and `key create` do; returns the key of an owner's test environment."""
    opened = database.connect(url)
    migrate.upgrade()
    with database.transaction():
        account = accounts.create("Demo", owner_email="owner@example.com", default_region="US")
        tenant = accounts.tenant_row(account.id, "test").tenant
        made = api_keys.issue(tenant, SYSTEM, name="demo", scopes=roles.scopes_of(["owner"]), roles=["owner"])
    opened.close_all()
    return made.full_key
