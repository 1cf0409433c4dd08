"""How the tests of the command line run it: as a process, the way a person does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import migrated
from tests.support.live_server import ROOT

Ran = subprocess.CompletedProcess[str]


def environment(**settings: str) -> dict[str, str]:
    """The environment of a process of ours: no setting but these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NEWLEAF_")}
    return {**inherited, "PYTHONPATH": str(ROOT), **settings}


@pytest.fixture
def newleaf(tmp_path: Path) -> Callable[..., Ran]:
    """Runs `newleaf` in an empty folder, with these settings and no others."""

    def run(*arguments: str, stdin: str = "", **settings: str) -> Ran:
        return subprocess.run(
            [sys.executable, "-m", "server.cli", *arguments],
            cwd=tmp_path,
            env=environment(**settings),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.fixture(scope="session")
def _migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "newleaf.db"
    migrated(f"sqlite:///{path}")
    return path


@pytest.fixture
def has_database(_migrated: Path, tmp_path: Path) -> None:
    """The folder that `newleaf` runs in has a database, up to date and empty."""
    shutil.copy(_migrated, tmp_path / "newleaf.db")
