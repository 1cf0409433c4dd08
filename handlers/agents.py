"""Agent configurations over HTTP."""

from __future__ import annotations

from typing import Any

from engine import agent_configs
from storage import agents, clock
from storage.agents import AgentConfig
from storage.ids import new_id
from storage.tenancy import Caller, Tenant

from .answers import Answer, Page


def list_agents(
    user: Caller, single: bool = False, skip: int = 0, limit: int = 50, cursor: str | None = None
) -> Page | dict[str, Any]:
    """A page of agents, the newest first; with `single` one agent, made if there is none."""
    if single:
        return _body(user.tenant, agent_configs.single(user.tenant))
    found, total, following = agents.page(user.tenant, limit=limit, skip=skip, cursor=cursor)
    return Page([_body(user.tenant, agent) for agent in found], total, following)


def create_agent(user: Caller, body: dict[str, Any]) -> Answer:
    """A new agent. Raises Invalid, NotFound (knowledge base)."""
    agent = agent_configs.create(user.tenant, body, actor=user.actor)
    return Answer(_body(user.tenant, agent), status=201, location=f"/api/agent-config/{agent.oid}")


def get_agent(id_: str, user: Caller) -> dict[str, Any]:
    """One agent, its knowledge bases as objects. Raises NotFound."""
    return _body(user.tenant, agents.get(user.tenant, id_))


def update_agent(id_: str, user: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """The agent with what the body names changed. Raises NotFound, Invalid, Conflict."""
    return _body(user.tenant, agent_configs.update(user.tenant, id_, body, actor=user.actor))


def replace_agent(id_: str, user: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """The same as `update_agent`: both methods are partial."""
    return update_agent(id_, user, body)


def delete_agent(id_: str, user: Caller) -> dict[str, bool]:
    """Remove an agent. Raises NotFound, Conflict."""
    agent_configs.delete(user.tenant, id_, actor=user.actor)
    return {"success": True}


def list_agent_templates(user: Caller) -> Page:  # noqa: ARG001 (every account has the same ones)
    """All ready-made agents, in one page."""
    templates = agent_configs.templates()
    return Page(templates, len(templates))


def apply_agent_template(user: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """An agent made from a template, not stored. Raises NotFound."""
    values = agent_configs.from_template(user.tenant, body["templateId"])
    moment = clock.stamp()
    return _body(user.tenant, AgentConfig(oid=new_id(), created_at=moment, updated_at=moment, **values))


def _body(tenant: Tenant, agent: AgentConfig) -> dict[str, Any]:
    """An AgentConfig of the contract; one without knowledge bases looks the same populated."""
    members = agents.config_of(agent)
    if members["model"] is None:
        del members["model"]
    return {
        "_id": agent.oid,
        "accountId": tenant.account_id,
        **members,
        "version": agent.version,
        "createdAt": agent.created_at,
        "updatedAt": agent.updated_at,
    }
