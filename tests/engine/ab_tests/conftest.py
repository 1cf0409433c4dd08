"""Tests that run, with agents of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from engine.ab_tests import lifecycle
from storage.tenancy import Actor, Tenant


@pytest.fixture
def make_test(tenant: Tenant, actor: Actor, make_agent: Callable[..., Any]) -> Callable[..., Any]:
    """Starts a test of two new agents, or leaves it in another status that a draft gets to in one step."""

    def make(status: str = "running", weights: Sequence[float] = (50, 50)) -> Any:
        agents = [make_agent(name=f"Agent {number}") for number, _ in enumerate(weights)]
        variants = [{"agentConfigId": agent.oid, "weight": w} for agent, w in zip(agents, weights, strict=True)]
        test = lifecycle.create(tenant, {"name": "Greeting", "variants": variants}, actor=actor)
        return test if status == "draft" else lifecycle.change_status(tenant, test.oid, status, actor=actor)

    return make
