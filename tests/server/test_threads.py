"""Where handlers run: a pool of threads, and SQLite's reads on the event loop while they are quick."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable

import pytest

from server import execution
from server.threads import Threads
from tests.conftest import Party

word: contextvars.ContextVar[str] = contextvars.ContextVar("word")


def run(*calls: tuple[Callable[..., object], object]) -> list[object]:
    async def all_of_them() -> list[object]:
        threads = Threads(2)
        word.set("said")
        try:
            return await asyncio.gather(*(threads.run(*call) for call in calls), return_exceptions=True)
        finally:
            threads.close()

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
        threads = Threads(1)
        task = asyncio.create_task(threads.run(work))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        threads.close()
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
