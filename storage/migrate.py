"""Migrations: number + intent, applied in order and recorded in the database that they describe."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from playhouse.migrations import Runner

from .database import connection, database, is_sqlite

DIRECTORY = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 0x6E65776C  # any number that only newleaf's migrations use


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One migrator at a time: SQLite's own write lock suffices, PostgreSQL gets an advisory lock."""
    if is_sqlite():
        yield
        return
    database.execute_sql("SELECT pg_advisory_lock(%s)", (_ADVISORY_LOCK,))
    try:
        yield
    finally:
        database.execute_sql("SELECT pg_advisory_unlock(%s)", (_ADVISORY_LOCK,))


def _runner() -> Runner:
    return Runner(database.obj, directory=str(DIRECTORY))


def pending() -> list[str]:
    """Names of the migrations that this database still lacks, in order."""
    with connection():
        return [migration.name for migration in _runner().status() if not migration.applied]


def upgrade() -> list[str]:
    """Apply what is pending; returns the names applied."""
    with connection(), _alone():
        return list(_runner().up())
