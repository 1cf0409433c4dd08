"""`newleaf import`, run as a process beside the server's database."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from storage import database, leads

RUN = "from server.import_command import import_command; import_command()"
FILE = "Name,Mobile\nAda,+1 202-555-0142\nBob,0202-555-0143\nNobody,\nAda again,+12025550142\n"


@pytest.fixture
def run(party, served, tmp_path):
    """Runs the command on a file with this text; answers exit code, stdout, stderr."""

    def runner(text: str, *options: str) -> tuple[int, str, str]:
        (tmp_path / "leads.csv").write_text(text)
        ended = subprocess.run(
            [sys.executable, "-c", RUN, "leads.csv", "--account", party.account_id, "--environment", "test", *options],
            cwd=tmp_path,
            env={**os.environ, "NEWLEAF_DATABASE_URL": served.database_url, "PYTHONPATH": os.getcwd()},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return ended.returncode, ended.stdout, ended.stderr

    return runner


@pytest.fixture
def names(party):
    def read() -> list[str]:
        with database.connection():
            return [lead.name for lead in leads.live(party.tenant()).order_by(leads.Lead.number)]

    return read


def test_file_is_imported_with_a_guessed_mapping(run, names, client):
    code, answer, said = run(FILE, "--tags", "fair, vip", "--json")

    counts = json.loads(answer)
    batch = counts.pop("importBatchId")
    assert code == 0
    assert counts == {
        "total": 4,
        "imported": 2,
        "updated": 0,
        "duplicatesSkipped": 1,
        "errors": 1,
        "errorRows": [{"row": 4, "message": "The row has no phone, no valid e-mail address and no external id."}],
    }
    assert "Mobile" in said
    assert names() == ["Ada", "Bob"]
    assert client.get("/api/leads/1").json()["tags"] == ["fair", "vip"]
    assert client.delete(f"/api/leads/imports/{batch}").json() == {"success": True, "deleted": 2}


def test_second_run_may_update(run, names):
    run(FILE)

    code, answer, said = run(FILE, "--on-duplicate", "update", "--mapping", '{"Name": "name", "Mobile": "phone"}')

    assert code == 0
    assert answer.splitlines()[:5] == ["total: 4", "imported: 0", "updated: 3", "duplicatesSkipped: 0", "errors: 1"]
    assert "row 4: The row has no phone" in said
    assert names() == ["Ada again", "Bob"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        pytest.param(["--mapping", "[1]"], 2, "--mapping is no JSON object", id="mapping that is none"),
        pytest.param(["--mapping", '{"Nix": "phone"}'], 1, "The file has no column 'Nix'.", id="unknown column"),
        pytest.param(["--account", "665f1c2e9b1d4a0012ab34ff"], 1, "Account not found", id="unknown account"),
        pytest.param(["--tags", "x" * 51], 2, "at most 50 characters", id="long tag"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(run, names, options, code, message):
    exit_code, answer, said = run(FILE, *options)

    assert (exit_code, answer) == (code, "")
    assert message in said
    assert "Traceback" not in said
    assert names() == []
