"""Webhook sources: requests whose answers become documents, and the documents that came of them.

    new → queued → ok ⇄ failed        queued: somebody has asked for a run; a failed source is tried again in its time

`config` is in the contract's members, secrets in it cut to their last characters; the whole ones are sealed in
`secrets`. `schedule` counts the changes: what was begun for an earlier one has nothing to say any more.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from peewee import BigIntegerField, BooleanField, IntegerField, JSONField, ModelSelect, TextField

from . import clock
from .base import TenantModel
from .database import is_sqlite
from .errors import NotFound
from .knowledge import KnowledgeBase
from .knowledge_documents import KnowledgeDocument
from .paging import paginate
from .tenancy import Actor, Tenant

MAX_MESSAGE = 500


class KnowledgeWebhook(TenantModel):
    """A source: what is asked, how often, and how the last run went."""

    knowledge_base_id = BigIntegerField()
    oid = TextField()
    name = TextField()
    enabled = BooleanField(default=True)
    config = JSONField(default=dict)
    secrets = TextField(null=True)
    interval_minutes = IntegerField(default=0)  # 0: only when somebody asks
    timeout_ms = IntegerField()
    schedule = IntegerField(default=1)
    state = TextField(default="new")
    failure_code = TextField(null=True)
    failure_message = TextField(null=True)
    failures = IntegerField(default=0)  # runs in a row
    documents = IntegerField(default=0)
    last_triggered_at = TextField(null=True)
    last_succeeded_at = TextField(null=True)
    next_run_at = TextField(null=True)
    actor = JSONField(default=dict)
    created_at = TextField()
    updated_at = TextField()


class KnowledgeWebhookItem(TenantModel):
    """A document that a source keeps, by what its item is called there."""

    webhook_id = BigIntegerField()
    key = TextField()
    document_oid = TextField()
    content_hash = TextField()


def add(tenant: Tenant, base: KnowledgeBase, oid: str, *, actor: Actor, **columns: Any) -> KnowledgeWebhook:
    """Store a new source under this id."""
    moment = clock.stamp()
    return KnowledgeWebhook.add(
        tenant,
        knowledge_base_id=base.id,
        oid=oid,
        actor=asdict(actor),
        created_at=moment,
        updated_at=moment,
        **columns,
    )


def get(tenant: Tenant, base: KnowledgeBase, oid: str) -> KnowledgeWebhook:
    """The source of this base with this id. Raises NotFound."""
    return _found(_of(tenant, base).where(KnowledgeWebhook.oid == oid).first())


def find(tenant: Tenant, oid: str) -> KnowledgeWebhook | None:
    """The source with this id, whichever base it is for; None once it is gone."""
    found: KnowledgeWebhook | None = KnowledgeWebhook.of(tenant).where(KnowledgeWebhook.oid == oid).first()
    return found


def lock(tenant: Tenant, base: KnowledgeBase, oid: str) -> KnowledgeWebhook:
    """The same as `get`, held until the caller's transaction ends. Its base must be held before."""
    query = _of(tenant, base).where(KnowledgeWebhook.oid == oid)
    return _found((query if is_sqlite() else query.for_update()).first())


def page(
    tenant: Tenant, base: KnowledgeBase, *, limit: int, skip: int = 0, cursor: str | None = None
) -> tuple[list[KnowledgeWebhook], int, str | None]:
    """A page of the base's sources, the newest first: (sources, how many, cursor of the next page or None)."""
    query = _of(tenant, base)
    keys = [KnowledgeWebhook.created_at, KnowledgeWebhook.oid]
    rows, following = paginate(query, keys, order="webhook sources", limit=limit, skip=skip, cursor=cursor)
    return rows, query.count(), following


def change(source: KnowledgeWebhook, **columns: Any) -> None:
    """Store these columns as the account's change."""
    source.store(**columns, updated_at=clock.stamp())


def note(source: KnowledgeWebhook, **columns: Any) -> None:
    """Store how a run goes, which is no change of the source."""
    columns["failure_message"] = (columns.get("failure_message", source.failure_message) or "")[:MAX_MESSAGE] or None
    source.store(**columns)


def delete(tenant: Tenant, source: KnowledgeWebhook) -> None:
    """Remove the source; its documents stay."""
    KnowledgeWebhook.remove(tenant).where(KnowledgeWebhook.id == source.id).execute()


def items(tenant: Tenant, source: KnowledgeWebhook) -> dict[str, KnowledgeWebhookItem]:
    """What the source keeps, by key; items whose document somebody deleted are not among it."""
    query: Any = KnowledgeWebhookItem.of(tenant).where(KnowledgeWebhookItem.webhook_id == source.id)
    kept = {item.key: item for item in query}
    there = _documents(tenant, [item.document_oid for item in kept.values()])
    return {key: item for key, item in kept.items() if item.document_oid in there}


def _documents(tenant: Tenant, oids: Collection[str]) -> set[str]:
    query = KnowledgeDocument.of(tenant, KnowledgeDocument.oid).where(KnowledgeDocument.oid.in_(list(oids)))
    rows: Any = query.tuples()
    return {oid for (oid,) in rows}


def keep_items(tenant: Tenant, source: KnowledgeWebhook, kept: Collection[tuple[str, str, str]]) -> None:
    """Keep just these items: (key, id of the document, hash of what it was made of)."""
    KnowledgeWebhookItem.remove(tenant).where(KnowledgeWebhookItem.webhook_id == source.id).execute()
    rows: list[dict[Any, Any]] = [
        {
            KnowledgeWebhookItem.webhook_id: source.id,
            KnowledgeWebhookItem.key: key,
            KnowledgeWebhookItem.document_oid: document_oid,
            KnowledgeWebhookItem.content_hash: digest,
        }
        for key, document_oid, digest in kept
    ]
    if rows:
        KnowledgeWebhookItem.add_all(tenant, rows).execute()


def _of(tenant: Tenant, base: KnowledgeBase) -> ModelSelect:
    return KnowledgeWebhook.of(tenant).where(KnowledgeWebhook.knowledge_base_id == base.id)


def _found(source: KnowledgeWebhook | None) -> KnowledgeWebhook:
    if source is None:
        raise NotFound("webhook_source_not_found", "Webhook source not found")
    return source


def after(row_id: int, limit: int) -> list[KnowledgeWebhook]:
    """Sources of all tenants in the order of their rows, from the one after this row on: to seal them anew."""
    rows: Any = ModelSelect(KnowledgeWebhook, KnowledgeWebhook._meta.sorted_fields)
    return list(rows.where(KnowledgeWebhook.id > row_id).order_by(KnowledgeWebhook.id).limit(limit))


def lock_row(tenant: Tenant, row_id: int) -> KnowledgeWebhook | None:
    """The source with this row id, held until the caller's transaction ends."""
    query = KnowledgeWebhook.of(tenant).where(KnowledgeWebhook.id == row_id)
    found: KnowledgeWebhook | None = (query if is_sqlite() else query.for_update()).first()
    return found
