"""Telling an address what happened: one call at a time, written down before it is made and after.

    claimed ─┬ gone, done, another round: nothing to do
             ├ the address is paused or busy: held
             └ attempt started ─ the call ─┬ 2xx: delivered
                                           ├ 410: the subscription is disabled
                                           └ anything else: again, by the schedule, in a lane of its own

An address may take fifteen seconds, so calls are made by threads of their own: a worker's thread only hands over, and
is free for whatever else is due. A failure pauses the address as a whole, for longer each time; what is new waits in
its order until somebody is there, so a dead address costs a call now and then. A process that dies in a call leaves
`started` behind, and its lease: the event is told again, under the same id.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from engine import metrics
from engine.jobs import doorbell
from engine.jobs.registry import Task, job
from engine.knowledge import fetch
from engine.knowledge.fetch_errors import FetchError, RedirectRefused
from engine.knowledge.urls import Url
from storage import bodies, clock, event_log
from storage.database import transaction
from storage.errors import NewleafError
from storage.event_log import EventAttempt, EventDelivery
from storage.event_subscriptions import EventSubscription
from storage.outbox import LeaseLost

from . import signing

TIMEOUT_S = 15.0
LEASE_S = 60.0  # the call and what is written around it
CALLS_AT_ONCE = 16  # of one process
CALLS_TO_ONE = 2
# After the first attempt, and each that fails: three days and a few hours. Source: the Standard Webhooks specification.
RETRY_AFTER_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 900.0
DISABLED_AFTER = timedelta(days=5)
ANSWER_BYTES = 512
_BUSY_S = 1.0
_LONGEST_WISH_S = 86_400.0  # of a Retry-After
PAUSED, BUSY = "endpoint_paused", "endpoint_busy"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """What is about to be sent, and where."""

    attempt: EventAttempt
    delivery_oid: str
    subscription_oid: str
    url: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call went."""

    outcome: str
    status: int | None = None
    answer: str | None = None
    detail: str | None = None
    retry_after_s: float | None = None


class _Callers:
    """The threads that make calls, and how many are at it, in all and for each address."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="events")
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()
        self._pending: set[Future[None]] = set()

    def take(self, subscription_oid: str, work: Callable[[], None]) -> bool:
        """Have this done, unless too many are at it already."""
        with self._lock:
            if self._busy.total() >= CALLS_AT_ONCE or self._busy[subscription_oid] >= CALLS_TO_ONE:
                return False
            self._busy[subscription_oid] += 1
            future = self._pool.submit(work)
            self._pending.add(future)
        future.add_done_callback(partial(self._done, subscription_oid))
        return True

    def _done(self, subscription_oid: str, future: Future[None]) -> None:
        with self._lock:
            self._busy[subscription_oid] -= 1
            self._pending.discard(future)

    def settle(self, timeout_s: float) -> bool:
        """Wait for the calls that are being made; whether there were any."""
        with self._lock:
            pending = set(self._pending)
        wait(pending, timeout_s)
        return bool(pending)

    def is_idle(self) -> bool:
        """Whether no call is being made."""
        with self._lock:
            return not self._pending


_callers = _Callers()
settle, is_idle = _callers.settle, _callers.is_idle


def _gave_up(task: Task, _reason: str) -> None:
    """Something of ours failed again and again: the delivery waits for a replay."""
    found = event_log.held(task.tenant, task.payload["delivery"])
    if found is not None and found[1].state == "pending":
        _park(found[1], "internal")


@job(event_log.KIND, lease_s=LEASE_S, gave_up=_gave_up)
def send(task: Task) -> None:
    """Tell one subscription of one event: payload {delivery, round}. The call is handed over to another thread."""
    with transaction():
        found = _present(task)
        if found is None:
            return
        subscription, _ = found
        paused = subscription.paused_until
        if paused is not None and paused > clock.stamp():
            task.hold(clock.parse(paused), PAUSED)
            return
    if _callers.take(subscription.oid, partial(_carry, task)):
        task.is_settled = True  # by `_carry`, in its time
        return
    with transaction():
        task.hold(clock.now() + timedelta(seconds=_BUSY_S), BUSY)


def _present(task: Task) -> tuple[EventSubscription, EventDelivery] | None:
    """What is to be delivered and to whom, both held; None where there is nothing to do, and the row is done."""
    found = event_log.held(task.tenant, task.payload["delivery"])
    if found is None or found[1].state != "pending" or found[1].round != task.payload["round"]:
        task.complete()
        return None
    subscription, delivery = found
    if subscription.state != "active":
        task.complete()
        _park(delivery, f"subscription_{subscription.state}")
        return None
    return subscription, delivery


def _carry(task: Task) -> None:
    """The call with what is written before and after it, in a thread of its own; it raises nothing."""
    try:
        call = _begun(task)
        if call is not None:
            started = time.monotonic()
            ended = _call(task, call)
            taken_s = time.monotonic() - started
            metrics.EVENT_CALLS.labels(ended.outcome).observe(taken_s)
            _note(task, call, ended, round(taken_s * 1000))
    except LeaseLost:
        _log.info("lease_lost", row=task.claim.id)
    except Exception as error:  # the lease runs out, and the row is claimed again
        _log.error("event_not_sent", row=task.claim.id, error=repr(error), exc_info=True)
    doorbell.ring(task.claim.lane)


def _begun(task: Task) -> Call | None:
    now = clock.now()
    with transaction():
        found = _present(task)
        if found is None:
            return None
        subscription, delivery = found
        try:
            secrets = signing.secrets_of(task.tenant, subscription, now)
        except NewleafError as error:  # the operator's to mend
            _again(task, subscription, delivery, None, error.code)
            return None
        event = event_log.event_of(task.tenant, delivery)
        attempt = event_log.begin_attempt(task.tenant, delivery)
        signed = signing.headers(secrets, event.oid, event.payload, now)
    headers = {"content-type": "application/json", **signed}
    return Call(attempt, delivery.oid, subscription.oid, subscription.url, headers, event.payload.encode())


def _call(task: Task, call: Call) -> Ended:
    environment = task.tenant.environment
    try:
        answer = fetch.fetcher().fetch(
            environment,
            call.url,
            method="POST",
            headers=call.headers,
            body=call.body,
            may_follow=_follow_nowhere,
            timeout_s=TIMEOUT_S,
            peek=ANSWER_BYTES,
        )
    except RedirectRefused as error:
        return Ended("refused", detail=error.message)
    except FetchError as error:
        return Ended("unreachable", detail=error.message)
    said = _readable(answer.body) if "content-encoding" not in answer.headers else None
    outcome = "accepted" if answer.is_success else "refused"
    return Ended(outcome, answer.status, said, None, answer.retry_after_s)


def _follow_nowhere(_url: Url) -> None:
    raise RedirectRefused("redirect_refused", "It redirects. Subscribe the address that it leads to.")


def _readable(body: bytes) -> str | None:
    text = "".join(char if char.isprintable() else " " for char in body.decode("utf-8", "replace"))
    return text.strip() or None


def _note(task: Task, call: Call, ended: Ended, duration_ms: int) -> None:
    """Keep how the call went; that much even where the lease was lost meanwhile."""
    columns = {
        "outcome": ended.outcome,
        "status_code": ended.status,
        "answer": ended.answer,
        "detail": ended.detail,
        "duration_ms": duration_ms,
    }
    try:
        with transaction():
            call.attempt.store(**columns)
            _follow_up(task, call, ended)
    except LeaseLost:
        with transaction():
            call.attempt.store(**columns)
        raise


def _follow_up(task: Task, call: Call, ended: Ended) -> None:
    found = event_log.held(task.tenant, call.delivery_oid)
    if found is None:  # its subscription was deleted, or its lead erased
        task.complete()
        return
    subscription, delivery = found
    if ended.outcome == "accepted":
        task.complete()
        delivery.store(state="delivered", finished_at=clock.stamp(), next_attempt_at=None, failure_code=None)
        if subscription.failures:
            subscription.store(failures=0, failing_since=None, paused_until=None)
        return
    if ended.status == 410:
        task.complete()
        _park(delivery, "gone")
        _disable(task, subscription, "gone")
        return
    _again(task, subscription, delivery, ended.retry_after_s, ended.outcome)


def _again(
    task: Task, subscription: EventSubscription, delivery: EventDelivery, wish_s: float | None, code: str
) -> None:
    """Have a held delivery attempted later, or park it after its last attempt; leave the address alone for a while."""
    now = clock.now()
    task.complete()
    since = subscription.failing_since or clock.iso(now)
    failures = subscription.failures + 1
    pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures - 1, 16))
    wished_s = min(wish_s or 0.0, _LONGEST_WISH_S)
    until = clock.iso(now + timedelta(seconds=max(pause_s, wished_s)))
    subscription.store(failures=failures, failing_since=since, paused_until=until)
    tries = max(1, delivery.tries)
    if tries > len(RETRY_AFTER_S):
        _park(delivery, code)
    else:
        at = _next_attempt(now, tries, wished_s, random.random)
        delivery.store(next_attempt_at=clock.iso(at), failure_code=code)
        event_log.queue_retry(task.tenant, subscription.oid, delivery, at)
    if now - clock.parse(since) >= DISABLED_AFTER:
        _disable(task, subscription, "failing")


def _next_attempt(now: datetime, tries: int, wished_s: float, draw: Callable[[], float]) -> datetime:
    """When to try again after so many tries: by the schedule, a random fifth later, not before the address wants it."""
    delay_s = RETRY_AFTER_S[tries - 1] * (1 + draw() / 5)
    return now + timedelta(seconds=max(delay_s, wished_s))


def _park(delivery: EventDelivery, code: str) -> None:
    delivery.store(state="failed", failure_code=code, next_attempt_at=None, finished_at=clock.stamp())


def _disable(task: Task, subscription: EventSubscription, reason: str) -> None:
    """Tell a held subscription nothing any more, and the others that it is so."""
    if subscription.state != "active":
        return
    subscription.store(state="disabled", disabled_reason=reason, updated_at=clock.stamp())
    event_log.emit(
        task.tenant,
        "event_subscription.disabled",
        lambda: bodies.event_subscription(task.tenant, subscription),
    )
