"""The doorbell: tells workers, here and in other processes, that a lane of the outbox has something due.

Huey carries it: a table beside the database, or Redis/Valkey. It has no acknowledgements, so it carries nothing that
matters: a ring is the name of a lane, and one that is lost only delays, until the next sweep. Therefore not Huey's
tasks but its storages are used: no pickled calls in the queue, no results, no revocations, one write per ring. Huey's
own Consumer is no use here either: it takes over SIGINT, SIGTERM and SIGHUP, which belong to uvicorn, and it cannot
sweep.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import psycopg
import structlog
from huey import PostgresHuey, RedisHuey, SqliteHuey

from storage.database import sqlite_path

_NAME = "newleaf"
_READ_TIMEOUT_S = 1  # how long a storage that can block does so: bounds how late a stop is noticed
_POLL_S = 0.1  # how late a ring from another process is heard beside SQLite, where nothing can block
_CONNECT_TIMEOUT_S = 2
_ADVISORY_LOCK = 0x6265_6C6C  # any number that only the doorbell uses

_log = structlog.get_logger(__name__)
_storage: Any = None
_rung_here = threading.Event()


def configure(database_url: str, queue_url: str | None = None) -> None:
    """Choose what carries rings: `queue_url` (redis, rediss, valkey) if given, else a queue beside the database.

    Raises ValueError for other URLs.
    """
    global _storage
    close()
    _storage = _redis(queue_url) if queue_url else _beside(database_url)


def _redis(url: str) -> Any:
    scheme, _, rest = url.partition("://")
    known = {"redis": "redis", "valkey": "redis", "rediss": "rediss", "valkeys": "rediss"}
    if scheme not in known:
        raise ValueError(f"Unknown queue URL scheme {scheme!r}: use redis://… or valkey://…")
    from redis import ConnectionPool

    pool = ConnectionPool.from_url(
        f"{known[scheme]}://{rest}",
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        socket_timeout=_READ_TIMEOUT_S + _CONNECT_TIMEOUT_S,
    )
    return RedisHuey(_NAME, connection_pool=pool, read_timeout=_READ_TIMEOUT_S).storage


def _beside(database_url: str) -> Any:
    path = sqlite_path(database_url)
    if path is not None:
        return SqliteHuey(_NAME, filename=str(path.with_suffix(".queue.db")), fsync=False).storage
    connect = partial(_connect, database_url)
    with connect() as alone:  # CREATE TABLE IF NOT EXISTS fails when two processes do it at once
        alone.execute("SELECT pg_advisory_lock(%s)", (_ADVISORY_LOCK,))
        return PostgresHuey(_NAME, connection=connect, read_timeout=_READ_TIMEOUT_S).storage


def _connect(url: str) -> psycopg.Connection[Any]:
    connection = psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S)
    connection.execute("SET synchronous_commit TO off")  # a ring need not survive a crash
    return connection


def close() -> None:
    """Let go of the queue; rings are dropped until the next `configure`."""
    global _storage
    storage, _storage = _storage, None
    if storage is not None:
        storage.close()


def ring(lane: str) -> None:
    """Announce a lane. Never raises: what it announces is already committed, and the sweep finds it anyway."""
    storage = _storage
    if storage is None:
        return
    try:
        storage.enqueue(lane.encode())
    except Exception as error:  # each storage has its own driver's errors
        _log.warning("ring_lost", lane=lane, error=repr(error))
    _rung_here.set()


def wait(timeout_s: float) -> str | None:
    """The next announced lane; None if nobody rings for that long (a second may be added), or if it is not configured.

    Raises whatever the storage's driver raises.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        _rung_here.clear()
        data = _storage.dequeue() if _storage is not None else None
        if data is not None:
            return bytes(data).decode()
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        if not getattr(_storage, "blocking", False):
            _rung_here.wait(min(left, _POLL_S))


def leave() -> None:
    """Close the connections that this thread has waited on, before it ends."""
    if _storage is not None:
        _storage.close()


def wake() -> None:
    """Make a `wait` of this process look again at once."""
    _rung_here.set()


def flush() -> None:
    """Forget all rings: what they announced is due and will be found by a sweep."""
    if _storage is not None:
        _storage.flush_queue()
