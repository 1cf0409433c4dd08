"""The two databases of the servers written by hand, and where their handlers run.

SQLite answers at once, so its handlers run on the loop over one connection. PostgreSQL makes them wait: they run in
threads, each request with a connection of the pool from its key to its last statement. Measured beside psycopg's
asynchronous pool with the same statements: a list 655 a second against 511, one lead 1,126 against 1,070.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import psycopg
from anyio import CapacityLimiter, to_thread
from psycopg_pool import ConnectionPool
from starlette.responses import Response

Work = Callable[["Database"], Response]

_PRAGMAS = (
    *("journal_mode = wal", "synchronous = full", "foreign_keys = 1", "cache_size = -65536", "temp_store = memory"),
)
_CONNECTIONS = 16


class Duplicate(Exception):
    """A unique index refuses the row."""


class Database(Protocol):
    """A connection as the handlers use it."""

    def one(self, sql: str, values: Sequence[Any]) -> Any:
        """The first row, or None."""

    def all(self, sql: str, values: Sequence[Any]) -> list[Any]:
        """Every row."""

    def change(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each of these rows of values. Raises Duplicate."""

    def transaction(self) -> AbstractContextManager[Any]:
        """All or nothing."""


class Sqlite:
    """One connection, in autocommit but for its transactions."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=30, cached_statements=256)
        for pragma in _PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}")

    def one(self, sql: str, values: Sequence[Any]) -> Any:
        """The first row, or None."""
        return self._connection.execute(sql, values).fetchone()

    def all(self, sql: str, values: Sequence[Any]) -> list[Any]:
        """Every row."""
        return self._connection.execute(sql, values).fetchall()

    def change(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each of these rows of values. Raises Duplicate."""
        try:
            self._connection.executemany(sql, rows)
        except sqlite3.IntegrityError as error:
            raise Duplicate from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; the only one that writes."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


class Postgres:
    """A connection of the pool, in autocommit but for its transactions."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self.transaction = connection.transaction

    def one(self, sql: str, values: Sequence[Any]) -> Any:
        """The first row, or None."""
        return self._connection.execute(sql, values).fetchone()

    def all(self, sql: str, values: Sequence[Any]) -> list[Any]:
        """Every row."""
        return self._connection.execute(sql, values).fetchall()

    def change(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each of these rows of values. Raises Duplicate."""
        try:
            if len(rows) == 1:
                self._connection.execute(sql, rows[0])
            else:
                self._connection.cursor().executemany(sql, rows)
        except psycopg.IntegrityError as error:
            raise Duplicate from error


def _on_the_loop(path: str) -> Callable[[Work], Awaitable[Response]]:
    database = Sqlite(path)

    async def run(work: Work) -> Response:
        return work(database)

    return run


def _in_threads(url: str) -> Callable[[Work], Awaitable[Response]]:
    pool = ConnectionPool(url, min_size=_CONNECTIONS, max_size=_CONNECTIONS, kwargs={"autocommit": True}, open=True)
    threads = CapacityLimiter(_CONNECTIONS)

    def hold(work: Work) -> Response:
        with pool.connection() as connection:
            return work(Postgres(connection))

    async def run(work: Work) -> Response:
        return await to_thread.run_sync(hold, work, limiter=threads)

    return run


URL = os.environ["NEWLEAF_DATABASE_URL"]
IS_SQLITE = URL.startswith("sqlite")
run = _on_the_loop(URL.removeprefix("sqlite:///")) if IS_SQLITE else _in_threads(URL)
