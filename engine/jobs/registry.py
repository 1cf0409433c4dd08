"""Kinds of jobs and who does them.

    @job("deliver", lease_s=60, gave_up=mark_failed)
    def deliver(task: Task) -> None: ...

A job does its slow part outside any transaction and its effect in one, which begins with `task.complete()`: if the
lease was lost meanwhile that raises, and the effect is rolled back with it. So the effect happens once. Where it is too
early the job holds its row, where it never will be time it parks it; what it raises is a failure, and tried again.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from storage import outbox
from storage.outbox import Claim
from storage.tenancy import Tenant

MAX_ATTEMPTS = 8  # that raise an error; a worker that is killed says nothing about the row
LEASE_S = 60.0

# Where kinds are declared: a worker process imports these, whatever else it has loaded.
MODULES = (
    "engine.turns",
    "engine.delivery",
    "engine.inbound.processing",
    "engine.inactivity",
    "engine.lead_import",
    "engine.knowledge.crawl_steps",
    "engine.knowledge.webhook_runs",
    "engine.integrations.setup",
    "engine.knowledge.index",
    "engine.campaigns.steps",
    "engine.campaigns.dispatch",
    "engine.campaigns.delivery",
    "engine.events.sending",
)


class Retry(Exception):
    """Try again later. delay_s: not before; None leaves it to the usual backoff."""

    def __init__(self, reason: str, delay_s: float | None = None) -> None:
        super().__init__(reason)
        self.delay_s = delay_s


@dataclass
class Task:
    """One row in hand: whose it is, and what it says."""

    tenant: Tenant
    claim: Claim
    is_settled: bool = field(default=False, init=False)
    outcome: str = field(default="handed_over", init=False)  # done, held or parked, unless another thread will tell

    @property
    def payload(self) -> dict[str, Any]:
        """What the row was put with."""
        return self.claim.payload

    def complete(self) -> None:
        """Finish the row, first thing in the transaction of its effect. Raises LeaseLost."""
        outbox.complete(self.claim)
        self.is_settled, self.outcome = True, "done"

    def hold(self, until: datetime, reason: str) -> None:
        """Give the row back until then, in the transaction that notes why. No failure. Raises LeaseLost."""
        outbox.hold(self.claim, until, reason)
        self.is_settled, self.outcome = True, "held"

    def park(self, error: str) -> None:
        """Leave the row for a person to look at; its lane goes on. Raises LeaseLost."""
        outbox.fail(self.claim, error)
        self.is_settled, self.outcome = True, "parked"


@dataclass(frozen=True)
class Job:
    """What to do with rows of one kind.

    lease_s: longer than the work may take. gave_up: runs in the transaction that parks a row after the last attempt.
    """

    run: Callable[[Task], None]
    lease_s: float = LEASE_S
    max_attempts: int = MAX_ATTEMPTS
    gave_up: Callable[[Task, str], None] | None = None


_jobs: dict[str, Job] = {}


def job(
    kind: str,
    *,
    lease_s: float = LEASE_S,
    max_attempts: int = MAX_ATTEMPTS,
    gave_up: Callable[[Task, str], None] | None = None,
) -> Callable[[Callable[[Task], None]], Callable[[Task], None]]:
    """Register the decorated function as the one that does rows of this kind."""

    def register(run: Callable[[Task], None]) -> Callable[[Task], None]:
        _jobs[kind] = Job(run, lease_s, max_attempts, gave_up)
        return run

    return register


def of_kind(kind: str) -> Job | None:
    """The job for rows of this kind; None if this version of newleaf knows none."""
    if kind not in _jobs:
        for module in MODULES:
            importlib.import_module(module)
    return _jobs.get(kind)


def lease_s(kind: str) -> float:
    """How long a row of this kind is leased for, in seconds."""
    found = of_kind(kind)
    return found.lease_s if found else LEASE_S
