"""Documents of a knowledge base, and the files they came as.

    pending → indexing → ready
       ↑         └────→ failed
       └── retry, or new content ──┘

A file is kept in pieces until its text has been read out of it; `content` is that text, and spans of chunks count its
characters. `revision` counts what was asked to be indexed: a job for an earlier one has nothing to do any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from peewee import BigIntegerField, BlobField, BooleanField, IntegerField, JSONField, ModelSelect, TextField, fn

from . import clock
from .base import TenantModel
from .database import is_sqlite
from .errors import NotFound
from .ids import new_id
from .knowledge import KnowledgeBase
from .paging import paginate
from .tenancy import Tenant

PIECE_BYTES = 256 * 1024


class KnowledgeDocument(TenantModel):
    """One document: a text, a file or a page, and how far its indexing has come."""

    knowledge_base_id = BigIntegerField()
    oid = TextField()
    title = TextField()
    is_titled = BooleanField(default=True)  # False: it may still be taken from the file
    source_type = TextField(default="text")
    source_url = TextField(null=True)
    media_type = TextField(default="text/plain")
    file_name = TextField(null=True)
    metadata = JSONField(default=dict)
    content = TextField(default="")
    content_hash = TextField(default="")
    size_bytes = BigIntegerField(default=0)
    status = TextField(default="pending")
    failure_code = TextField(null=True)
    failure_message = TextField(null=True)
    chunk_count = IntegerField(default=0)
    revision = IntegerField(default=1)
    created_at = TextField()
    updated_at = TextField()


class KnowledgePiece(TenantModel):
    """One piece of a file; pieces in order of `seq` are the file."""

    document_id = BigIntegerField()
    seq = IntegerField()
    data = BlobField()


_LISTED = [column for column in KnowledgeDocument._meta.sorted_fields if column.name != "content"]


def hash_of(content: str | bytes) -> str:
    """What tells contents apart."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def get(tenant: Tenant, base: KnowledgeBase, oid: str) -> KnowledgeDocument:
    """The document of this base with this id. Raises NotFound."""
    return _found(_of(tenant, base).where(KnowledgeDocument.oid == oid).first())


def find(tenant: Tenant, base: KnowledgeBase, oid: str) -> KnowledgeDocument | None:
    """The same; None where there is none."""
    found: KnowledgeDocument | None = _of(tenant, base).where(KnowledgeDocument.oid == oid).first()
    return found


def lock(tenant: Tenant, base: KnowledgeBase, oid: str) -> KnowledgeDocument:
    """The same, held until the caller's transaction ends. Its base must be held before."""
    query = _of(tenant, base).where(KnowledgeDocument.oid == oid)
    return _found((query if is_sqlite() else query.for_update()).first())


def by_source_url(tenant: Tenant, base: KnowledgeBase, source_url: str) -> KnowledgeDocument | None:
    """The document of this base that came from this address; the newest of several."""
    query = _of(tenant, base).where(KnowledgeDocument.source_url == source_url)
    found: KnowledgeDocument | None = query.order_by(KnowledgeDocument.id.desc()).first()
    return found


def _found(document: KnowledgeDocument | None) -> KnowledgeDocument:
    if document is None:
        raise NotFound("document_not_found", "Document not found")
    return document


def _of(tenant: Tenant, base: KnowledgeBase, *columns: Any) -> ModelSelect:
    return KnowledgeDocument.of(tenant, *columns).where(KnowledgeDocument.knowledge_base_id == base.id)


def page(
    tenant: Tenant,
    base: KnowledgeBase,
    *,
    limit: int,
    skip: int = 0,
    cursor: str | None = None,
    status: str | None = None,
) -> tuple[list[KnowledgeDocument], int, str | None]:
    """A page of the base's documents without their content, the newest first: (documents, how many, next cursor)."""
    query = _of(tenant, base, *_LISTED)
    if status is not None:
        query = query.where(KnowledgeDocument.status == status)
    keys = [KnowledgeDocument.created_at, KnowledgeDocument.oid]
    rows, following = paginate(query, keys, order="documents", limit=limit, skip=skip, cursor=cursor)
    return rows, query.count(), following


def counts(tenant: Tenant, bases: list[KnowledgeBase]) -> dict[int, int]:
    """How many documents each of these bases has, by the base's row id."""
    ids = [base.id for base in bases]
    if not ids:
        return {}
    owner = KnowledgeDocument.knowledge_base_id
    rows: Any = (
        KnowledgeDocument.of(tenant, owner, fn.COUNT(KnowledgeDocument.id)).where(owner.in_(ids)).group_by(owner)
    )
    return {**dict.fromkeys(ids, 0), **dict(rows.tuples())}


def add(tenant: Tenant, base: KnowledgeBase, values: dict[str, Any], data: bytes | None = None) -> KnowledgeDocument:
    """Store a new document to be indexed; `data` is the file that its text has yet to be read from."""
    moment = clock.stamp()
    document = KnowledgeDocument.add(
        tenant, knowledge_base_id=base.id, oid=new_id(), created_at=moment, updated_at=moment, **values
    )
    if data is not None:
        keep(tenant, document, data)
    return document


def save(document: KnowledgeDocument, values: Mapping[str, Any]) -> None:
    """Store these columns of the document."""
    document.store(**values, updated_at=clock.stamp())


def delete(tenant: Tenant, document: KnowledgeDocument) -> None:
    """Remove the document with its file and its chunks."""
    KnowledgeDocument.remove(tenant).where(KnowledgeDocument.id == document.id).execute()


def keep(tenant: Tenant, document: KnowledgeDocument, data: bytes) -> None:
    """Keep a file for this document instead of the one there was."""
    discard_file(tenant, document)
    for seq, start in enumerate(range(0, len(data), PIECE_BYTES)):
        piece = data[start : start + PIECE_BYTES]
        KnowledgePiece.add(tenant, document_id=document.id, seq=seq, data=piece)


def file_of(tenant: Tenant, document: KnowledgeDocument) -> bytes | None:
    """The file that the document's text has yet to be read from; None where there is none."""
    query: Any = KnowledgePiece.of(tenant).where(KnowledgePiece.document_id == document.id)
    pieces = [bytes(piece.data) for piece in query.order_by(KnowledgePiece.seq)]
    return b"".join(pieces) if pieces else None


def discard_file(tenant: Tenant, document: KnowledgeDocument) -> None:
    """Drop the document's file."""
    KnowledgePiece.remove(tenant).where(KnowledgePiece.document_id == document.id).execute()
