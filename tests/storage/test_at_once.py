"""Asking SQLite without waiting: what takes long gives up, whole."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from storage import database as db
from storage.database import TooSlow, at_once, connection, database, transaction

COUNTING = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT {}) SELECT COUNT(*) FROM n"


@pytest.fixture(autouse=True)
def opened(tmp_path: Path):
    before = database.obj
    opened = db.connect(f"sqlite:///{tmp_path}/one.db")
    with connection():
        database.execute_sql("CREATE TABLE thing (id INTEGER PRIMARY KEY)")
    yield
    opened.close_all()
    database.initialize(before)


def count(rows: int) -> int:
    return database.execute_sql(COUNTING.format(rows)).fetchone()[0]


def test_what_is_quick_is_done() -> None:
    with at_once(5):
        assert count(1_000) == 1_000


def test_what_takes_long_gives_up() -> None:
    with pytest.raises(TooSlow), at_once(0.001):
        count(100_000_000)


def test_later_rows_take_long_too() -> None:
    rows = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 100000000) SELECT x FROM n"
    with pytest.raises(TooSlow), at_once(0.005):
        list(database.execute_sql(rows))


def test_time_is_for_all_statements_together() -> None:
    with pytest.raises(TooSlow), at_once(0.02):
        all(map(count, [1_000] * 100_000))


def test_next_one_has_its_own_time() -> None:
    with pytest.raises(TooSlow), at_once(0.001):
        count(100_000_000)

    with at_once(5):
        assert count(100_000) == 100_000


def test_lock_of_another_is_not_waited_for() -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction():
            held.set()
            assert done.wait(10)

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(10)
    try:
        with pytest.raises(TooSlow), at_once(5):
            database.execute_sql("INSERT INTO thing VALUES (1)")
    finally:
        done.set()
        other.join()


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(Exception, match="no such table"), at_once(5):
        database.execute_sql("SELECT * FROM nowhere")


def test_other_threads_take_their_time() -> None:
    with at_once(0.000_001):
        counted: list[int] = []
        thread = threading.Thread(target=lambda: _count_into(counted))
        thread.start()
        thread.join()

    assert counted == [200_000]


def _count_into(counted: list[int]) -> None:
    with connection():
        counted.append(count(200_000))
