"""What an agent was at each save: snapshots that nobody changes, and that go with their agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from peewee import BigIntegerField, IntegerField, JSONField, TextField

from . import clock
from .base import TenantModel
from .errors import NotFound
from .paging import paginate
from .tenancy import Actor, Tenant


class AgentVersion(TenantModel):
    """An agent as it was saved; `config` holds the contract's members, `changed` names those that the save gave."""

    agent_id = BigIntegerField()
    number = IntegerField()
    config = JSONField()
    changed = JSONField(default=list)
    restored_from = IntegerField(null=True)
    created_by_type = TextField()
    created_by_id = TextField()
    created_by_name = TextField()
    created_at = TextField()


def add(
    tenant: Tenant,
    agent_id: int,
    number: int,
    config: Mapping[str, Any],
    *,
    changed: Sequence[str],
    actor: Actor,
    restored_from: int | None = None,
) -> AgentVersion:
    """Write a snapshot, in the transaction of the save. agent_id: the row's, not the public id."""
    return AgentVersion.add(
        tenant,
        agent_id=agent_id,
        number=number,
        config=dict(config),
        changed=list(changed),
        restored_from=restored_from,
        created_by_type=actor.type,
        created_by_id=actor.id,
        created_by_name=actor.display_name,
        created_at=clock.stamp(),
    )


def get(tenant: Tenant, agent_id: int, number: int) -> AgentVersion:
    """This version of the agent in this row. Raises NotFound, also for one from before versions were kept."""
    found: AgentVersion | None = _of_agent(tenant, agent_id).where(AgentVersion.number == number).first()
    if found is None:
        raise NotFound("agent_version_not_found", "Agent version not found")
    return found


def page(
    tenant: Tenant, agent_id: int, *, limit: int, skip: int = 0, cursor: str | None = None
) -> tuple[list[AgentVersion], int, str | None]:
    """A page of an agent's versions, the newest first: (versions, how many there are, cursor of the next or None)."""
    query = _of_agent(tenant, agent_id)
    rows, following = paginate(
        query, [AgentVersion.number], order="agent_versions", limit=limit, skip=skip, cursor=cursor
    )
    return rows, query.count(), following


def _of_agent(tenant: Tenant, agent_id: int) -> Any:
    return AgentVersion.of(tenant).where(AgentVersion.agent_id == agent_id)
