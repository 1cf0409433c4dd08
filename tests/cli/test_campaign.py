"""`newleaf campaign watch`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import agent_configs
from engine.agents import get_template
from engine.campaigns import lifecycle
from engine.jobs.worker import work_next
from storage import accounts, database, leads
from storage.leads import NewLead
from storage.tenancy import SYSTEM, Tenant

from .conftest import environment

DONE = "Spring offer: completed (finished), 2 of 2 leads done: 2 sent, 2 delivered, 0 left out"


@pytest.fixture
def act(has_database: None, tmp_path: Path) -> Callable[..., Any]:
    """Does something with the folder's database; its result."""

    def run(step: Callable[..., Any], *arguments: object, **named: object) -> Any:
        opened = database.connect(f"sqlite:///{tmp_path}/newleaf.db")
        with database.connection():
            result = step(*arguments, **named)
        opened.close_all()
        return result

    return run


@pytest.fixture
def tenant(act) -> Tenant:
    return act(lambda: accounts.tenant_row(accounts.create("Example").id, "test").tenant)


@pytest.fixture
def draft(act, tenant) -> str:
    """The id of a draft that is for two leads."""

    def create() -> str:
        agent_configs.create(tenant, get_template("sales-qualifier") or {}, actor=SYSTEM)
        for number in (1, 2):
            leads.create(tenant, NewLead(name="Ada Example", phone=f"+1202555014{number}"), SYSTEM)
        body = {"name": "Spring offer", "channel": "sms", "message": "Hello {{firstName}}", "leadFilter": {}}
        return lifecycle.create(tenant, body, actor=SYSTEM).oid

    return act(create)


@pytest.fixture
def start(act, tenant, draft) -> Callable[[], None]:
    return lambda: act(lifecycle.start, tenant, draft, actor=SYSTEM)


def work_all() -> None:
    """Do what is due."""
    while work_next():
        pass


@pytest.fixture
def whose(tenant) -> tuple[str, ...]:
    return ("--account", tenant.account_id, "--environment", "test")


def test_watch_tells_changes_until_the_campaign_is_over(act, tenant, draft, start, whose, tmp_path):
    start()
    process = subprocess.Popen(
        [sys.executable, "-m", "server.cli", "campaign", "watch", draft, *whose],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        first = process.stdout.readline()
        act(lifecycle.pause, tenant, draft, actor=SYSTEM)
        second = process.stdout.readline()
        act(lifecycle.resume, tenant, draft, actor=SYSTEM)
        act(work_all)
        rest, _ = process.communicate(timeout=60)
    finally:
        process.kill()

    assert first == "Spring offer: running, 0 of 0 leads done: 0 sent, 0 left out\n"
    assert second == first.replace("running", "paused (requested)")
    assert rest.splitlines()[-1] == DONE
    assert process.returncode == 0


def test_watch_once_prints_one_line(draft, start, whose, newleaf):
    plain = newleaf("campaign", "watch", draft, *whose, "--once")
    start()
    as_json = newleaf("campaign", "watch", draft, *whose, "--once", "--json")

    assert plain.stdout == "Spring offer: draft, 0 of 0 leads done: 0 sent, 0 left out\n"
    body = json.loads(as_json.stdout)
    assert (body["_id"], body["status"], body["stats"]["sent"]) == (draft, "running", 0)


def test_watch_draws_a_bar_in_a_terminal(act, draft, start, whose, newleaf):
    start()
    act(work_all)

    ran = newleaf("campaign", "watch", draft, *whose, FORCE_COLOR="1")

    assert ran.returncode == 0
    assert "2/2" in ran.stdout
    assert ran.stdout.splitlines()[-1].endswith(DONE)


def test_watch_refuses_a_draft_and_what_is_not_there(draft, whose, newleaf):
    unstarted = newleaf("campaign", "watch", draft, *whose)
    unknown = newleaf("campaign", "watch", "665f1c2e9b1d4a0012ab34c1", *whose, "--once")
    foreign = newleaf("campaign", "watch", draft, *whose[:2], "--environment", "live", "--once")

    assert (unstarted.returncode, unstarted.stderr) == (1, "Error: The campaign is a draft: start it first.\n")
    assert [(ran.returncode, ran.stdout) for ran in (unknown, foreign)] == [(1, "")] * 2
    assert unknown.stderr == foreign.stderr != ""
