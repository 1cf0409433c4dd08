"""The database: which engine a URL names, how connections are made, and what a transaction is."""

from __future__ import annotations

import contextlib
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from peewee import DatabaseProxy, OperationalError
from playhouse.pool import PooledDatabase, PooledPostgresqlDatabase, PooledSqliteDatabase

database = DatabaseProxy()

_SQLITE_PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": "full",  # an acknowledged write survives a power cut
    "foreign_keys": 1,
    "secure_delete": 1,  # what is erased is overwritten, not merely forgotten where it was
    "busy_timeout": 30_000,
    "wal_autocheckpoint": 8_000,  # pages, 32 MiB: each checkpoint syncs twice and copies the same hot pages again
    "cache_size": -65_536,
    "temp_store": "memory",
}
_BUSY_TIMEOUT_S = 30

# SQLite lets one writer in; its own waiting is a poll that starves some threads, a lock is fair and cheap.
_sqlite_writer = threading.RLock()
_local = threading.local()

_STEPS = 2_000  # instructions of SQLite between two looks at the clock: some 50 µs
_GAVE_UP = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_INTERRUPT)


class TooSlow(Exception):
    """What was to be done at once would have taken long; nothing of it has happened."""


def open_database(url: str, *, pool_size: int = 16) -> PooledDatabase:
    """A pooled, unopened database for `sqlite:///path` or `postgresql://…`. Raises ValueError for other URLs."""
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        return PooledSqliteDatabase(
            str(sqlite_path(url)),
            pragmas=_SQLITE_PRAGMAS,
            timeout=_BUSY_TIMEOUT_S,
            max_connections=None,
            check_same_thread=False,
        )
    if scheme in ("postgresql", "postgres"):
        return PooledPostgresqlDatabase(
            url, max_connections=pool_size, timeout=30, stale_timeout=300, prefer_psycopg3=True
        )
    raise ValueError(f"Unknown database URL scheme {scheme!r}: use sqlite:///… or postgresql://…")


def connect(url: str, *, pool_size: int = 16) -> PooledDatabase:
    """Make `url` the database of this process and return it."""
    opened = open_database(url, pool_size=pool_size)
    database.initialize(opened)
    return opened


def sqlite_path(url: str) -> Path | None:
    """The file that a SQLite URL names, None for another engine. Raises ValueError where it names none."""
    if not url.startswith("sqlite:"):
        return None
    path = unquote(url.removeprefix("sqlite:///"))
    if not path or path.startswith("sqlite:"):
        raise ValueError("The database URL names no file: use sqlite:///path/to/newleaf.db")
    return Path(path)


def is_sqlite() -> bool:
    """Whether the database of this process is SQLite."""
    return isinstance(database.obj, PooledSqliteDatabase)


@contextlib.contextmanager
def connection() -> Iterator[None]:
    """A connection for this thread, joined if there is one, given back to the pool at the end."""
    if database.is_closed():
        with database.connection_context():
            yield
    else:
        yield


@contextlib.contextmanager
def at_once(limit_s: float) -> Iterator[None]:
    """SQLite without waiting: whatever is asked of it in here gets `limit_s` seconds in all and no lock of another's.

    The thread keeps a connection of its own for it. Raises TooSlow.
    """
    if database.is_closed() or database.connection() is not getattr(_local, "prompt", None):
        _open_prompt()
    _local.until = time.perf_counter() + limit_s
    try:
        yield
    except (OperationalError, sqlite3.OperationalError) as error:  # Peewee's, and the bare one of a later row
        cause: Any = getattr(error, "orig", error)
        if getattr(cause, "sqlite_errorcode", 0) in _GAVE_UP:
            raise TooSlow from error
        raise
    finally:
        _local.until = math.inf


def without_haste() -> None:
    """What follows writes or takes long: raises TooSlow inside of `at_once`, so that it is done elsewhere."""
    if getattr(_local, "until", math.inf) < math.inf:
        raise TooSlow


def _open_prompt() -> None:
    database.connect(reuse_if_open=True)
    _local.until = math.inf
    _local.prompt = opened = database.connection()
    opened.execute("PRAGMA busy_timeout = 0")
    opened.set_progress_handler(lambda: time.perf_counter() > _local.until, _STEPS)


@contextlib.contextmanager
def transaction(*, repeatable: bool = False) -> Iterator[None]:
    """One transaction; inside another it joins it. What `after_commit` was given runs when the outermost is through.

    On SQLite it takes the write lock at once, so what is read inside is still true when it is written.
    `repeatable` asks PostgreSQL for a snapshot, in which a concurrent change raises instead of being overwritten.
    """
    if getattr(_local, "after", None) is not None:
        yield
        return
    after: list[Callable[[], Any]] = []
    _local.after = after
    try:
        with connection(), _outermost(repeatable):
            yield
    finally:
        _local.after = None
    for hook in after:
        hook()


@contextlib.contextmanager
def _outermost(repeatable: bool) -> Iterator[None]:
    if is_sqlite():
        with _sqlite_writer, database.atomic("IMMEDIATE"):
            yield
    else:
        with database.atomic():
            if repeatable:
                database.execute_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield


def commit_together(units: Iterable[Callable[[], Any]]) -> list[tuple[Any, Exception | None]]:
    """Run these units of work in one transaction of SQLite, each whole or not at all; what each returned or raised.

    All of them are committed when this returns, and what they gave `after_commit` has run. Raises what keeps the
    transaction from being committed: then none of them has happened.
    """
    outcomes: list[tuple[Any, Exception | None]] = []
    hooks: list[list[Callable[[], Any]]] = []
    with connection(), _outermost(repeatable=False):
        for unit in units:
            hooks.append([])
            outcomes.append(_savepoint(unit, hooks[-1]))
    for place, (_, error) in enumerate(outcomes):
        if error is None:
            outcomes[place] = _after(outcomes[place], hooks[place])
    return outcomes


def _savepoint(unit: Callable[[], Any], hooks: list[Callable[[], Any]]) -> tuple[Any, Exception | None]:
    # Peewee names each savepoint anew, and each name is another statement to prepare.
    database.execute_sql("SAVEPOINT unit")
    _local.after = hooks
    try:
        result = unit()
    except Exception as error:
        if not database.connection().in_transaction:  # it failed so badly that SQLite gave up the whole transaction
            raise
        database.execute_sql("ROLLBACK TO unit")
        return None, error
    finally:
        _local.after = None
    database.execute_sql("RELEASE unit")
    return result, None


def _after(outcome: tuple[Any, Exception | None], hooks: list[Callable[[], Any]]) -> tuple[Any, Exception | None]:
    try:
        for hook in hooks:
            hook()
    except Exception as error:
        return None, error
    return outcome


def after_commit(hook: Callable[[], Any]) -> None:
    """Run `hook` once the transaction of this thread is committed, never if it is rolled back; at once outside one."""
    after: list[Callable[[], Any]] | None = getattr(_local, "after", None)
    if after is None:
        hook()
    else:
        after.append(hook)
