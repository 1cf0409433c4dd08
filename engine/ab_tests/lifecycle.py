"""What changes an A/B test: making, editing, starting, ending it, and making its winner the agent of everybody.

    draft → running ⇄ paused
               ↓         ↓
               completed

Who talks to whom is fixed once a test has begun, so its variants can be edited only before. Conversations that are
under way when it is paused or completed go on, and what becomes of them still counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine import account_settings
from engine.events import emit
from storage import ab_tests, agents, audit, bodies
from storage.ab_tests import AbTest, NewVariant
from storage.database import transaction
from storage.errors import Blocked, Conflict, NotFound, Problem
from storage.tenancy import Actor, Tenant

_MOVES = {
    "draft": ("running",),
    "running": ("paused", "completed"),
    "paused": ("running", "completed"),
    "completed": (),
}
_SAID = {
    ("draft", "running"): "ab_test.started",
    ("paused", "running"): "ab_test.resumed",
    ("running", "paused"): "ab_test.paused",
}


def create(tenant: Tenant, body: Mapping[str, Any], *, actor: Actor) -> AbTest:
    """Store a new draft. Raises NotFound (agent), Blocked for an agent in two variants."""
    with transaction():
        parts = _parts(tenant, body["variants"])
        test = ab_tests.add(tenant, body["name"], body.get("description") or None, parts)
        audit.record(tenant, actor, "ab_test.created", test.oid, {"name": test.name})
        return test


def update(tenant: Tenant, oid: str, body: Mapping[str, Any], *, actor: Actor) -> AbTest:
    """Change what the body names. Raises NotFound, Conflict (variants of a test that has begun, a status), Blocked."""
    with transaction():
        test = ab_tests.lock(tenant, oid)
        if body.get("status", test.status) != test.status:
            raise Conflict("status_not_editable", "Change the status with change_ab_test_status.")
        columns = {name: body[name] or None for name in ("name", "description") if name in body}
        changed = [name for name, value in columns.items() if getattr(test, name) != value]
        if "variants" in body and _differ(tenant, test, body["variants"]):
            _require_draft(test)
            ab_tests.replace_variants(tenant, test, _parts(tenant, body["variants"]))
            changed.append("variants")
        if changed:
            ab_tests.change(test, columns)
            audit.record(tenant, actor, "ab_test.updated", oid, {"changed": sorted(changed)})
        return test


def _differ(tenant: Tenant, test: AbTest, wanted: list[dict[str, Any]]) -> bool:
    present = [(each.agent_config_id, each.weight) for each in ab_tests.variants(tenant, [test])[test.id]]
    return present != [(each["agentConfigId"], each["weight"]) for each in wanted]


def _require_draft(test: AbTest) -> None:
    if test.status != "draft":
        message = "Variants can be edited only in a draft. Complete this test and create another one."
        raise Conflict("ab_test_not_draft", message)


def _parts(tenant: Tenant, variants: list[dict[str, Any]]) -> list[NewVariant]:
    """The variants with the names of their agents, held so that none of these is deleted meanwhile."""
    oids = [variant["agentConfigId"] for variant in variants]
    again = [place for place, oid in enumerate(oids) if oid in oids[:place]]
    if again:
        message = "An agent can be in one variant only"
        problems = [Problem(f"/variants/{place}/agentConfigId", message) for place in again]
        raise Blocked("duplicate_variant", message, problems=problems)
    found, problems = {}, []
    for oid in sorted(oids):  # everybody in the same order, so nobody waits in a circle
        try:
            found[oid] = agents.lock(tenant, oid)
        except NotFound as error:
            problems.append(Problem(f"/variants/{oids.index(oid)}/agentConfigId", error.message))
    if problems:
        raise NotFound("agent_not_found", problems[0].message, problems=problems)
    return [NewVariant(oid, found[oid].name, variant["weight"]) for oid, variant in zip(oids, variants, strict=True)]


def change_status(tenant: Tenant, oid: str, status: str, *, actor: Actor) -> AbTest:
    """Start, pause, resume or complete a test; the present status again changes nothing.

    Raises NotFound, Conflict: a move that is none, another test that is running, an agent that is not active.
    """
    with transaction():
        test = ab_tests.lock(tenant, oid)
        if status != test.status:
            _move(tenant, test, status, actor)
        return test


def _move(tenant: Tenant, test: AbTest, status: str, actor: Actor) -> None:
    before = test.status
    if status not in _MOVES[before]:
        raise Conflict("illegal_status_change", _advice(before, status))
    if status == "running":
        other = ab_tests.running(tenant)
        if other is not None:
            raise ab_tests.already_running(other)
        _require_active_agents(tenant, test)
    ab_tests.set_status(test, status)
    action = _SAID.get((before, status), f"ab_test.{status}")
    audit.record(tenant, actor, action, test.oid, {"from": before, "to": status})
    if status == "completed":
        parts = ab_tests.variants(tenant, [test])[test.id]
        emit(tenant, "ab_test.completed", lambda: bodies.ab_test(tenant, test, parts))


def _advice(present: str, wanted: str) -> str:
    if present == "draft":
        return f"A draft cannot become {wanted}. Start it first, or delete it."
    if present == "completed":
        return f"A completed test cannot become {wanted}. Create another one."
    return f"A {present} test cannot become {wanted}: it has begun. Create another one."


def _require_active_agents(tenant: Tenant, test: AbTest) -> None:
    for variant in ab_tests.variants(tenant, [test])[test.id]:
        agent = agents.lock(tenant, variant.agent_config_id)
        if agent.status != "active":
            message = f"{agent.name} is not active, so it cannot talk to its share of the leads. Activate it first."
            raise Conflict("agent_not_active", message, details=agent.oid)


def delete(tenant: Tenant, oid: str, *, actor: Actor) -> None:
    """Remove a test and its results for good. Raises NotFound, Conflict while it is running."""
    with transaction():
        test = ab_tests.lock(tenant, oid)
        if test.status == "running":
            raise Conflict("ab_test_running", "The test is running. Pause or complete it first.")
        ab_tests.delete(tenant, test)
        audit.record(tenant, actor, "ab_test.deleted", oid, {"name": test.name})


def promote(tenant: Tenant, oid: str, *, actor: Actor) -> AbTest:
    """Make the winner the default agent of the environment, and complete the test if that has not been done.

    Raises NotFound, Conflict: no winner, or one that is not active.
    """
    from .results import winner_of  # here, for it takes a second

    with transaction():
        test = ab_tests.lock(tenant, oid)
        winner = winner_of(tenant, test)
        if winner is None:
            message = "The test has no winner that can be told apart from chance. See get_ab_test_results."
            raise Conflict("no_winner", message)
        if winner.agent is None or winner.agent.status != "active":
            raise Conflict("agent_not_active", f"{winner.name} is not active. Activate it first.", details=winner.oid)
        account_settings.update(tenant, {"defaultAgentId": winner.oid}, actor=actor)
        if test.status != "completed":
            _move(tenant, test, "completed", actor)
        audit.record(tenant, actor, "ab_test.promoted", oid, {"agentConfigId": winner.oid})
        return test
