"""Databases full of leads, made by newleaf alone: its migrations, its account, its key, its import.

So whatever a migration adds (an index, a trigger, a table of counts) is there and filled as it would be in life, and
every server works on a copy of the very same rows.
"""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path

from engine import lead_import
from storage import accounts, api_keys, database, migrate, roles
from storage.imports import Order
from storage.tenancy import SYSTEM

from . import people


@dataclass(frozen=True, slots=True)
class House:
    """A database with leads in it, and a key to it."""

    url: str
    account_id: str
    key: str
    leads: int

    @property
    def path(self) -> Path:
        """The file, of a SQLite database."""
        path = database.sqlite_path(self.url)
        assert path is not None
        return path

    def copy_to(self, path: Path) -> House:
        """A SQLite database with the same rows in another file."""
        with sqlite3.connect(self.path) as source:
            source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        source.close()
        shutil.copyfile(self.path, path)
        return replace(self, url=f"sqlite:///{path}")


def found(url: str) -> House:
    """An empty database with one account and an owner's key."""
    opened = database.connect(url)
    try:
        migrate.upgrade()
        with database.transaction():
            account = accounts.create("Benchmark", default_region="US")
            tenant = accounts.tenant_row(account.id, "live").tenant
            issued = api_keys.issue(tenant, SYSTEM, name="bench", scopes=roles.scopes_of(["owner"]), roles=["owner"])
        return House(url, account.id, issued.full_key, 0)
    finally:
        opened.close_all()


def furnish(house: House, count: int, folder: Path) -> House:
    """The same database with the first `count` people in it, brought in by newleaf's import."""
    file = people.write_csv(folder / f"{count}.csv", count)
    opened = database.connect(house.url)
    try:
        with database.connection():
            tenant = accounts.tenant_row(house.account_id, "live").tenant
            order = Order(people.MAPPING, [], "skip", "US")
            batch = lead_import.import_file(tenant, file, order, SYSTEM, lambda _: None)
            assert (batch.imported, batch.errors) == (count, 0), batch.error_rows
            database.database.execute_sql("ANALYZE")
    finally:
        opened.close_all()
    return replace(house, leads=count)
