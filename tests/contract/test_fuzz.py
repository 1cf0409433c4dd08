"""Schemathesis over the running server: all checks, all phases, every operation, 0 failures.

FUZZ_EXAMPLES and FUZZ_SECONDS size it: by default the edition that is part of every run, `tox -e fuzz` the long one.
"""

from __future__ import annotations

import collections
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from server.contract import document, operations
from tests.conftest import Party, Served

HERE = Path(__file__).parent / "fuzz"
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "3")
SECONDS = os.environ.get("FUZZ_SECONDS")
SEED = os.environ.get("FUZZ_SEED", "20260101")
PHASES = "examples,coverage,fuzzing,stateful"


def _run(served: Served, party: Party, folder: Path) -> tuple[subprocess.CompletedProcess[str], Path]:
    reached = folder / "reached.jsonl"
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE.parents[2]),
        "SCHEMATHESIS_HOOKS": "tests.contract.fuzz.hooks",
        "FUZZ_BASE_URL": served.base_url,
        "FUZZ_DATABASE_URL": served.database_url,
        "FUZZ_ACCOUNT": party.account_id,
        "FUZZ_REACHED": str(reached),
    }
    command = [sys.executable, "-m", "schemathesis.cli", f"--config-file={HERE / 'schemathesis.toml'}", "run"]
    command += [f"{served.base_url}/openapi.json", "--checks=all", f"--phases={PHASES}", f"--max-examples={EXAMPLES}"]
    command += [f"--seed={SEED}", "--continue-on-failure", "--no-color"]
    command += [f"--max-time={SECONDS}"] if SECONDS else []
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False), reached


def test_schemathesis_finds_no_failure_and_reaches_every_operation(
    served: Served, party: Party, tmp_path: Path
) -> None:
    with party.client() as client:
        client.post("/api/agent-config", json={"name": "Mia", "systemPrompt": "You are Mia.", "goal": "Find out."})

    outcome, reached = _run(served, party, tmp_path)

    assert outcome.returncode == 0, outcome.stdout[-20_000:] + outcome.stderr[-5_000:]
    statuses: dict[str, Any] = collections.defaultdict(collections.Counter)
    for line in reached.read_text().splitlines():
        operation, status = json.loads(line)
        statuses[operation][status] += 1
    never = [
        operation.id
        for operation in operations(document())
        if not any(200 <= status < 300 for status in statuses[operation.id])
    ]
    assert never == [], {name: dict(statuses[name]) for name in never}
