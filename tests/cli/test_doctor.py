from __future__ import annotations

import json
from pathlib import Path

import pytest

from server.doctor import examine
from server.settings import settings


@pytest.fixture
def examined(has_database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Examines the folder with a database in it, with these settings and no others."""

    def run(**values: str):
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        return examine()

    monkeypatch.chdir(tmp_path)
    yield run
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.usefixtures("has_database")
def test_doctor_finds_a_working_installation_well(newleaf):
    ran = newleaf("doctor", "--json")

    answer = json.loads(ran.stdout)
    assert ran.returncode == 0
    assert answer["ok"] is True
    assert [check["name"] for check in answer["checks"]] == [
        *("settings", "database", "migrations", "secrets", "queue", "limits", "model", "sandbox"),
    ]


def test_doctor_creates_nothing(newleaf, tmp_path):
    ran = newleaf("doctor")

    assert ran.returncode == 1
    assert "fix: Run `newleaf migrate`, which creates it." in ran.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "values", "fix"),
    [
        ("settings", {"NEWLEAF_LIMIT_KEY": "many"}, "environment"),
        ("database", {"NEWLEAF_DATABASE_URL": "mysql://h/d"}, "NEWLEAF_DATABASE_URL"),
        ("database", {"NEWLEAF_DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/d"}, "NEWLEAF_DATABASE_URL"),
        ("queue", {"NEWLEAF_QUEUE_URL": "redis://:secret@127.0.0.1:1"}, "NEWLEAF_QUEUE_URL"),
        ("limits", {"NEWLEAF_LIMITS_URL": "memcached://h"}, "NEWLEAF_LIMITS_URL"),
        ("secrets", {"NEWLEAF_SECRET_KEY": "a secret too short"}, "NEWLEAF_SECRET_KEY"),
        ("model", {"NEWLEAF_MODEL": "openai:some"}, "NEWLEAF_MODEL_API_KEY"),
        ("model", {"NEWLEAF_MODEL": "magic"}, "NEWLEAF_MODEL"),
        ("sandbox", {"NEWLEAF_SANDBOX_MODEL": "openai-compatible:some"}, "NEWLEAF_MODEL_BASE_URL"),
    ],
    ids=[
        "number",
        "engine",
        "no server",
        "no queue",
        "limits store",
        "short key",
        "no model key",
        "no model",
        "no base URL",
    ],
)
def test_doctor_names_what_is_wrong_and_its_fix(examined, name, values, fix):
    wrong = [check for check in examined(**values) if not check.is_ok]

    assert [check.name for check in wrong] == [name]
    assert fix in wrong[0].fix
    assert "secret" not in wrong[0].says + wrong[0].fix
