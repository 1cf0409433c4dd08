from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from engine import agent_configs
from engine.agents import get_template
from storage import accounts, database
from storage.tenancy import SYSTEM


@pytest.fixture
def make_agent(has_database: None, tmp_path) -> Callable[..., list[str]]:
    """Stores an agent made from a template and whatever else is given; returns how `newleaf simulate` is told of it."""

    def make(**members: object) -> list[str]:
        opened = database.connect(f"sqlite:///{tmp_path}/newleaf.db")
        with database.transaction():
            tenant = accounts.tenant_row(accounts.create("Example").id, "test").tenant
            agent = agent_configs.create(tenant, {**(get_template("sales-qualifier") or {}), **members}, actor=SYSTEM)
        opened.close_all()
        return [agent.oid, "--account", tenant.account_id, "--environment", "test"]

    return make


def test_good_agent_passes(newleaf, make_agent):
    ran = newleaf("simulate", *make_agent())

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[0].split()[:3] == ["ok", "eager", "qualified"]
    assert ran.stdout.splitlines()[-1] == "8 of 8 passed, version 1"


def test_bad_agent_fails_the_build_and_says_why(newleaf, make_agent):
    agent = make_agent(handoffMessage="We never discuss politics, but a colleague does.")

    ran = newleaf("simulate", *agent, "--persona", "wants-a-person", "--persona", "eager")

    assert ran.returncode == 1
    assert "forbidden_topic: The agent mentioned 'politics'." in ran.stdout
    assert ran.stdout.splitlines()[-1] == "1 of 2 passed, version 1"


def test_report_as_json_has_all_that_was_said(newleaf, make_agent):
    ran = newleaf("simulate", *make_agent(), "--persona", "eager", "--max-turns", "2", "--json")

    report = json.loads(ran.stdout)
    assert (ran.returncode, report["passed"], report["results"][0]["outcome"]) == (1, False, "open")
    assert [message["role"] for message in report["results"][0]["transcript"]] == ["agent", "lead", "agent"]


def test_unknown_agent_is_said_plainly(newleaf, make_agent):
    _, *where = make_agent()

    ran = newleaf("simulate", "0f" * 12, *where)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "Error: Agent not found\n"


def test_unknown_persona_is_told_which_there_are(newleaf, make_agent):
    ran = newleaf("simulate", *make_agent(), "--persona", "nobody")

    assert ran.returncode == 2
    assert "'nobody' is none of eager, vague" in ran.stderr
