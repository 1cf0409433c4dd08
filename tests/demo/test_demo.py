from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from server.demo import reckoning
from server.demo.api import Api, StepFailed, expect
from server.demo.house import House
from server.demo.telling import Telling, curl
from tests.cli.conftest import environment

TIMEOUT_S = 120


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "server.cli", "demo", *arguments]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the demo makes its temporary folder, so that a test sees whether it is gone afterwards."""
    (tmp_path / "tmp").mkdir()
    return tmp_path


def surroundings(folder: Path) -> dict[str, str]:
    return environment(TMPDIR=str(folder / "tmp"), NEWLEAF_DATABASE_URL="sqlite:////must/not/be/used.db")


def test_demo_once_plays_every_step_and_leaves_nothing(folder):
    ran = subprocess.run(
        command("--once"), cwd=folder, env=surroundings(folder), capture_output=True, text=True, timeout=TIMEOUT_S
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Every step held." in ran.stdout
    for moment in ("stage Discovery → Fit", "is qualified", "is disqualified", "active → handed_off", "deal_value"):
        assert moment in ran.stdout
    told = " ".join(ran.stdout.split())
    assert "22 to be contacted. Left out: 2 (no_valid_phone), 1 (opted_out)" in told
    assert "↳ 22 sent, 0 to go, 3 left out" in told
    assert re.search(r"Sales qualifier \d+ \d \d [\d.]+ % [\d.]+ to [\d.]+ % All at once \d+ \d \d [\d.]+ %", told)
    assert re.search(r"Winner: none\. It is too early to compare: the variants have \d+ / \d+ leads\.", told)
    assert "fair 24 22 9 3" in told
    assert re.search(r"Verified: \d+ entries, .* Last hash: [0-9a-f]{64} ", told)
    assert list((folder / "tmp").iterdir()) == []


def test_demo_ends_with_1_where_a_step_does_not_hold(folder):
    (folder / "empty.csv").write_text("")

    ran = subprocess.run(
        command("--once", "--csv", "empty.csv"),
        cwd=folder,
        env=surroundings(folder),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )

    assert ran.returncode == 1
    assert "This step did not hold: empty.csv has no columns" in ran.stdout


def test_demo_goes_on_serving_with_the_key_it_prints_until_interrupted(folder):
    (folder / "one.csv").write_text("Name,Phone\nAda Example,+12025550142\n")
    process = subprocess.Popen(
        command("--csv", "one.csv"), cwd=folder, env=surroundings(folder), stdout=subprocess.PIPE, text=True
    )
    try:
        told = ""
        while "/api/conversations?limit=1" not in told:
            line = process.stdout.readline()
            assert line, told
            told += line
        base_url = re.search(r"Base URL +(\S+)", told).group(1)
        key = re.search(r"Test key +(\S+)", told).group(1)
        found = httpx.get(
            f"{base_url}/api/leads", params={"statuses": "qualified"}, headers={"X-API-Key": key}, trust_env=False
        ).json()
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=TIMEOUT_S)

    assert "Ada Example" in [lead["name"] for lead in found["leads"]]
    assert told.count("curl -s ") == 3
    assert process.returncode == 0, rest
    assert list((folder / "tmp").iterdir()) == []


def test_demos_leads_have_the_usual_difficulties():
    from server.demo.command import LEADS

    text = LEADS.read_text()

    assert text.startswith('"Record ID","First Name"')
    for difficulty in ('""', "\nand", "tel:", "E+11", " / ", "=HYPERLINK", "'+1"):
        assert difficulty in text


def test_curl_line_carries_key_and_body():
    line = curl("http://127.0.0.1:1", "nl_test_x", "POST", "/api/leads", {"phone": "+12025550142"})

    assert line.startswith("curl -s -X POST -H 'X-API-Key: nl_test_x'")
    assert json.dumps({"phone": "+12025550142"}) in line


def test_step_that_does_not_hold_stops_the_story():
    expect(True, "fine")

    with pytest.raises(StepFailed, match="it broke"):
        expect(False, "it broke")


def test_audit_log_edited_by_hand_stops_the_story():
    with House() as house:
        api = Api(house.base_url, house.key, lambda _: None)
        api.post("/api/leads", {"name": "Ada Example", "phone": "+12025550142"}, status=201)
        reckoning.prove(api, Telling())
        with sqlite3.connect(house.folder / "newleaf.db") as database:
            database.execute("UPDATE audit_entry SET actor_name = 'Nobody' WHERE action = 'lead.created'")
        database.close()

        with pytest.raises(StepFailed, match="entry_changed"):
            reckoning.prove(api, Telling())
        api.close()
