"""A storm: clients at work on processes that are killed at random instants, and what it did to them.

An instant is drawn by traffic or by what was achieved, not by the clock alone: after so many more requests, and a
random part of the time that a request takes. So kills hit requests on a slow machine as on a fast one. Every other kill
is aimed at a narrow place instead, such as this one: an effect has just been committed, and nobody has been told.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import httpx

from storage import analytics
from storage.database import connection, transaction
from storage.idempotency import IdempotencyRecord
from storage.outbox import OutboxRow
from tests.faults.nursery import Mortal, MortalServer
from tests.support.contract_client import ContractClient

_UP_TIMEOUT_S = 120
_PAUSE_S = 0.05
_SHORT_PAUSE_S = 0.005
_LOOK_S = 0.0005
_AIM_WITHIN_S = 5
_LONG_AGO = "2000-01-01T00:00:00.000Z"


@dataclass
class Toll:
    """What a storm did."""

    kills: int = 0
    jobs: int = 0  # that were in somebody's hands at the kills
    in_flight: list[int] = field(default_factory=list)  # requests that hung in the air at each kill of the server
    acknowledged: int = 0
    retried: int = 0  # sendings after the first one
    replayed: int = 0  # of those acknowledged: the effect was there, its answer had been lost
    abandoned: int = 0  # never sent again: the client does not know
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.hits}, {self.acknowledged} acknowledged, {self.retried} retried, "
            f"{self.replayed} answered from the record, {self.abandoned} abandoned, {self.seconds:.0f} s"
        )

    @property
    def hits(self) -> str:
        """The kills in words."""
        hit = sum(1 for count in self.in_flight if count)
        others = f"{beside} of workers beside it, " if (beside := self.kills - len(self.in_flight)) else ""
        requests = f"{hit} with requests in flight, {sum(self.in_flight)} requests hit"
        return f"{self.kills} kills ({others}{requests}, {self.jobs} jobs in hand)"


@dataclass(frozen=True)
class Acknowledged:
    """A write that was answered."""

    path: str
    key: str
    content: dict[str, Any]
    answer: bytes


def committed() -> Any:
    """Changes when one more answer is stored or one more job is done, which commits with its effect."""
    return IdempotencyRecord.select().count(), OutboxRow.select().where(OutboxRow.state == "done").count()


class Storm:
    """Runs clients against a server and kills it meanwhile; every kill takes place while a client is at work.

    kills: so many, fewer if the work is done before or the storm has lasted `longest_s`, after which it abates.
    gap: how many requests there are between a start and the next kill, at least and at most.
    pace: instead of the gap, from how many kills are left and a source of chance, what tells when the next one is due.
    others: processes beside the server, one of which is killed as often as it is.
    aims: each changes when one of the narrow places is reached; they are looked at with a connection to the database.
    meanwhile: is done between a kill and the next start.
    """

    def __init__(
        self,
        server: MortalServer,
        seed: int,
        *,
        kills: int = 0,
        gap: tuple[int, int] = (1, 1),
        pace: Callable[[int, Random], Callable[[], bool]] | None = None,
        longest_s: float = 60,
        others: Sequence[Mortal] = (),
        aims: Sequence[Callable[[], Any]] = (committed,),
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        self.toll = Toll()
        self.ledger: list[Acknowledged] = []
        self._server = server
        self._others = others
        self._aims = aims
        self._meanwhile = meanwhile
        self._random = Random(seed)
        self._kills_left = kills
        self._pace = pace or partial(self._traffic, gap)
        self._left_s = longest_s
        self._until = 0.0
        self._up = threading.Event()
        self._up.set()
        self._changed = threading.Condition()
        self._flying = 0
        self._sent = 0
        self._usual_s = 0.05

    @property
    def is_raging(self) -> bool:
        """Whether there are kills to come, for work that is to go on for as long."""
        return self._kills_left > 0 and time.monotonic() < self._until

    def run(self, work: Sequence[Callable[[], Any]]) -> list[Any]:
        """Do all of this, each in a thread, with kills until none are left or all is done; returns the results."""
        began = time.monotonic()
        self._until = began + self._left_s
        with ThreadPoolExecutor(len(work)) as pool:
            futures = [pool.submit(each) for each in work]
            try:
                while self.is_raging and self._wait_for_instant(futures):
                    self._kills_left -= 1
                    self.strike()
                    _raise_what_failed(futures)
            finally:
                self._until = 0.0
            wait(futures)
        self._left_s -= time.monotonic() - began
        self.toll.seconds += time.monotonic() - began
        return [future.result() for future in futures]

    def strike(self) -> None:
        """Kill a process and start it again; leases run out at once, as if their time had passed.

        Those of processes that live on do too, so that their work is taken from them while they are at it.
        """
        victim = self._random.choice([self._server, *self._others])
        is_server = victim is self._server
        if is_server:
            self._up.clear()
            self.toll.in_flight.append(self._flying)
        victim.kill()
        self.toll.kills += 1
        with transaction():
            in_hand = OutboxRow.update(lease_until=_LONG_AGO).where(OutboxRow.state == "claimed").execute()
        self.count(jobs=in_hand)
        if self._meanwhile is not None:
            self._meanwhile()
        victim.start()
        if is_server:
            self._up.set()

    def await_server(self) -> None:
        """Return once the server is up."""
        assert self._up.wait(_UP_TIMEOUT_S)

    @contextlib.contextmanager
    def flying(self, *, is_write: bool) -> Iterator[None]:
        """A request is in the air meanwhile."""
        began = time.monotonic()
        with self._changed:
            self._flying += 1
            self._sent += 1
            self._changed.notify_all()
        try:
            yield
            if is_write:
                with self._changed:
                    self._usual_s += (time.monotonic() - began - self._usual_s) / 8
        finally:
            with self._changed:
                self._flying -= 1

    def count(self, **changes: int) -> None:
        """Add to the toll."""
        with self._changed:
            for name, change in changes.items():
                setattr(self.toll, name, getattr(self.toll, name) + change)

    def _traffic(self, gap: tuple[int, int], kills_left: int, random: Random) -> Callable[[], bool]:
        """Tells when so many more requests were sent."""
        del kills_left
        due = self._sent + random.randint(*gap)
        return lambda: self._sent >= due

    def _wait_for_instant(self, futures: Sequence[Future[Any]]) -> bool:
        """Wait until the next kill is due; False if the work is done before."""
        is_due = self._pace(self._kills_left, self._random)
        while not is_due():
            if all(future.done() for future in futures):
                return False
            with self._changed:
                self._changed.wait(_SHORT_PAUSE_S)
        pause_s = self._random.uniform(0, 1.5 * self._usual_s)
        if self._kills_left % 2:
            wait(futures, timeout=pause_s)
        else:
            _wait_for_change(self._random.choice(self._aims), futures)
        return not all(future.done() for future in futures)


def _wait_for_change(look: Callable[[], Any], futures: Sequence[Future[Any]]) -> None:
    """Wait until what there is to see is no longer what it was."""
    deadline = time.monotonic() + _AIM_WITHIN_S
    with connection():
        before = look()
        while look() == before and time.monotonic() < deadline:
            if all(future.done() for future in futures):
                return
            time.sleep(_LOOK_S)


def _raise_what_failed(futures: Sequence[Future[Any]]) -> None:
    """A client that found something wrong ends the storm."""
    for future in futures:
        if future.done():
            future.result()


class StormClient:
    """A client as it should be: whatever it does carries a key, and is sent again under it until there is an answer.

    abandons: how likely it gives up instead, when the connection breaks while it waits.
    """

    def __init__(self, storm: Storm, base_url: str, api_key: str, random: Random, abandons: float = 0.0) -> None:
        self._storm = storm
        self._random = random
        self._abandons = abandons
        self._http = ContractClient(base_url, api_key)

    def get(self, path: str) -> Any:
        """The body of a 200."""
        while True:
            with contextlib.suppress(httpx.TransportError):
                response = self._send("GET", path, {})
                assert response.status_code == 200, response.text
                return response.json()

    def post(self, path: str, key: str, *, may_refuse: Collection[str] = (), **content: Any) -> httpx.Response | None:
        """The answer to a write, None if it was given up. may_refuse: with these codes it may be refused."""
        sending = 0
        while True:
            sending += 1
            try:
                response = self._send(
                    "POST", path, {"Idempotency-Key": key, "X-Request-Id": f"{key}.{sending}"}, **content
                )
            except httpx.ConnectError:  # it never arrived
                self._storm.count(retried=1)
            except httpx.TransportError:
                if self._random.random() < self._abandons:
                    self._storm.count(abandoned=1)
                    return None
                self._storm.count(retried=1)
            else:
                if response.is_client_error and response.json()["code"] in may_refuse:
                    return response
                if not _still_running(response):
                    assert response.is_success, response.text
                    self._storm.ledger.append(Acknowledged(path, key, content, response.content))
                    self._storm.count(acknowledged=1, replayed="Idempotent-Replayed" in response.headers)
                    return response
                self._storm.count(retried=1)
                time.sleep(_PAUSE_S)

    def _send(self, method: str, path: str, headers: dict[str, str], **content: Any) -> httpx.Response:
        self._storm.await_server()
        with self._storm.flying(is_write=method != "GET"):
            return self._http.request(method, path, headers=headers, **content)

    def __enter__(self) -> StormClient:
        return self

    def __exit__(self, *_: Any) -> None:
        self._http.close()


def _still_running(response: httpx.Response) -> bool:
    return response.status_code == 409 and response.json()["code"] == "idempotency_in_flight"


def settle(within_s: float) -> None:
    """Wait until the worker has done all there is to do."""
    deadline = time.monotonic() + within_s
    while left := unfinished():
        assert time.monotonic() < deadline, f"not done within {within_s} s: {left}"
        time.sleep(_PAUSE_S)


def unfinished() -> list[str]:
    """What the workers have still to do, a line for each, and one where analytics has changes to count."""
    with connection():
        at_work = OutboxRow.state.in_(["pending", "claimed"]) & (OutboxRow.kind != "idle")  # which waits for a day
        rows = OutboxRow.select().where(at_work)
        left = [
            f"{row.kind} {row.id}, {row.state}, {row.attempts} attempts, {row.held_for}, {row.error}" for row in rows
        ]
        behind = analytics.next_behind()
        return left if behind is None else [*left, f"analytics of tenant {behind}"]
