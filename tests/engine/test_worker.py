"""Workers that die, are slow, are many, or are asked to stop: every row's effect happens once."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine import inbound, turns
from engine.jobs import doorbell, registry, worker
from engine.jobs.registry import LEASE_S, Task, job
from engine.jobs.worker import Worker
from storage import clock, database, outbox
from storage import conversations as rows
from storage.database import after_commit, transaction
from storage.outbox import OutboxRow

PATIENCE_S = 30


class Died(BaseException):
    """The process is gone: nothing that it could still have recorded is recorded."""


@pytest.fixture
def jobs(monkeypatch):
    """A registry of this test's own, beside what is registered."""
    monkeypatch.setattr(registry, "_jobs", dict(registry._jobs))


def state(row_id):
    return OutboxRow.get_by_id(row_id).state


class TestCrash:
    def test_worker_that_dies_between_model_and_commit_speaks_once(
        self, tenant, make_conversation, model, said, advance, monkeypatch
    ):
        conversation = make_conversation()
        taken = inbound.simulate(tenant, conversation.oid, "Hi")
        store = turns._store
        monkeypatch.setattr(turns, "_store", lambda *_: (_ for _ in ()).throw(Died()))

        with pytest.raises(Died):
            worker.work_lane(conversation.oid)
        monkeypatch.setattr(turns, "_store", store)
        before_the_lease_ends = worker.work_lane(conversation.oid)
        advance(turns.LEASE_S + 1)
        worker.work_lane(conversation.oid)

        assert before_the_lease_ends == 0
        assert len(model.asked) == 2
        assert said(conversation.oid)[1:] == ["Hi", "re: Hi"]
        assert state(taken.turn_row) == "done"

    def test_worker_that_dies_in_the_model_is_replaced(self, tenant, make_conversation, model, said, advance):
        conversation = make_conversation()
        inbound.simulate(tenant, conversation.oid, "Hi")
        model.prepared = [Died()]

        with pytest.raises(Died):
            worker.work_lane(conversation.oid)
        advance(turns.LEASE_S + 1)
        worker.work_lane(conversation.oid)

        assert said(conversation.oid)[1:] == ["Hi", "re: Hi"]

    def test_worker_slower_than_its_lease_is_rolled_back(self, tenant, make_conversation, model, said, advance):
        conversation = make_conversation()
        inbound.simulate(tenant, conversation.oid, "Hi")

        def overtake(_context):
            model.before = None
            advance(turns.LEASE_S + 1)
            assert worker.work_lane(conversation.oid) == 1

        model.before = overtake
        worker.work_lane(conversation.oid)

        assert len(model.asked) == 2
        assert said(conversation.oid)[1:] == ["Hi", "re: Hi"]

    def test_row_that_kills_every_worker_is_parked(self, tenant, make_conversation, model, advance):
        conversation = make_conversation()
        taken = inbound.simulate(tenant, conversation.oid, "Hi")
        model.prepared = [Died()] * 20

        for _ in range(worker.MAX_CRASHES):
            with pytest.raises(Died):
                worker.work_lane(conversation.oid)
            advance(turns.LEASE_S + 1)
        worker.work_lane(conversation.oid)

        assert state(taken.turn_row) == "failed"
        assert rows.get(tenant, conversation.oid).status == "handed_off"

    def test_workers_that_are_killed_do_not_count_as_failures_of_the_row(self, tenant, jobs, advance):
        ends = [*[Died()] * (registry.MAX_ATTEMPTS + 2), ZeroDivisionError("by zero"), Died(), None]

        @job("unlucky")
        def unlucky(task: Task) -> None:
            if (end := ends.pop(0)) is not None:
                raise end
            with transaction():
                task.complete()

        row_id = outbox.put(tenant, "unlucky", "a", {})
        while ends:
            with contextlib.suppress(Died):
                worker.work_lane("a")
            advance(LEASE_S + 1)

        row = OutboxRow.get_by_id(row_id)
        assert (row.state, row.failures) == ("done", 1)

    def test_job_that_raises_comes_back_later(self, tenant, jobs, advance):
        tries = []

        @job("flaky")
        def flaky(task: Task) -> None:
            tries.append(task.claim.attempts)
            if len(tries) < 2:
                raise ZeroDivisionError("by zero")
            with transaction():
                task.complete()

        row_id = outbox.put(tenant, "flaky", "a", {})
        worker.work_lane("a")
        error = OutboxRow.get_by_id(row_id).error
        advance(outbox.FIRST_DELAY_S)
        worker.work_lane("a")

        assert (tries, error, state(row_id)) == ([1, 2], "by zero", "done")

    def test_job_that_forgets_to_complete_is_an_error(self, tenant, jobs):
        job("forgetful")(lambda task: None)
        row_id = outbox.put(tenant, "forgetful", "a", {})

        worker.work_lane("a")

        assert "without completing" in OutboxRow.get_by_id(row_id).error

    def test_kind_of_a_newer_version_waits_for_a_worker_that_knows_it(self, tenant):
        row_id = outbox.put(tenant, "telepathy", "a", {})

        worker.work_lane("a")

        assert state(row_id) == "pending"
        assert "telepathy" in OutboxRow.get_by_id(row_id).error


class TestWorkers:
    @pytest.fixture
    def done(self, jobs):
        """A kind of job, `note`, that notes what it did; wait for it with `until`."""

        class Done:
            def __init__(self):
                self.noted: list = []
                self.changed = threading.Condition()

            def until(self, count):
                with self.changed:
                    assert self.changed.wait_for(lambda: len(self.noted) >= count, PATIENCE_S), self.noted

        done = Done()

        @job("note")
        def note(task: Task) -> None:
            with transaction():
                task.complete()
            with done.changed:
                done.noted.append(task.payload["n"])
                done.changed.notify_all()

        return done

    @pytest.fixture
    def start(self):
        started = []

        def start(**options):
            started.append(Worker(**options))
            started[-1].start()
            return started[-1]

        yield start
        for each in started:
            assert each.stop(PATIENCE_S)

    def test_ring_after_commit_brings_a_worker(self, tenant, bell, done, start):
        start(concurrency=1, sweep_s=3600)  # its first sweep is at the start; then only rings count
        outbox.put(tenant, "note", "a", {"n": 1})
        doorbell.ring("a")
        done.until(1)

        with transaction():
            outbox.put(tenant, "note", "b", {"n": 2})
            after_commit(lambda: doorbell.ring("b"))

        done.until(2)
        assert done.noted == [1, 2]

    def test_sweep_finds_what_nobody_rang_for(self, tenant, bell, done, start):
        start(concurrency=2, sweep_s=0.05)

        for number in range(5):
            outbox.put(tenant, "note", f"lane-{number}", {"n": number})

        done.until(5)
        assert sorted(done.noted) == list(range(5))

    def test_two_workers_do_each_row_once(self, tenant, bell, done, start):
        for number in range(40):
            outbox.put(tenant, "note", f"lane-{number % 8}", {"n": number})

        start(concurrency=3, sweep_s=0.05)
        start(concurrency=3, sweep_s=0.05)

        done.until(40)
        assert sorted(done.noted) == list(range(40))
        for lane in range(8):
            in_lane = [number for number in done.noted if number % 8 == lane]
            assert in_lane == sorted(in_lane)

    def test_without_a_queue_the_sweep_suffices(self, tenant, done, start):
        doorbell.close()
        doorbell.ring("a")
        outbox.put(tenant, "note", "a", {"n": 1})

        start(concurrency=1, sweep_s=0.05)

        done.until(1)

    def test_stop_waits_for_what_is_in_hand_and_takes_nothing_new(self, tenant, bell, jobs):
        begun, go_on = threading.Event(), threading.Event()

        @job("slow")
        def slow(task: Task) -> None:
            begun.set()
            assert go_on.wait(PATIENCE_S)
            with transaction():
                task.complete()

        first, second = (outbox.put(tenant, "slow", "a", {}) for _ in range(2))
        running = Worker(concurrency=1, sweep_s=0.05)
        running.start()
        assert begun.wait(PATIENCE_S)

        with ThreadPoolExecutor(1) as pool:
            stopping = pool.submit(running.stop, PATIENCE_S)
            assert running._stopping.wait(PATIENCE_S)
            go_on.set()
            assert stopping.result()

        assert (state(first), state(second)) == ("done", "pending")

    def test_stop_gives_up_on_work_that_does_not_end(self, tenant, bell, jobs):
        begun, go_on = threading.Event(), threading.Event()

        @job("stuck")
        def stuck(task: Task) -> None:
            begun.set()
            go_on.wait(PATIENCE_S)

        outbox.put(tenant, "stuck", "a", {})
        running = Worker(concurrency=1, sweep_s=0.05)
        running.start()
        assert begun.wait(PATIENCE_S)

        assert running.stop(0.01) is False
        go_on.set()
        assert running.stop(PATIENCE_S)


class TestSettle:
    def test_row_is_done_in_this_thread_if_nobody_has_it(self, tenant, make_conversation, model, said):
        conversation = make_conversation()
        taken = inbound.simulate(tenant, conversation.oid, "Hi")

        assert worker.settle(conversation.oid, taken.turn_row)
        assert said(conversation.oid)[-1] == "re: Hi"

    def test_row_in_another_hand_is_waited_for(self, tenant, make_conversation, model, said):
        conversation = make_conversation()
        taken = inbound.simulate(tenant, conversation.oid, "Hi")
        begun, go_on = threading.Event(), threading.Event()

        def hold(_context):
            begun.set()
            assert go_on.wait(PATIENCE_S)

        def work():
            with database.connection():
                worker.work_lane(conversation.oid)

        model.before = hold
        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(work)
            assert begun.wait(PATIENCE_S)
            assert worker.settle(conversation.oid, taken.turn_row, within_s=0.01) is False
            go_on.set()
            assert worker.settle(conversation.oid, taken.turn_row, within_s=PATIENCE_S)
            working.result()

        assert said(conversation.oid)[1:] == ["Hi", "re: Hi"]

    def test_row_that_comes_back_much_later_is_not_waited_for(self, tenant):
        row_id = outbox.put(tenant, "telepathy", "a", {})
        held = outbox.claim(clock.now(), lambda kind: LEASE_S)
        outbox.retry(held, "later", clock.parse("2999-01-01"))

        assert worker.settle("a", row_id) is False
