"""The worker: claims due rows of the outbox, does them, records the outcome.

Threads in the process, driven by rings and by a sweep that finds what nobody rang for or whose lease ran out. Any
number of workers may run, in any number of processes: the database decides who gets a row.
"""

from __future__ import annotations

import contextlib
import queue
import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from engine import audit, metrics
from engine.analytics import folding
from engine.events import sending
from engine.jobs import doorbell, registry
from engine.jobs.registry import Job, Retry, Task
from engine.privacy import erasing
from storage import accounts, clock, deliveries, event_log, idempotency, imports, outbox
from storage.database import connection, transaction
from storage.outbox import Claim, LeaseLost

SWEEP_S = 1.0
HOUSEKEEPING_S = 600.0
MAX_CRASHES = 20  # in a row: no accident then, the row itself kills whoever takes it
DONE_KEPT_FOR = timedelta(days=7)
PACES_KEPT_FOR = timedelta(days=1)
EVENTS_KEPT_FOR = timedelta(days=30)  # and replayable so long
_TURN_S = 1.0  # a lane with a long import lets others have the thread after this
_PAUSE_S = 1.0  # after an error of the database or the queue
_LONGEST_WAIT_S = 0.5  # of an idle thread, so that it notices a stop
_LOST = "lease_lost"
_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.005, 0.1  # how often `settle` looks at a row that somebody else works on

_log = structlog.get_logger(__name__)


def work_next(lane: str | None = None) -> bool:
    """Do one due row, of this lane if one is given; False when there is none."""
    held = outbox.claim(clock.now(), registry.lease_s, lane)
    if held is None:
        return False
    work(held)
    return True


def work_lane(lane: str) -> int:
    """Do what is due in this lane, in order; returns how many rows that were."""
    done = 0
    while work_next(lane):
        done += 1
    return done


def settle(lane: str, row_id: int, within_s: float = 20.0) -> bool:
    """Work the lane in this thread until this row is finished; False if it is not by then, or has to wait longer.

    Where another worker has the lane in hand, look until that one is through. The time bounds the waiting; a job that
    has begun in this thread is brought to its end.
    """
    deadline = time.monotonic() + within_s
    look_s = _FIRST_LOOK_S
    while not outbox.is_finished(row_id):
        if work_next(lane):
            look_s = _FIRST_LOOK_S
            continue
        left = deadline - time.monotonic()
        if left <= 0 or not _is_in_hand(lane, left):
            return outbox.is_finished(row_id)
        time.sleep(min(look_s, left))
        look_s = min(look_s * 2, _LONGEST_LOOK_S)
    return True


def _is_in_hand(lane: str, left_s: float) -> bool:
    """Whether the lane can be expected to move soon: somebody works on its first row, or that row comes due."""
    moves_at = outbox.lane_moves_at(lane)
    return moves_at is None or moves_at <= clock.iso(clock.now() + timedelta(seconds=left_s))


def work(held: Claim, draw: Callable[[], float] = random.random) -> None:
    """Do a claimed row and record the outcome. Never raises for what the job did; `draw` jitters its next attempt."""
    job = registry.of_kind(held.kind) or Job(run=_unknown_kind)
    with connection():
        task = Task(accounts.tenant_by_id(held.tenant_id), held)
    log = _log.bind(kind=held.kind, lane=held.lane, row=held.id, attempt=held.attempts, failures=held.failures)
    started = time.monotonic()
    try:
        if held.crashes >= MAX_CRASHES:
            raise RuntimeError(f"{held.crashes} workers in a row died on it")
        job.run(task)
        if not task.is_settled:
            raise RuntimeError("The job returned without completing its row")
        outcome = task.outcome
    except LeaseLost:
        outcome = _LOST
        log.info("lease_lost")
    except Exception as error:  # whatever a job raises is recorded on its row
        outcome = _record(task, job, error, draw)
        log.warning("job_failed", error=repr(error), exc_info=not isinstance(error, Retry))
    metrics.JOBS.labels(held.kind, outcome).observe(time.monotonic() - started)


def _record(task: Task, job: Job, error: Exception, draw: Callable[[], float]) -> str:
    """Record on the row what was raised; returns what became of it: retried, parked, lease_lost."""
    held, reason = task.claim, str(error) or type(error).__name__
    try:
        failures = held.failures + 1
        if failures < job.max_attempts and held.crashes < MAX_CRASHES:
            delay_s = outbox.backoff_s(failures, draw)
            if isinstance(error, Retry) and error.delay_s is not None:
                delay_s = max(delay_s, error.delay_s)
            outbox.retry(held, reason, clock.now() + timedelta(seconds=delay_s))
            return "retried"
        with transaction():
            outbox.fail(held, reason)
            if job.gave_up is not None:
                job.gave_up(task, reason)
    except LeaseLost:
        _log.info("lease_lost", row=held.id)
        return _LOST
    return "parked"


def _unknown_kind(task: Task) -> None:
    raise Retry(f"This version of newleaf knows no job of kind {task.claim.kind!r}")


class Worker:
    """Threads that do jobs, inside `serve` or alone in `newleaf worker`. Takes no signals: its owner calls `stop`."""

    def __init__(self, concurrency: int = 4, sweep_s: float = SWEEP_S) -> None:
        self._sweep_s = sweep_s
        self._stopping = threading.Event()
        self._lanes: queue.Queue[str] = queue.Queue(maxsize=concurrency)  # bounded: the rest is left to other processes
        self._next_sweep = self._next_housekeeping = 0.0
        self._threads = [threading.Thread(target=self._listen, name="doorbell", daemon=True)] + [
            threading.Thread(target=self._serve, name=f"worker-{number}", daemon=True)
            for number in range(1, concurrency + 1)
        ]

    def start(self) -> None:
        """Begin to work. Returns at once."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 20.0) -> bool:
        """Take nothing new and wait for what is in hand; False if something was still running at the end.

        Nothing is lost then either: its lease runs out, and another worker takes it.
        """
        self._stopping.set()
        doorbell.wake()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        sending.settle(max(0.0, deadline - time.monotonic()))  # calls that the threads have handed over
        return sending.is_idle() and not any(thread.is_alive() for thread in self._threads)

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                lane = doorbell.wait(_LONGEST_WAIT_S)
            except Exception as error:  # the queue is away: the sweep goes on without it
                _log.warning("doorbell_failed", error=repr(error))
                self._stopping.wait(_PAUSE_S)
                continue
            while lane is not None and not self._stopping.is_set():
                try:
                    self._lanes.put(lane, timeout=_LONGEST_WAIT_S)
                    lane = None
                except queue.Full:
                    continue
        doorbell.leave()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                until_sweep_s = self._next_sweep - time.monotonic()
                lane = self._lanes.get(timeout=min(max(0.01, until_sweep_s), _LONGEST_WAIT_S))
            except queue.Empty:
                lane = None
            try:
                self._work(lane)
            except Exception as error:  # the database is away: rows and leases wait there
                _log.error("worker_failed", error=repr(error))
                self._stopping.wait(_PAUSE_S)

    def _work(self, lane: str | None) -> None:
        until = time.monotonic() + _TURN_S
        while lane is not None and not self._stopping.is_set() and work_next(lane):
            if time.monotonic() >= until and not self._lanes.empty():
                with contextlib.suppress(queue.Full):  # then the sweep finds it
                    self._lanes.put_nowait(lane)
                break
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + self._sweep_s  # set first: one thread of the process sweeps at a time
            while not self._stopping.is_set() and work_next():
                continue
            self._count()
            self._keep_house()

    def _count(self) -> None:
        """Bring analytics up to date; after a while the rest is left for the next sweep."""
        until = time.monotonic() + _TURN_S
        with connection():
            while not self._stopping.is_set() and time.monotonic() < until and folding.fold_next():
                continue

    def _keep_house(self) -> None:
        if time.monotonic() < self._next_housekeeping:
            return
        self._next_housekeeping = time.monotonic() + HOUSEKEEPING_S
        with connection():
            outbox.purge(clock.now() - DONE_KEPT_FOR)
            idempotency.purge()
            imports.purge()
            deliveries.purge_paces(clock.now() - PACES_KEPT_FOR)
            erasing.erase_expired()
            event_log.purge(clock.now() - EVENTS_KEPT_FOR)
            audit.seal_all()
            audit.purge_all()
