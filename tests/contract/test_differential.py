"""The compiled spine decides as Connexion's own does: of each request both say the same status, problems and arguments.

`pytest -s` prints what was compared and how often each known difference made one.
"""

from __future__ import annotations

import asyncio
import collections
import gc
import logging
import sys
import time
from collections.abc import Iterator

import pytest
import structlog
from connexion import ConnexionMiddleware
from hypothesis.internal.conjecture import providers

from server import app
from server.contract import document, operations
from server.settings import Settings
from storage import api_keys, roles
from storage.tenancy import SYSTEM, Tenant
from tests.contract.differential.decisions import decide, record
from tests.contract.differential.differences import DIFFERENCES, agree, explained
from tests.contract.differential.mutations import Chance, bounds, mutated, systematic
from tests.contract.differential.sent import Sent, generated, values
from tests.contract.differential.witnesses import witnesses

REQUESTS = 20_000
CHANCE = 20260101


@pytest.fixture
def quiet() -> Iterator[None]:
    """Nothing is logged: hundreds of requests here end in a traceback."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    structlog.configure(**before)
    gc.collect()  # the forms that Connexion leaves open, while their warnings are ignored


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis draws the same whatever else is loaded; by itself it takes constants from all modules in memory."""
    monkeypatch.setattr(providers, "_get_local_constants", lambda: providers.GLOBAL_CONSTANTS)
    monkeypatch.setattr(providers, "CONSTANTS_CACHE", type(providers.CONSTANTS_CACHE)(1024))


def _spine(name: str) -> ConnexionMiddleware:
    return record(app.create_app(Settings(_env_file=None, rate_limits="off", spine=name)))


def _requests(key: bytes) -> list[Sent]:
    """Generated requests, then changed ones of them until there are enough that differ from one another."""
    base = list(generated(document(), key, per_operation=4, chance=CHANCE))
    draw = Chance(CHANCE, values(300, CHANCE), sorted(bounds(document())))
    firsts = {each.operation: each for each in reversed(base)}.values()
    distinct = dict.fromkeys(
        [*witnesses(key).values(), *base, *(each for first in firsts for each in systematic(first))]
    )
    while len(distinct) < REQUESTS:
        distinct[mutated(base[len(distinct) % len(base)], draw)] = None
    return list(distinct)


async def _compare(sent: list[Sent]) -> tuple[collections.Counter[str], collections.Counter[str], list[str]]:
    """How often each difference occurred, how often each operation was reached by both, and what nothing explains."""
    compiled, stock = _spine("compiled"), _spine("stock")
    listed: collections.Counter[str] = collections.Counter()
    reached: collections.Counter[str] = collections.Counter()
    unlisted = []
    for each in sent:
        ours, theirs = await decide(compiled, each), await decide(stock, each)
        if agree(ours, theirs):
            reached[ours.operation] += 1
        elif difference := explained(each, ours, theirs):
            listed[difference.name] += 1
        else:
            unlisted.append(f"{each}\n  compiled: {ours}\n  stock:    {theirs}")
    return listed, reached, unlisted


@pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")
def test_both_spines_decide_alike_but_for_what_is_listed(tenant: Tenant, quiet: None, steady: None) -> None:
    started = time.process_time()
    key = api_keys.issue(tenant, SYSTEM, name="tests", scopes=roles.scopes_of(["owner"]), roles=["owner"]).full_key
    sent = _requests(key.encode())
    generated_at = time.process_time()

    listed, reached, unlisted = asyncio.run(_compare(sent))

    sys.stdout.write(
        f"\n{len(sent)} requests, generated in {generated_at - started:.0f} s, "
        f"compared in {time.process_time() - generated_at:.0f} s; {reached.total()} alike\n"
        + "".join(f"{listed[each.name]:6} {each.name}: {each.reason}\n" for each in DIFFERENCES)
    )
    assert not unlisted, f"{len(unlisted)} unlisted differences, such as\n" + "\n".join(unlisted[:10])
    assert {each.name for each in DIFFERENCES} == listed.keys(), "a difference that never occurs is none"
    assert {each.id for each in operations(document())} <= reached.keys()
