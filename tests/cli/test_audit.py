"""`newleaf audit verify` and `redact`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from storage import accounts, audit, database
from storage.tenancy import Actor

KEY = {"NEWLEAF_SECRET_KEY": "a key of the tests alone and long enough to be one"}


@pytest.fixture
def account(has_database: None, tmp_path: Path) -> str:
    """An account with an entry, in the folder's database."""
    opened = database.connect(f"sqlite:///{tmp_path}/newleaf.db")
    with database.transaction():
        tenant = accounts.tenant_row(accounts.create("Example").id, "live").tenant
        audit.record(tenant, Actor("user", "u1", "Ada"), "probe.made", "p1", {"name": "Grace"})
    opened.close_all()
    return tenant.account_id


@pytest.fixture
def edit(tmp_path: Path):
    """Runs SQL behind newleaf's back; the rows."""

    def run(sql: str) -> list[tuple[str, ...]]:
        opened = database.connect(f"sqlite:///{tmp_path}/newleaf.db")
        with database.transaction():
            rows = database.database.execute_sql(sql).fetchall()
        opened.close_all()
        return rows

    return run


def test_verify_tells_by_its_exit_code(newleaf, account, edit):
    good = newleaf("audit", "verify", "--account", account, "--json", **KEY)
    edit("UPDATE audit_entry SET action = 'probe.lost' WHERE seq = 1")
    bad = newleaf("audit", "verify", "--account", account, **KEY)

    body = json.loads(good.stdout)
    assert (good.returncode, body["valid"], body["entries"], body["signed"]) == (0, True, 1, True)
    assert (bad.returncode, "Broken at number 1" in bad.stdout, "entry_changed" in bad.stdout) == (1, True, True)


def test_verify_tells_what_retention_removed(newleaf, account, edit):
    newleaf("audit", "verify", "--account", account, **KEY)
    gone = "gone_seq = 1, gone_hash = hash, gone_at = '2026-03-14T00:10:00.000Z'"
    edit(f"UPDATE audit_chain SET {gone}, mac = NULL RETURNING id")
    edit("DELETE FROM audit_entry RETURNING id")
    newleaf("secrets", "reseal", **KEY)

    good = newleaf("audit", "verify", "--account", account, **KEY)

    told = "Retention removed those up to number 1, the last at 2026-03-14T00:10:00.000Z."
    assert (good.returncode, told in good.stdout) == (0, True)


def test_redacted_log_is_valid(newleaf, account, edit):
    wanted = ("--environment", "live", "--type", "probe", "--id", "p1")
    ran = newleaf("audit", "redact", "--account", account, *wanted, **KEY)
    good = newleaf("audit", "verify", "--account", account, **KEY)

    assert (ran.returncode, ran.stdout, good.returncode) == (0, "1 redacted\n", 0)
    assert edit("SELECT actor_name, metadata FROM audit_entry WHERE action = 'probe.made'") == [("", "{}")]


@pytest.mark.usefixtures("has_database")
def test_unknown_account_is_said_in_a_line(newleaf):
    ran = newleaf("audit", "verify", "--account", "nobody", **KEY)

    assert (ran.returncode, "Account not found" in ran.stderr) == (1, True)
