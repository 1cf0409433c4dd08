"""Knowledge bases: collections of documents that agents look things up in."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from peewee import BigIntegerField, TextField

from . import clock
from .agents import AgentConfig
from .base import TenantModel
from .database import is_sqlite
from .errors import NotFound
from .ids import new_id
from .lead_filters import has_any
from .paging import paginate
from .tenancy import Tenant


class KnowledgeBase(TenantModel):
    """A collection of documents. `version` counts the changes to what can be found in it."""

    oid = TextField()
    name = TextField()
    description = TextField(default="")
    type = TextField(default="internal")
    version = BigIntegerField(default=0)
    created_at = TextField()
    updated_at = TextField()


def get(tenant: Tenant, oid: str) -> KnowledgeBase:
    """The knowledge base with this id. Raises NotFound, for another tenant's too."""
    return _found(KnowledgeBase.of(tenant).where(KnowledgeBase.oid == oid).first())


def lock(tenant: Tenant, oid: str) -> KnowledgeBase:
    """The same, held until the caller's transaction ends. Whoever holds a document too takes its base first."""
    query = KnowledgeBase.of(tenant).where(KnowledgeBase.oid == oid)
    return _found((query if is_sqlite() else query.for_update()).first())


def _found(base: KnowledgeBase | None) -> KnowledgeBase:
    if base is None:
        raise NotFound("knowledge_base_not_found", "Knowledge base not found")
    return base


def among(tenant: Tenant, oids: Collection[str]) -> list[KnowledgeBase]:
    """Those of these knowledge bases that the tenant has, in the order of the ids; unknown ids are passed over."""
    wanted = list(dict.fromkeys(oids))
    if not wanted:
        return []
    query: Any = KnowledgeBase.of(tenant).where(KnowledgeBase.oid.in_(wanted))
    known = {base.oid: base for base in query}
    return [known[oid] for oid in wanted if oid in known]


def summaries(tenant: Tenant, oids: Sequence[str]) -> list[dict[str, str]]:
    """These knowledge bases in brief, as an agent in full shows them: _id, name, description, type."""
    return [
        {"_id": base.oid, "name": base.name, "description": base.description, "type": base.type}
        for base in among(tenant, oids)
    ]


def page(
    tenant: Tenant, *, limit: int, skip: int = 0, cursor: str | None = None
) -> tuple[list[KnowledgeBase], int, str | None]:
    """A page of knowledge bases, the newest first: (bases, how many there are, cursor of the next page or None)."""
    query = KnowledgeBase.of(tenant)
    keys = [KnowledgeBase.created_at, KnowledgeBase.oid]
    rows, following = paginate(query, keys, order="knowledge bases", limit=limit, skip=skip, cursor=cursor)
    return rows, query.count(), following


def add(tenant: Tenant, *, name: str, description: str = "", type_: str = "internal") -> KnowledgeBase:
    """Store a new, empty knowledge base."""
    moment = clock.stamp()
    return KnowledgeBase.add(
        tenant, oid=new_id(), name=name, description=description, type=type_, created_at=moment, updated_at=moment
    )


def save(base: KnowledgeBase, values: dict[str, Any]) -> None:
    """Store these columns of the knowledge base."""
    base.store(**values, updated_at=clock.stamp())


def touch(tenant: Tenant, base_id: int) -> None:
    """Say that what can be found in it has changed, in the transaction of the change."""
    KnowledgeBase.change(tenant, {KnowledgeBase.version: KnowledgeBase.version + 1}).where(
        KnowledgeBase.id == base_id
    ).execute()


def delete(tenant: Tenant, base: KnowledgeBase) -> None:
    """Remove the knowledge base with all that is in it."""
    KnowledgeBase.remove(tenant).where(KnowledgeBase.id == base.id).execute()


def agents_using(tenant: Tenant, oid: str) -> int:
    """How many of the tenant's agents look things up in it."""
    return int(AgentConfig.of(tenant).where(has_any(AgentConfig.knowledge_base_ids, [oid])).count())
