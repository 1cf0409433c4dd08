"""A stranger's first minutes: clone, the README's first command, the demo. Run by `tox -e install`."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from tests.support.live_server import ROOT
from tests.support.readme import commands

TIMEOUT_S = 1200
DEMO_LIMIT_S = 30


def test_fresh_clone_installs_and_plays_the_demo(tmp_path: Path) -> None:
    installs = commands()[0].text
    assert installs.endswith("pip install .")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NEWLEAF_", "PYTHON"))}
    environment.pop("VIRTUAL_ENV", None)
    subprocess.run(["git", "clone", "--quiet", str(ROOT), "clone"], cwd=tmp_path, check=True)

    def run(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-ec", script],
            cwd=tmp_path / "clone",
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )

    installed = run(installs)
    began = time.monotonic()
    played = run(". .venv/bin/activate; newleaf demo --once")
    took_s = time.monotonic() - began

    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert played.returncode == 0, played.stdout + played.stderr
    assert took_s < DEMO_LIMIT_S
