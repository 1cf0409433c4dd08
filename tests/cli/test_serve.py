from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.conftest import environment
from tests.conftest import ENGINE, migrated, own_database

STOP_TIMEOUT_S = 60
_HEALTH = r'newleaf_http_request_duration_seconds_count\{method="GET",operation="check_health",status="2xx"\} (\S+)'


@pytest.fixture
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database of this test's own, on the engine under test."""
    if ENGINE == "sqlite":
        url = f"sqlite:///{tmp_path}/served.db"
    else:
        url = own_database(request.getfixturevalue("postgres_url"), "newleaf_cli")
    migrated(url)
    return url


@contextmanager
def running(folder: Path, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """`newleaf` with these arguments as a process, killed at the end if it still runs."""
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "server.cli", *arguments],
            cwd=folder,
            env=environment(**settings),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def log_lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log").read_text().splitlines()]


@pytest.mark.parametrize("workers", ["1", "2"], ids=["one process", "two processes"])
def test_server_says_where_it_listens_answers_and_ends_on_sigterm(tmp_path, migrated_url, workers):
    options = ("--port", "0", "--workers", workers)
    with running(tmp_path, "serve", *options, NEWLEAF_DATABASE_URL=migrated_url) as process:
        said = re.match(r"newleaf listens on (http://127\.0\.0\.1:\d+),", process.stdout.readline())
        answer = httpx.get(f"{said.group(1)}/readyz", timeout=60, trust_env=False)
        process.send_signal(signal.SIGTERM)
        code = process.wait(STOP_TIMEOUT_S)

    assert answer.json()["status"] == "ready"
    assert code == 0
    assert any(line["event"] == "request" for line in log_lines(tmp_path))


def test_each_of_two_processes_tells_the_metrics_of_both(tmp_path, migrated_url):
    folder = tmp_path / "temporary"
    folder.mkdir()
    options = ("--port", "0", "--workers", "2", "--no-worker")
    with running(tmp_path, "serve", *options, NEWLEAF_DATABASE_URL=migrated_url, TMPDIR=str(folder)) as process:
        url = re.match(r"newleaf listens on (\S+),", process.stdout.readline()).group(1)
        for _ in range(20):  # connections of their own, for whichever process takes them
            httpx.get(f"{url}/healthz", timeout=60, trust_env=False)
        counted = set()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while counted != {20.0} and time.monotonic() < deadline:  # a request is counted just after its answer
            pages = [httpx.get(f"{url}/metrics", timeout=60, trust_env=False).text for _ in range(8)]
            counted = {float(re.search(_HEALTH, page).group(1)) for page in pages}
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_TIMEOUT_S)

    assert counted == {20.0}
    assert list(folder.iterdir()) == []


def test_taken_port_is_one_line(tmp_path, migrated_url, newleaf):
    with running(tmp_path, "serve", "--port", "0", NEWLEAF_DATABASE_URL=migrated_url) as process:
        port = re.search(r":(\d+),", process.stdout.readline()).group(1)
        second = newleaf("serve", "--port", port, NEWLEAF_DATABASE_URL=migrated_url)

    assert second.returncode == 1
    assert second.stderr == f"Error: Cannot listen on 127.0.0.1, port {port}: Address already in use\n"


def test_worker_alone_does_what_a_server_without_one_leaves(tmp_path, migrated_url):
    with running(tmp_path, "worker", "--concurrency", "1", NEWLEAF_DATABASE_URL=migrated_url) as process:
        line = ""
        with (tmp_path / "log").open() as log:
            while not line and process.poll() is None:
                line = log.readline()
        process.send_signal(signal.SIGTERM)
        code = process.wait(STOP_TIMEOUT_S)

    assert json.loads(line)["event"] == "worker started"
    assert code == 0
