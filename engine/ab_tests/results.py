"""What an A/B test says: the tallies of its variants, whether the draw can be trusted, and who is better.

Imports SciPy, which takes a second: so import this module only where results are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from storage import ab_tallies, ab_tests, agents
from storage.ab_tallies import Tally
from storage.ab_tests import AbTest
from storage.agents import AgentConfig
from storage.errors import NotFound
from storage.tenancy import Tenant

from . import advice, statistics
from .statistics import Arm, Judgement


@dataclass(frozen=True, slots=True)
class Compared:
    """A variant with what became of it. agent: None if it is gone. interval: of its rate, 0-1, 95 % at one look."""

    oid: str
    name: str
    agent: AgentConfig | None
    weight: float
    tally: Tally
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Results:
    """A test as it stands. srm_p_value: None while there are too few leads to tell. winner: None without one."""

    test: AbTest
    variants: list[Compared]
    srm_p_value: float | None
    is_mismatched: bool
    judgement: Judgement | None
    winner: Compared | None
    recommendation: str


def results(tenant: Tenant, oid: str) -> Results:
    """The results of a test, which may be looked at as often as one likes. Raises NotFound."""
    return _of(tenant, ab_tests.get(tenant, oid))


def winner_of(tenant: Tenant, test: AbTest) -> Compared | None:
    """The variant that is better than all others, 95 % sure at every look; None if none is, or the draw is off."""
    return _of(tenant, test).winner


def _of(tenant: Tenant, test: AbTest) -> Results:
    variants = _compared(tenant, test)
    leads = [variant.tally.leads for variant in variants]
    p_value = statistics.sample_ratio_p_value(leads, [variant.weight for variant in variants])
    is_mismatched = p_value is not None and p_value < statistics.SRM_ALARM
    arms = [Arm(variant.tally.leads, variant.tally.qualified_leads) for variant in variants]
    judgement = None if is_mismatched else statistics.judge(arms)
    is_certain = judgement is not None and judgement.confidence >= statistics.LEVEL
    winner = variants[judgement.leader] if judgement is not None and is_certain else None
    names = [variant.name for variant in variants]
    idle = [variant.name for variant in variants if variant.agent is None or variant.agent.status != "active"]
    seen = advice.Seen(test.status, names, idle, leads, is_mismatched, judgement, winner is not None)
    return Results(test, variants, p_value, is_mismatched, judgement, winner, advice.recommend(seen))


def _compared(tenant: Tenant, test: AbTest) -> list[Compared]:
    tallies = ab_tallies.tallies(tenant, test)
    found = []
    for variant in ab_tests.variants(tenant, [test])[test.id]:
        agent = _agent_or_none(tenant, variant.agent_config_id)
        tally = tallies.get(variant.id, Tally())
        name = variant.agent_name if agent is None else agent.name
        interval = statistics.wilson(tally.qualified_leads, tally.leads)
        found.append(Compared(variant.agent_config_id, name, agent, variant.weight, tally, interval))
    return found


def _agent_or_none(tenant: Tenant, oid: str) -> AgentConfig | None:
    try:
        return agents.get(tenant, oid)
    except NotFound:
        return None
