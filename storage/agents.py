"""Agent configurations: the AI of an account and its script."""

from __future__ import annotations

from typing import Any

from peewee import IntegerField, JSONField, TextField

from . import clock
from .base import TenantModel
from .database import is_sqlite
from .errors import NotFound
from .ids import new_id
from .paging import paginate
from .tenancy import Tenant


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


def add(tenant: Tenant, values: dict[str, Any]) -> AgentConfig:
    """Store a new agent with these columns."""
    moment = clock.stamp()
    return AgentConfig.add(tenant, oid=new_id(), created_at=moment, updated_at=moment, **values)


def save(agent: AgentConfig, values: dict[str, Any]) -> None:
    """Store these columns of the agent as its next version."""
    agent.store(**values, version=agent.version + 1, updated_at=clock.stamp())


def delete(tenant: Tenant, agent: AgentConfig) -> None:
    """Remove the agent for good."""
    AgentConfig.remove(tenant).where(AgentConfig.id == agent.id).execute()
