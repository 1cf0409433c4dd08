"""Probes of what analytics keeps: changes that wait, what was counted, and the sums."""

from __future__ import annotations

from typing import Any

from engine.analytics import folding
from storage import agents, analytics
from storage.analytics import EVER, AnalyticsChange, AnalyticsFact, Piece
from storage.conversations import Conversation
from storage.leads import Lead
from storage.tenancy import Tenant

from .worlds import Party, World

_SUBJECTS = ["leads", "by_channel"]
_AT_ANY_TIME = Piece("quarter", 0, 2**31 - 1)
_MOST = 10_000


def _parties(world: World) -> tuple[Tenant, Party]:
    assert world.victim is not None
    return world.attacker.tenant, world.victim


def _said(name: str, answer: Any) -> str | None:
    return f"{name} found {answer!r}" if answer else None


def _count_all(tenant: Tenant) -> None:
    while folding.fold(tenant, _MOST):
        continue


def _talks(tenant: Tenant) -> list[int]:
    return [row.id for row in Conversation.of(tenant)]


def _kept(tenant: Tenant) -> list[list[Any]]:
    return [[row.__data__ for row in model.of(tenant).order_by(model.id)] for model in (AnalyticsChange, AnalyticsFact)]


def changes_that_wait_to_be_counted(world: World) -> str | None:
    attacker, victim = _parties(world)
    _count_all(attacker)
    assert analytics.is_behind(victim.tenant)
    return _said("is_behind", analytics.is_behind(attacker))


def taking_the_changes_of_another(world: World) -> str | None:
    attacker, victim = _parties(world)
    before = _kept(victim.tenant)
    _, taken = analytics.take_changes(attacker, _MOST)
    return _said("take_changes", taken & set(_talks(victim.tenant)) or _kept(victim.tenant) != before)


def rows_to_be_counted_that_were_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    _count_all(victim.tenant)
    numbers, refs = victim.values["lead"], _talks(victim.tenant)
    ways: dict[str, Any] = {
        "leads": list(analytics.leads(attacker, numbers)),
        "conversations": list(analytics.conversations(attacker, refs)),
        "conversations_of": list(analytics.conversations_of(attacker, numbers)),
        "messages": list(analytics.messages(attacker, refs)),
        "facts": analytics.facts(attacker, "conversation", refs),
        "names": agents.names(attacker).keys() & set(victim.values["agent"]),
    }
    return _said("counting", [name for name, found in ways.items() if found])


def forgetting_facts_that_were_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    _count_all(victim.tenant)
    before = _kept(victim.tenant)
    analytics.set_facts(attacker, "conversation", dict.fromkeys(_talks(victim.tenant)))
    return _said("set_facts", _kept(victim.tenant) != before)


def sums_of_another(world: World) -> str | None:
    attacker, victim = _parties(world)
    _count_all(victim.tenant)
    assert analytics.sums(victim.tenant, _SUBJECTS, [EVER])
    found = analytics.sums(attacker, _SUBJECTS, [EVER])
    return _said("sums", found) or _said("series", analytics.series(attacker, "leads", "new", _AT_ANY_TIME))


def counting_anew(world: World) -> str | None:
    attacker, victim = _parties(world)
    _count_all(victim.tenant)
    before = _kept(victim.tenant)
    analytics.forget(attacker)
    wanted = Lead.of(attacker).count() + Conversation.of(attacker).count()
    noted = AnalyticsChange.of(attacker).count()
    return _said("forget", [noted] if noted != wanted else _kept(victim.tenant) != before)


ANALYTICS_PROBES = (
    changes_that_wait_to_be_counted,
    taking_the_changes_of_another,
    rows_to_be_counted_that_were_read_elsewhere,
    forgetting_facts_that_were_read_elsewhere,
    sums_of_another,
    counting_anew,
)
