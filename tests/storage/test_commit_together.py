"""Units of work that share one transaction of SQLite, each of them whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peewee import PeeweeException

from storage import database as db
from storage.database import after_commit, commit_together, connection, database, transaction


@pytest.fixture(autouse=True)
def file(tmp_path: Path) -> Iterator[Path]:
    before = database.obj
    path = tmp_path / "one.db"
    opened = db.connect(f"sqlite:///{path}")
    with connection():
        database.execute_sql("CREATE TABLE thing (id INTEGER PRIMARY KEY)")
    yield path
    opened.close_all()
    database.initialize(before)


def inserting(*ids: int) -> Callable[[], int]:
    def unit() -> int:
        with transaction():
            for each in ids:
                database.execute_sql("INSERT INTO thing VALUES (?)", (each,))
        return len(ids)

    return unit


def stored(path: Path) -> list[int]:
    """What another connection sees."""
    with sqlite3.connect(path) as other:
        return [number for (number,) in other.execute("SELECT id FROM thing ORDER BY id")]


def test_all_are_committed_and_answered_in_order(file: Path) -> None:
    assert commit_together([inserting(1, 2), inserting(3)]) == [(2, None), (1, None)]
    assert stored(file) == [1, 2, 3]


def test_one_that_fails_leaves_nothing_and_its_neighbours_whole(file: Path) -> None:
    _, (result, error), _ = commit_together([inserting(1), inserting(2, 1), inserting(3)])

    assert result is None
    assert "UNIQUE" in str(error)
    assert stored(file) == [1, 3]


def test_nothing_is_seen_before_all_is_committed(file: Path) -> None:
    commit_together([inserting(1), lambda: stored(file) == [] or pytest.fail("seen too early"), inserting(2)])

    assert stored(file) == [1, 2]


def test_later_units_see_what_earlier_ones_wrote() -> None:
    count = lambda: database.execute_sql("SELECT COUNT(*) FROM thing").fetchone()[0]  # noqa: E731

    assert commit_together([inserting(1), count, inserting(2), count]) == [(1, None), (1, None), (1, None), (2, None)]


def test_hooks_run_after_the_commit_and_only_those_of_units_that_succeeded(file: Path) -> None:
    told: list[Any] = []

    def unit(number: int, fails: bool) -> None:
        inserting(number)()
        after_commit(lambda: told.append((number, stored(file))))
        if fails:
            raise ValueError(number)

    commit_together([lambda: unit(1, False), lambda: unit(2, True), lambda: unit(3, False)])

    assert told == [(1, [1, 3]), (3, [1, 3])]


def test_hook_that_fails_is_the_error_of_its_own_unit(file: Path) -> None:
    def hook() -> None:
        raise ValueError("hook")

    def unit() -> None:
        inserting(1)()
        after_commit(hook)

    (_, error), neighbour = commit_together([unit, inserting(2)])

    assert isinstance(error, ValueError)
    assert neighbour == (1, None)
    assert stored(file) == [1, 2]


def test_transaction_that_sqlite_gave_up_takes_all_along(file: Path) -> None:
    def rolled_back() -> None:
        inserting(2)()
        database.execute_sql("INSERT OR ROLLBACK INTO thing VALUES (1)")

    with pytest.raises((PeeweeException, sqlite3.Error)):
        commit_together([inserting(1), rolled_back, inserting(3)])

    assert stored(file) == []
