"""`newleaf secrets reseal`, and what `newleaf doctor` says before and after."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine import vault
from storage import accounts, database, integrations
from storage.ids import new_id

OLD, NEW = "the old key of some good length it has", "the new key of some good length it has"


@pytest.fixture
def has_integration(has_database: None, tmp_path: Path) -> None:
    """The database in the folder has an integration whose secrets are sealed under the old key."""
    vault.configure(OLD)
    opened = database.connect(f"sqlite:///{tmp_path}/newleaf.db")
    with database.transaction():
        tenant, oid = accounts.tenant_row(accounts.create("Example").id, "live").tenant, new_id()
        sealed = vault.seal(tenant, oid, {"botToken": "1:a-bot-token", "secretToken": "a"})
        integrations.add(tenant, "telegram", oid=oid, settings={}, secrets=sealed, secret_hints={})
    opened.close_all()
    vault.configure(None)


@pytest.mark.usefixtures("has_integration")
def test_resealed_secrets_open_with_the_new_key_alone(newleaf):
    shut = newleaf("doctor", "--json", NEWLEAF_SECRET_KEY=NEW)
    both = newleaf("doctor", NEWLEAF_SECRET_KEY=f"{NEW},{OLD}")
    ran = newleaf("secrets", "reseal", "--json", NEWLEAF_SECRET_KEY=f"{NEW},{OLD}")
    after = newleaf("doctor", NEWLEAF_SECRET_KEY=NEW)

    [check] = [each for each in json.loads(shut.stdout)["checks"] if each["name"] == "secrets"]
    assert (shut.returncode, check["says"]) == (1, "integrations that cannot be opened: 1")
    assert "integrations under an older one: 1" in both.stdout
    assert (ran.returncode, json.loads(ran.stdout)) == (0, {"resealed": 1})
    assert (after.returncode, "older" in after.stdout) == (0, False)


@pytest.mark.usefixtures("has_integration")
@pytest.mark.parametrize(
    ("settings", "says"),
    [({}, "Set NEWLEAF_SECRET_KEY"), ({"NEWLEAF_SECRET_KEY": NEW}, "under another key")],
    ids=["no key", "wrong key"],
)
def test_what_cannot_be_resealed_is_said_in_a_line(newleaf, settings, says):
    ran = newleaf("secrets", "reseal", **settings)

    assert ran.returncode == 1
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr
