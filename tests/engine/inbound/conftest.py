"""Events to test with, and the worker that processes them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from engine import inbound
from engine.channels import Event, Said, Sender
from engine.jobs import worker
from storage import database
from storage.inbox import InboundEvent
from storage.tenancy import Tenant

THREADS = 8
ADA = Sender(("12025550142",), phone="+12025550142", name="Ada Example")


def together(work: Callable[[Any], Any], arguments: Any) -> list[Any]:
    """Do the work for each argument, from eight threads; what each returned."""

    def connected(argument: Any) -> Any:
        with database.connection():
            return work(argument)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(connected, arguments))


@pytest.fixture
def event() -> Callable[..., Event]:
    """Makes an event: what was said by Ada, or anything else."""
    numbers = itertools.count(1)

    def make(what: Any = "Hi", *, sender: Sender = ADA, event_id: str = "", contact: str = "", **members: Any) -> Event:
        event_id = event_id or f"event-{next(numbers)}"
        if isinstance(what, str):
            what = Said(sender, what, provider_id=event_id)
        return Event(event_id, contact or sender.identities[-1], what, **members)

    return make


@pytest.fixture
def work() -> Callable[[], None]:
    """Does everything that is due in the outbox."""

    def until_idle() -> None:
        while worker.work_next():
            continue

    return until_idle


@pytest.fixture
def tell(tenant: Tenant, work: Callable[[], None]) -> Callable[..., None]:
    """Takes events in and does what follows from them."""

    def accepted(*events: Event, channel: str = "whatsapp", owner: Tenant = tenant) -> None:
        inbound.accept(owner, channel, events)
        work()

    return accepted


@pytest.fixture
def fates(tenant: Tenant) -> Callable[..., list[tuple[str, str | None]]]:
    """What became of each stored event, in the order of their arrival."""

    def read(owner: Tenant = tenant) -> list[tuple[str, str | None]]:
        return [(event.state, event.reason) for event in InboundEvent.of(owner).order_by(InboundEvent.id)]

    return read
