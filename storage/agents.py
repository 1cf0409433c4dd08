"""Agent configurations: the AI of an account and its script."""

from __future__ import annotations

from typing import Any

from peewee import IntegerField, JSONField, TextField

from . import agent_versions, clock
from .base import TenantModel
from .database import is_sqlite
from .errors import NotFound
from .ids import new_id
from .paging import paginate
from .tenancy import SYSTEM, Actor, Tenant

# The contract's members of an agent and the columns that hold them: what an account writes, and what a version keeps.
MEMBERS = {
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


class AgentConfig(TenantModel):
    """A prompt, a goal, stages and guardrails; `body` parts are stored in the contract's own JSON shape."""

    oid = TextField()
    name = TextField()
    system_prompt = TextField(default="")
    goal = TextField(default="")
    status = TextField(default="active")
    language = TextField(default="English")
    instructions = TextField(default="")
    qualification_criteria = TextField(default="")
    handoff_message = TextField()
    stages = JSONField(default=list)
    guardrails = JSONField(default=dict)
    knowledge_base_ids = JSONField(default=list)
    model = JSONField(null=True)
    version = IntegerField(default=1)
    created_at = TextField()
    updated_at = TextField()


def names(tenant: Tenant) -> dict[str, str]:
    """What each agent is called, by its id."""
    query: Any = AgentConfig.of(tenant, AgentConfig.oid, AgentConfig.name)
    return dict(query.tuples())


def get(tenant: Tenant, oid: str) -> AgentConfig:
    """The agent with this id. Raises NotFound, for another tenant's agent too."""
    return _found(AgentConfig.of(tenant).where(AgentConfig.oid == oid).first())


def lock(tenant: Tenant, oid: str) -> AgentConfig:
    """The agent with this id, held until the caller's transaction ends. Raises NotFound."""
    query = AgentConfig.of(tenant).where(AgentConfig.oid == oid)
    return _found((query if is_sqlite() else query.for_update()).first())


def _found(agent: AgentConfig | None) -> AgentConfig:
    if agent is None:
        raise NotFound("agent_not_found", "Agent not found")
    return agent


def active(tenant: Tenant, oid: str | None) -> AgentConfig | None:
    """The agent with this id if there is one and it may open conversations."""
    query = AgentConfig.of(tenant).where((AgentConfig.oid == oid) & (AgentConfig.status == "active"))
    return None if oid is None else query.first()


def newest(tenant: Tenant, *, status: str | None = None) -> AgentConfig | None:
    """The agent made last, of those in this status if one is given; None if there is none."""
    query = AgentConfig.of(tenant)
    if status is not None:
        query = query.where(AgentConfig.status == status)
    found: AgentConfig | None = query.order_by(AgentConfig.created_at.desc(), AgentConfig.oid.desc()).first()
    return found


def page(
    tenant: Tenant, *, limit: int, skip: int = 0, cursor: str | None = None
) -> tuple[list[AgentConfig], int, str | None]:
    """A page of agents, the newest first: (agents, how many there are, cursor of the next page or None)."""
    query = AgentConfig.of(tenant)
    keys = [AgentConfig.created_at, AgentConfig.oid]
    rows, following = paginate(query, keys, order="agents", limit=limit, skip=skip, cursor=cursor)
    return rows, query.count(), following


def config_of(agent: AgentConfig) -> dict[str, Any]:
    """What the agent is, in the contract's members."""
    return {member: getattr(agent, column) for member, column in MEMBERS.items()}


def add(tenant: Tenant, values: dict[str, Any], *, actor: Actor = SYSTEM) -> AgentConfig:
    """Store a new agent with these columns, as its first version."""
    moment = clock.stamp()
    agent = AgentConfig.add(tenant, oid=new_id(), created_at=moment, updated_at=moment, **values)
    agent_versions.add(tenant, agent.id, agent.version, config_of(agent), changed=[], actor=actor)
    return agent


def save(
    tenant: Tenant, agent: AgentConfig, values: dict[str, Any], *, actor: Actor, restored_from: int | None = None
) -> None:
    """Store these columns of a held agent as its next version. restored_from: the version that they come from."""
    agent.store(**values, version=agent.version + 1, updated_at=clock.stamp())
    changed = sorted(member for member, column in MEMBERS.items() if column in values)
    agent_versions.add(
        tenant,
        agent.id,
        agent.version,
        config_of(agent),
        changed=changed,
        actor=actor,
        restored_from=restored_from,
    )


def delete(tenant: Tenant, agent: AgentConfig) -> None:
    """Remove the agent for good, with all its versions."""
    AgentConfig.remove(tenant).where(AgentConfig.id == agent.id).execute()
