"""Agent configurations over HTTP."""

from __future__ import annotations

from typing import Any

from engine import agent_configs
from storage import agents, clock, knowledge
from storage.agent_versions import AgentVersion
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
    agent = agents.get(user.tenant, id_)
    bases = knowledge.summaries(user.tenant, agent.knowledge_base_ids)
    return {**_body(user.tenant, agent), "knowledgeBaseIds": bases}


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


def duplicate_agent(id_: str, user: Caller) -> Answer:
    """A draft that is what the agent is. Raises NotFound."""
    agent = agent_configs.duplicate(user.tenant, id_, actor=user.actor)
    return Answer(_body(user.tenant, agent), status=201, location=f"/api/agent-config/{agent.oid}")


def attach_knowledge_base(id_: str, kb_id: str, user: Caller) -> dict[str, Any]:
    """The agent with a knowledge base more. Raises NotFound, Conflict."""
    return _body(user.tenant, agent_configs.attach(user.tenant, id_, kb_id, actor=user.actor))


def detach_knowledge_base(id_: str, kb_id: str, user: Caller) -> dict[str, Any]:
    """The agent without that knowledge base. Raises NotFound."""
    return _body(user.tenant, agent_configs.detach(user.tenant, id_, kb_id, actor=user.actor))


def list_agent_versions(id_: str, user: Caller, skip: int = 0, limit: int = 50, cursor: str | None = None) -> Page:
    """A page of an agent's versions, the newest first. Raises NotFound."""
    found, total, following = agent_configs.versions(user.tenant, id_, limit=limit, skip=skip, cursor=cursor)
    return Page([_version(version) for version in found], total, following)


def get_agent_version(id_: str, version: int, user: Caller) -> dict[str, Any]:
    """The agent as it was saved then. Raises NotFound."""
    found = agent_configs.version(user.tenant, id_, version)
    return {**_version(found), "config": _without_none(found.config)}


def restore_agent_version(id_: str, version: int, user: Caller) -> dict[str, Any]:
    """The agent as it was then, as its next version. Raises NotFound, Blocked, Conflict."""
    return _body(user.tenant, agent_configs.restore(user.tenant, id_, version, actor=user.actor))


def _version(version: AgentVersion) -> dict[str, Any]:
    brief = {
        "version": version.number,
        "createdAt": version.created_at,
        "createdBy": {
            "type": version.created_by_type,
            "id": version.created_by_id,
            "displayName": version.created_by_name,
        },
        "changed": version.changed,
        "restoredFrom": version.restored_from,
    }
    return _without_none(brief)


def _without_none(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _body(tenant: Tenant, agent: AgentConfig) -> dict[str, Any]:
    """An AgentConfig of the contract, its knowledge bases as ids."""
    return {
        "_id": agent.oid,
        "accountId": tenant.account_id,
        **_without_none(agents.config_of(agent)),
        "version": agent.version,
        "createdAt": agent.created_at,
        "updatedAt": agent.updated_at,
    }
