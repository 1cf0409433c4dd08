"""What an account may save as an agent, and the agents that newleaf makes by itself.

Bodies are in the contract's shape and have passed its schema. An agent without name, system prompt or goal is a draft.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.agents import get_template, list_templates
from engine.agents import stages as graph
from engine.agents.types import DEFAULT_HANDOFF_MESSAGE, DEFAULT_LANGUAGE
from storage import agents, audit, conversations, leads
from storage.agents import AgentConfig
from storage.database import transaction
from storage.errors import Blocked, Conflict, NotFound, Problem
from storage.tenancy import SYSTEM, Actor, Tenant

COLUMNS = {
    "name": "name",
    "systemPrompt": "system_prompt",
    "goal": "goal",
    "status": "status",
    "language": "language",
    "instructions": "instructions",
    "qualificationCriteria": "qualification_criteria",
    "handoffMessage": "handoff_message",
    "stages": "stages",
    "guardrails": "guardrails",
    "knowledgeBaseIds": "knowledge_base_ids",
    "model": "model",
}
_ESSENTIAL = ("name", "system_prompt", "goal")
_DEFAULT_NAME = "New agent"
_DEFAULTS: dict[str, Any] = {
    "system_prompt": "",
    "goal": "",
    "language": DEFAULT_LANGUAGE,
    "instructions": "",
    "qualification_criteria": "",
    "handoff_message": DEFAULT_HANDOFF_MESSAGE,
    "stages": [],
    "knowledge_base_ids": [],
    "model": None,
}
_GUARDRAILS: dict[str, Any] = {
    "maxTotalMessages": 40,
    "inactivityTimeoutMinutes": 1440,
    "forbiddenTopics": "",
    "escalationTriggers": "",
}


def create(tenant: Tenant, body: Mapping[str, Any], *, actor: Actor) -> AgentConfig:
    """Store a new agent; what is missing gets its default. Raises Blocked (stages), NotFound (knowledge base)."""
    with transaction():
        agent = agents.add(tenant, _values(body))
        audit.record(tenant, actor, "agent_config.created", agent.oid, {"name": agent.name})
        return agent


def _values(body: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a new agent."""
    given = _columns(body)
    is_complete = all(given.get(name) for name in _ESSENTIAL)
    return {
        **_DEFAULTS,
        "name": _DEFAULT_NAME,
        **given,
        "status": given.get("status", "active") if is_complete else "draft",
        "guardrails": {**_GUARDRAILS, **given.get("guardrails", {})},
    }


def update(tenant: Tenant, oid: str, body: Mapping[str, Any], *, actor: Actor) -> AgentConfig:
    """Change what the body names and count the version up; guardrails merge, the rest is replaced.

    Raises NotFound, Blocked (stages), Conflict for an active agent without name, system prompt or goal.
    """
    with transaction():
        agent = agents.lock(tenant, oid)
        given = _columns(body)
        if "guardrails" in given:
            given["guardrails"] = {**agent.guardrails, **given["guardrails"]}
        if not given:  # only members that are taken and ignored
            return agent
        after = {name: given.get(name, getattr(agent, name)) for name in (*_ESSENTIAL, "status")}
        if after["status"] == "active" and not all(after[name] for name in _ESSENTIAL):
            message = "An active agent needs a name, a system prompt and a goal. Give it all three, or make it a draft."
            raise Conflict("agent_incomplete", message)
        agents.save(agent, given)
        metadata = {"version": agent.version, "changed": sorted(name for name in body if name in COLUMNS)}
        audit.record(tenant, actor, "agent_config.updated", oid, metadata)
        return agent


def delete(tenant: Tenant, oid: str, *, actor: Actor) -> None:
    """Remove an agent for good. Raises NotFound, Conflict while it leads a conversation that has not ended."""
    with transaction():
        agent = agents.lock(tenant, oid)
        if conversations.are_led_by(tenant, oid):
            message = "The agent leads conversations that have not ended. Set it inactive instead."
            raise Conflict("agent_in_use", message)
        agents.delete(tenant, agent)
        audit.record(tenant, actor, "agent_config.deleted", oid, {"name": agent.name})


def single(tenant: Tenant) -> AgentConfig:
    """The account's one agent for clients that know only one: the newest active, else the newest, else a new draft."""
    found = _present(tenant)
    if found is None:
        with transaction():
            leads.enter(tenant)  # two clients that ask for the first time must not make one each
            found = _present(tenant) or create(tenant, {}, actor=SYSTEM)
    return found


def _present(tenant: Tenant) -> AgentConfig | None:
    return agents.newest(tenant, status="active") or agents.newest(tenant)


def templates() -> list[dict[str, str]]:
    """All templates as {id, name, description}."""
    return [
        {"id": template["templateId"], "name": template["name"], "description": template["description"]}
        for template in list_templates()
    ]


def from_template(template_id: str) -> dict[str, Any]:
    """The columns of an agent made from a template, not stored. Raises NotFound."""
    body = get_template(template_id)
    if body is None:
        raise NotFound("template_not_found", "Template not found")
    return _values(body)


def _columns(body: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a body names, stages in script order and complete. Raises Blocked, NotFound."""
    given = {column: body[member] for member, column in COLUMNS.items() if member in body}
    if given.get("knowledge_base_ids"):
        raise NotFound("knowledge_base_not_found", "Knowledge base not found")
    if "stages" in given:
        given["stages"] = _script(given["stages"])
    return given


def _script(stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Stages with ids and all members, in order. Raises Blocked where moves or ids make no graph."""
    named = _with_ids(stages)
    problems = [Problem(path, message) for path, message in graph.problems(named)]
    if problems:
        raise Blocked("invalid_stages", problems[0].message, problems=problems)
    complete = [_complete_stage(index, stage) for index, stage in enumerate(named)]
    return sorted(complete, key=lambda stage: int(stage["order"]))


def _with_ids(stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The stages, those without an id named `stage-<n>` by the first free n from their place on."""
    taken = {stage["id"] for stage in stages if "id" in stage}
    named = []
    for place, stage in enumerate(stages, start=1):
        if "id" not in stage:
            free = next(f"stage-{n}" for n in range(place, place + len(stages) + 1) if f"stage-{n}" not in taken)
            taken.add(free)
            stage = {"id": free, **stage}
        named.append(stage)
    return named


def _complete_stage(index: int, stage: dict[str, Any]) -> dict[str, Any]:
    """A stage with every member; its ways out in both of the contract's spellings."""
    ways = {way["id"]: way for way in stage.get("nextStages", [])}
    for target in stage.get("nextStageIds", []):
        ways.setdefault(target, {"id": target})
    return {
        "order": index,
        "prompt": "",
        "transitionCriteria": "",
        "maxMessages": 0,
        **stage,
        "nextStages": list(ways.values()),
        "nextStageIds": list(ways),
    }
