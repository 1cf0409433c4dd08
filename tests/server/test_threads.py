"""Where handlers run: a pool of threads, and SQLite's reads on the event loop while they are quick."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from server import execution, threads
from server.threads import Threads, WriterThread
from storage import database as storage_database
from storage.database import after_commit, connection, database
from tests.conftest import Party

word: contextvars.ContextVar[str] = contextvars.ContextVar("word")


def run(*calls: tuple[Callable[..., object], object]) -> list[object]:
    async def all_of_them() -> list[object]:
        pool = Threads(2)
        word.set("said")
        try:
            return await asyncio.gather(*(pool.run(*call) for call in calls), return_exceptions=True)
        finally:
            pool.close()

    return asyncio.run(all_of_them())


def test_answers_and_errors_come_back_to_who_asked() -> None:
    given, refused, given_again = run((int, "1"), (int, "x"), (int, "2"))

    assert (given, type(refused), given_again) == (1, ValueError, 2)


def test_context_of_the_caller_goes_along() -> None:
    assert run((lambda _: word.get(), None)) == ["said"]


def test_calls_run_beside_each_other() -> None:
    both = threading.Barrier(2, timeout=10)

    assert sorted(run((lambda _: both.wait(), None), (lambda _: both.wait(), None))) == [0, 1]


def test_cancelled_call_ends_without_a_listener() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert go_on.wait(10)

    async def cancel() -> None:
        pool = Threads(1)
        task = asyncio.create_task(pool.run(work))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        pool.close()
        await asyncio.sleep(0)

    asyncio.run(cancel())


@pytest.mark.parametrize("limit_s", [0.0, 10.0])
def test_read_is_answered_alike_whether_it_takes_long_or_not(
    serve: Callable[..., str], make_account: Callable[..., Party], monkeypatch: pytest.MonkeyPatch, limit_s: float
) -> None:
    monkeypatch.setattr(execution, "_AT_ONCE_S", limit_s)
    monkeypatch.setattr(execution, "_PAUSE_S", 0.0)
    with make_account(serve()).client() as client:
        made = client.post("/api/leads", json={"phone": "+12025550101", "name": "Ada Example"}).json()

        assert client.get(f"/api/leads/{made['id']}").json() == made
        assert client.get("/api/leads").json() == [made]


class TestWriterThread:
    @pytest.fixture(autouse=True)
    def empty(self, tmp_path: Path) -> Iterator[None]:
        before = database.obj
        opened = storage_database.connect(f"sqlite:///{tmp_path}/one.db")
        with connection():
            database.execute_sql("CREATE TABLE thing (id INTEGER PRIMARY KEY)")
        yield
        opened.close_all()
        database.initialize(before)

    def test_what_waits_is_committed_together_and_each_is_told_its_own(self) -> None:
        commits: list[int] = []

        def insert(number: int) -> int:
            database.execute_sql("INSERT INTO thing VALUES (?)", (number,))
            after_commit(lambda: commits.append(database.execute_sql("SELECT COUNT(*) FROM thing").fetchone()[0]))
            return number

        async def write() -> list[Any]:
            writer = WriterThread()
            try:
                numbers = [*range(20), 7]
                return await asyncio.gather(*(writer.run(insert, each) for each in numbers), return_exceptions=True)
            finally:
                writer.close()

        *answers, refused = asyncio.run(write())

        assert answers == list(range(20))
        assert "UNIQUE" in str(refused)
        assert commits[-1] == 20
        assert len(set(commits)) < 20

    def test_commit_that_fails_is_everybodys_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def failing(units: Iterator[Callable[[], Any]]) -> None:
            for unit in units:
                unit()
            raise OSError("the disk is full")

        monkeypatch.setattr(threads, "commit_together", failing)

        async def write() -> list[Any]:
            writer = WriterThread()
            try:
                return await asyncio.gather(*(writer.run(int, "1") for _ in range(3)), return_exceptions=True)
            finally:
                writer.close()

        assert [type(each) for each in asyncio.run(write())] == [OSError] * 3

    def test_close_lets_what_was_begun_be_finished(self) -> None:
        async def write() -> list[int]:
            writer = WriterThread()
            calls = [asyncio.create_task(writer.run(int, str(each))) for each in range(100)]
            await asyncio.sleep(0)
            await asyncio.to_thread(writer.close)
            return await asyncio.gather(*calls)

        assert asyncio.run(write()) == list(range(100))
