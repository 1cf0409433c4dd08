"""The outbox: intents that committed with the state they follow from. Workers act from these rows and no others.

    pending → claimed (under a lease) → done
       ↑         ↓ retry, hold  └→ failed: parked after too many failures, for a person to look at
       └─────────┘

A lease is a random token with an end. Whoever holds the present token may finish the row; when a lease runs out the row
is given to the next one who asks, under a new token, and the old one is worth nothing.

A row counts its failures (errors that were raised) apart from its crashes (leases in a row that ran out, as they do
when a worker is killed), and waits without counting anything where it is merely too early.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from peewee import (
    SQL,
    BigAutoField,
    Case,
    Expression,
    IntegerField,
    JSONField,
    ModelSelect,
    ModelUpdate,
    Select,
    TextField,
    fn,
)

from . import clock
from .base import Row
from .database import connection, is_sqlite, transaction
from .tenancy import Tenant

MAX_ERROR = 500
FIRST_DELAY_S = 2.0
LONGEST_DELAY_S = 3600.0
MOST_COUNTED = 10_000  # rows that `depths` looks at, of those that wait and of those that are parked

State = Literal["pending", "claimed", "done", "failed"]

# Literals, not parameters: the indexes hold unfinished rows only, and are used only where the statement says the same.
_PENDING = SQL("'pending'")
_FAILED = SQL("'failed'")
_UNFINISHED = [_PENDING, SQL("'claimed'")]


class OutboxRow(Row):
    """One thing to do: pending → claimed (under a lease) → done | failed. Rows of one `lane` are done in order."""

    id = BigAutoField()
    tenant_id = IntegerField()
    kind = TextField()
    lane = TextField()
    payload = JSONField(default=dict)
    state = TextField(default="pending")
    attempts = IntegerField(default=0)  # how often it was claimed
    failures = IntegerField(default=0)
    crashes = IntegerField(default=0)
    held_for = TextField(null=True)  # why a pending row waits, where it was held
    available_at = TextField()
    lease_until = TextField(null=True)
    lease_token = TextField(null=True)
    error = TextField(null=True)
    created_at = TextField()
    finished_at = TextField(null=True)


class LeaseLost(Exception):
    """The lease ran out and somebody else has the row: whatever was done under it must be rolled back."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A row that is ours until the lease ends.

    attempts: how often it was claimed, this time included. failures: how often it was given back for an error. crashes:
    how many holders before this one, in a row, let their lease run out. held_for: what it waited for until now.
    """

    id: int
    tenant_id: int
    kind: str
    lane: str
    payload: dict[str, Any]
    attempts: int
    token: str
    failures: int = 0
    crashes: int = 0
    held_for: str | None = None


def put(tenant: Tenant, kind: str, lane: str, payload: dict[str, Any], available_at: datetime | None = None) -> int:
    """Store an intent in the caller's transaction; returns the row's id.

    Rows of a lane are done in the order of their ids. Two transactions that put into one lane at the same time must
    therefore hold a common lock (the conversation's row), else the later id could become visible first.
    """
    moment = clock.now()
    return int(
        OutboxRow.insert(
            tenant_id=tenant.id,
            kind=kind,
            lane=lane,
            payload=payload,
            available_at=clock.iso(available_at or moment),
            created_at=clock.iso(moment),
        ).execute()
    )


def claim(now: datetime, lease_s: Callable[[str], float], lane: str | None = None) -> Claim | None:
    """The longest due row, leased to the caller in a transaction of its own; None when nothing is due.

    Never a row whose lane has an earlier unfinished one. lease_s: the lease of a kind, in seconds. lane: only this one.
    """
    with connection():
        kind = _due(now, lane).select(OutboxRow.kind).limit(1).scalar()
    if kind is None:  # asked without a lock, so that idle workers do not queue up for SQLite's one writer
        return None
    with transaction():
        return _take(now, lease_s, lane)


def _take(now: datetime, lease_s: Callable[[str], float], lane: str | None) -> Claim | None:
    first = _due(now, lane).order_by(OutboxRow.available_at, OutboxRow.id).limit(1)
    if not is_sqlite():
        first = first.for_update(skip_locked=True)
    row = first.first()
    if row is None:
        return None
    token = secrets.token_hex(16)
    taken = (
        OutboxRow.update(
            state="claimed",
            attempts=OutboxRow.attempts + 1,
            crashes=Case(None, [(OutboxRow.state == "claimed", OutboxRow.crashes + 1)], 0),
            held_for=None,
            lease_token=token,
            lease_until=clock.iso(now + timedelta(seconds=lease_s(row.kind))),
        )
        .where((OutboxRow.id == row.id) & _claimable(OutboxRow, now))
        .execute()
    )
    if not taken:
        return None
    return Claim(
        id=row.id,
        tenant_id=row.tenant_id,
        kind=row.kind,
        lane=row.lane,
        payload=row.payload,
        attempts=row.attempts + 1,
        token=token,
        failures=row.failures,
        crashes=row.crashes + 1 if row.state == "claimed" else 0,
        held_for=row.held_for,
    )


def _due(now: datetime, lane: str | None) -> ModelSelect[OutboxRow]:
    earlier = OutboxRow.alias("earlier")
    blocked = fn.EXISTS(
        earlier.select(earlier.id).where(
            (earlier.lane == OutboxRow.lane) & (earlier.id < OutboxRow.id) & earlier.state.in_(_UNFINISHED)
        )
    )
    due = OutboxRow.select().where(_claimable(OutboxRow, now) & ~blocked)
    return due if lane is None else due.where(OutboxRow.lane == lane)


def _claimable(row: Any, now: datetime) -> Expression:
    moment = clock.iso(now)
    claimable: Expression = (
        row.state.in_(_UNFINISHED)
        & (row.available_at <= moment)
        & ((row.state == _PENDING) | (row.lease_until <= moment))
    )
    return claimable


def complete(held: Claim) -> None:
    """Finish the row, in the transaction of its effect. Raises LeaseLost, which must roll that transaction back."""
    _finish(held, "done", None)


def fail(held: Claim, error: str) -> None:
    """Park the row for a person to look at; its lane goes on. Raises LeaseLost."""
    _finish(held, "failed", error)


def _finish(held: Claim, state: State, error: str | None) -> None:
    finished = {"state": state, "finished_at": clock.stamp(), "error": error and error[:MAX_ERROR]}
    _write(held, **finished, lease_token=None, lease_until=None)


def retry(held: Claim, error: str, at: datetime) -> None:
    """Give the row back after a failure, to be claimed again at `at`; its lane waits for it. Raises LeaseLost."""
    _give_back(held, at, failures=OutboxRow.failures + 1, error=error[:MAX_ERROR])


def hold(held: Claim, at: datetime, reason: str) -> None:
    """Give the row back because it is too early, which is no failure; its lane waits for it. Raises LeaseLost."""
    _give_back(held, at, held_for=reason)


def _give_back(held: Claim, at: datetime, **columns: Any) -> None:
    _write(held, state="pending", available_at=clock.iso(at), lease_token=None, lease_until=None, **columns)


def wake(reasons: Collection[str], *, lanes: Collection[str] | None = None, tenant: Tenant | None = None) -> int:
    """Make rows due now that wait for one of these reasons, in these lanes or of this tenant; returns how many."""
    waits = (OutboxRow.state == _PENDING) & OutboxRow.held_for.in_(list(reasons))
    if lanes is not None:
        waits &= OutboxRow.lane.in_(list(lanes))
    if tenant is not None:
        waits &= OutboxRow.tenant_id == tenant.id
    moment = clock.stamp()
    return int(OutboxRow.update(available_at=moment).where(waits & (OutboxRow.available_at > moment)).execute())


def extend(held: Claim, now: datetime, lease_s: float) -> None:
    """Move the end of the lease, for work that takes longer. Raises LeaseLost."""
    _write(held, lease_until=clock.iso(now + timedelta(seconds=lease_s)))


def _write(held: Claim, **columns: Any) -> None:
    holds = (OutboxRow.id == held.id) & (OutboxRow.state == "claimed") & (OutboxRow.lease_token == held.token)
    values = {OutboxRow._meta.fields[name]: value for name, value in columns.items()}
    with transaction():
        if ModelUpdate(OutboxRow, values).where(holds).execute() != 1:
            raise LeaseLost(f"The lease on outbox row {held.id} is no longer ours")


def backoff_s(attempt: int, random: Callable[[], float]) -> float:
    """Seconds to wait after this failed attempt (from 1): doubling up to an hour, a random 50-100 % of it.

    random: draws from 0-1. The jitter keeps rows that failed together from coming back together.
    """
    longest = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(attempt - 1, 32))
    return float(longest * (0.5 + random() / 2))


def is_finished(row_id: int) -> bool:
    """Whether this row is done or parked."""
    with connection():
        row = OutboxRow.select(OutboxRow.state).where(OutboxRow.id == row_id).first()
    return row is None or row.state in ("done", "failed")


def last_unfinished(lane: str) -> int | None:
    """The row that was put into this lane last, of those that are not done or parked; None for an idle lane."""
    unfinished = (OutboxRow.lane == lane) & OutboxRow.state.in_(_UNFINISHED)
    with connection():
        row = OutboxRow.select(OutboxRow.id).where(unfinished).order_by(OutboxRow.id.desc()).first()
    return None if row is None else int(row.id)


def lane_moves_at(lane: str) -> str | None:
    """When the first unfinished row of this lane is or was due; None for an idle lane."""
    unfinished = (OutboxRow.lane == lane) & OutboxRow.state.in_(_UNFINISHED)
    with connection():
        row = OutboxRow.select(OutboxRow.available_at).where(unfinished).order_by(OutboxRow.id).first()
    return None if row is None else str(row.available_at)


def parked(tenant: Tenant) -> list[OutboxRow]:
    """The tenant's rows that failed for good, the latest first, at most a hundred."""
    return list(
        OutboxRow.select()
        .where((OutboxRow.tenant_id == tenant.id) & (OutboxRow.state == "failed"))
        .order_by(OutboxRow.finished_at.desc())
        .limit(100)
    )


@dataclass(frozen=True, slots=True)
class Depth:
    """How many rows of a kind are due, scheduled, claimed or parked, and since when the first of them is or will be."""

    kind: str
    stage: Literal["due", "scheduled", "claimed", "parked"]
    rows: int
    since: str


def depths(now: datetime) -> list[Depth]:
    """The outbox of all tenants, for whoever runs the server.

    It takes a bounded time: no more than the 10,000 rows that come due first are counted, and as many parked ones.
    """
    due = OutboxRow.available_at <= clock.iso(now)
    stage = Case(
        None, [(OutboxRow.state == SQL("'claimed'"), SQL("'claimed'")), (due, SQL("'due'"))], SQL("'scheduled'")
    )
    in_order = (OutboxRow.available_at, OutboxRow.id)
    with connection():
        unfinished = _counted(_rows(stage).where(OutboxRow.state.in_(_UNFINISHED)).order_by(*in_order))
        return unfinished + _counted(_rows(SQL("'parked'")).where(OutboxRow.state == _FAILED))


def _rows(stage: Any) -> ModelSelect[OutboxRow]:
    return OutboxRow.select(OutboxRow.kind, OutboxRow.available_at, stage.alias("stage")).limit(MOST_COUNTED)


def _counted(rows: ModelSelect[OutboxRow]) -> list[Depth]:
    some = rows.alias("some")
    counted = Select([some], [some.c.kind, some.c.stage, fn.COUNT(SQL("1")), fn.MIN(some.c.available_at)])
    found = counted.group_by(some.c.kind, some.c.stage).bind(OutboxRow._meta.database)
    return [Depth(*row) for row in found.tuples().execute()]


def purge(before: datetime, batch: int = 1000) -> int:
    """Delete rows done before this moment, at most `batch`; returns how many. Parked rows stay."""
    with transaction():
        old = (
            OutboxRow.select(OutboxRow.id)
            .where((OutboxRow.finished_at < clock.iso(before)) & (OutboxRow.state == "done"))
            .limit(batch)
        )
        return int(OutboxRow.delete().where(OutboxRow.id.in_([row.id for row in old])).execute())
