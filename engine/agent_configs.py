"""What an account may save as an agent, and the agents that newleaf makes by itself.

Bodies are in the contract's shape and have passed its schema. An agent without name, system prompt or goal is a draft.
Every save is a version, kept as it was. Conversations go on with the latest one; each message tells its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from engine.agents import get_template, list_templates
from engine.agents import stages as graph
from engine.agents.types import DEFAULT_HANDOFF_MESSAGE, DEFAULT_LANGUAGE
from storage import ab_tests, agent_versions, agents, audit, campaigns, conversations, knowledge, leads
from storage.agent_versions import AgentVersion
from storage.agents import MEMBERS, AgentConfig
from storage.database import transaction
from storage.errors import Blocked, Conflict, NotFound, Problem
from storage.tenancy import SYSTEM, Actor, Tenant

MOST_KNOWLEDGE_BASES = 50  # as the contract bounds the list
MAX_NAME = 200
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
        agent = agents.add(tenant, _values(tenant, body), actor=actor)
        audit.record(tenant, actor, "agent_config.created", agent.oid, {"name": agent.name})
        return agent


def _values(tenant: Tenant, body: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a new agent."""
    given = _columns(tenant, body)
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
        given = _columns(tenant, body, agent)
        if "guardrails" in given:
            given["guardrails"] = {**agent.guardrails, **given["guardrails"]}
        if not given:  # only members that are taken and ignored
            return agent
        _require_complete(agent, given)
        agents.save(tenant, agent, given, actor=actor)
        metadata = {"version": agent.version, "changed": sorted(name for name in body if name in MEMBERS)}
        audit.record(tenant, actor, "agent_config.updated", oid, metadata)
        return agent


def _require_complete(agent: AgentConfig, given: Mapping[str, Any]) -> None:
    after = {name: given.get(name, getattr(agent, name)) for name in (*_ESSENTIAL, "status")}
    if after["status"] == "active" and not all(after[name] for name in _ESSENTIAL):
        message = "An active agent needs a name, a system prompt and a goal. Give it all three, or make it a draft."
        raise Conflict("agent_incomplete", message)


def restore(tenant: Tenant, oid: str, number: int, *, actor: Actor) -> AgentConfig:
    """Make the agent what it was in that version, as its next one; its status stays, and lost knowledge stays lost.

    Raises NotFound (agent, version), Blocked (stages that may not be saved any more), Conflict as `update` does.
    """
    with transaction():
        agent = agents.lock(tenant, oid)
        then = agent_versions.get(tenant, agent.id, number).config
        found = knowledge.among(tenant, then["knowledgeBaseIds"])
        body = {**then, "knowledgeBaseIds": [base.oid for base in found]}
        del body["status"]
        given = _columns(tenant, body)
        _require_complete(agent, given)
        agents.save(tenant, agent, given, actor=actor, restored_from=number)
        audit.record(tenant, actor, "agent_config.restored", oid, {"version": agent.version, "from": number})
        return agent


def duplicate(tenant: Tenant, oid: str, *, actor: Actor) -> AgentConfig:
    """A new agent that is what this one is now, as a draft under a name of its own. Raises NotFound."""
    with transaction():
        source = agents.get(tenant, oid)
        values = {column: getattr(source, column) for column in MEMBERS.values()}
        ending = " (copy)"
        values |= {"name": source.name[: MAX_NAME - len(ending)] + ending, "status": "draft"}
        agent = agents.add(tenant, values, actor=actor)
        audit.record(tenant, actor, "agent_config.created", agent.oid, {"name": agent.name, "duplicateOf": oid})
        return agent


def attach(tenant: Tenant, oid: str, knowledge_base_oid: str, *, actor: Actor) -> AgentConfig:
    """The agent with this knowledge base among its own; one that has it stays as it is.

    Raises NotFound (agent, knowledge base), Conflict where it has as many as it may.
    """
    with transaction():
        agent = agents.lock(tenant, oid)
        knowledge.get(tenant, knowledge_base_oid)
        present = list(agent.knowledge_base_ids)
        if knowledge_base_oid in present:
            return agent
        if len(present) >= MOST_KNOWLEDGE_BASES:
            message = f"An agent has at most {MOST_KNOWLEDGE_BASES} knowledge bases. Detach one first."
            raise Conflict("too_many_knowledge_bases", message)
        return _with_knowledge(tenant, agent, [*present, knowledge_base_oid], actor)


def detach(tenant: Tenant, oid: str, knowledge_base_oid: str, *, actor: Actor) -> AgentConfig:
    """The agent without this knowledge base; one that has it not stays as it is. Raises NotFound as `attach` does."""
    with transaction():
        agent = agents.lock(tenant, oid)
        present = list(agent.knowledge_base_ids)
        if knowledge_base_oid not in present:  # one that is attached may be gone itself
            knowledge.get(tenant, knowledge_base_oid)
            return agent
        return _with_knowledge(tenant, agent, [base for base in present if base != knowledge_base_oid], actor)


def _with_knowledge(tenant: Tenant, agent: AgentConfig, oids: list[str], actor: Actor) -> AgentConfig:
    agents.save(tenant, agent, {"knowledge_base_ids": oids}, actor=actor)
    metadata = {"version": agent.version, "changed": ["knowledgeBaseIds"]}
    audit.record(tenant, actor, "agent_config.updated", agent.oid, metadata)
    return agent


def version(tenant: Tenant, oid: str, number: int) -> AgentVersion:
    """The agent as it was saved then. Raises NotFound (agent, version)."""
    return agent_versions.get(tenant, agents.get(tenant, oid).id, number)


def versions(
    tenant: Tenant, oid: str, *, limit: int, skip: int = 0, cursor: str | None = None
) -> tuple[list[AgentVersion], int, str | None]:
    """A page of the agent's versions: (versions, how many there are, cursor of the next page). Raises NotFound."""
    return agent_versions.page(tenant, agents.get(tenant, oid).id, limit=limit, skip=skip, cursor=cursor)


def delete(tenant: Tenant, oid: str, *, actor: Actor) -> None:
    """Remove an agent for good. Raises NotFound, Conflict while a conversation, test or campaign needs it."""
    with transaction():
        agent = agents.lock(tenant, oid)
        if conversations.are_led_by(tenant, oid):
            message = "The agent leads conversations that have not ended. Set it inactive instead."
            raise Conflict("agent_in_use", message)
        if ab_tests.are_using(tenant, oid):
            message = "The agent is in an A/B test. Complete or delete the test first, or set the agent inactive."
            raise Conflict("agent_in_use", message)
        if campaigns.are_using(tenant, oid):
            message = "The agent is in a campaign that is not completed. Change or delete that first, or cancel it."
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


def from_template(tenant: Tenant, template_id: str) -> dict[str, Any]:
    """The columns of an agent made from a template, not stored. Raises NotFound."""
    body = get_template(template_id)
    if body is None:
        raise NotFound("template_not_found", "Template not found")
    return _values(tenant, body)


def _columns(tenant: Tenant, body: Mapping[str, Any], agent: AgentConfig | None = None) -> dict[str, Any]:
    """The columns that a body names, stages in script order and complete. Raises Blocked, NotFound.

    What `agent` has already may be sent back, also a knowledge base that is gone.
    """
    given = {column: body[member] for member, column in MEMBERS.items() if member in body}
    if given.get("knowledge_base_ids"):
        _require_knowledge(tenant, given["knowledge_base_ids"], agent.knowledge_base_ids if agent else ())
    if "stages" in given:
        given["stages"] = _script(given["stages"])
    return given


def _require_knowledge(tenant: Tenant, oids: Sequence[str], present: Collection[str]) -> None:
    known = {base.oid for base in knowledge.among(tenant, oids)} | set(present)
    problems = [
        Problem(f"/knowledgeBaseIds/{place}", "Knowledge base not found")
        for place, oid in enumerate(oids)
        if oid not in known
    ]
    if problems:
        raise NotFound("knowledge_base_not_found", "Knowledge base not found", problems=problems)


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
