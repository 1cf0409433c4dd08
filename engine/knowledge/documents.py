"""Knowledge bases and documents as an account changes them; what has to be indexed goes to the workers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import PurePath
from typing import Any

from engine.jobs import doorbell, worker
from storage import audit, knowledge, knowledge_documents, outbox
from storage.database import after_commit, transaction
from storage.errors import Blocked, Conflict, TooLarge
from storage.knowledge import KnowledgeBase
from storage.knowledge_documents import KnowledgeDocument
from storage.tenancy import Actor, Tenant

from . import kinds

MAX_FILE_BYTES = 20 * 1024 * 1024
MAX_TITLE = 500
SETTLE_S = 10.0
_QUICK_TEXT = 200_000  # characters: some 300 passages, a tenth of a second
_UNTITLED = "Untitled"


def create_base(tenant: Tenant, *, name: str, description: str, type_: str, actor: Actor) -> KnowledgeBase:
    """A new, empty knowledge base."""
    with transaction():
        base = knowledge.add(tenant, name=name, description=description, type_=type_)
        audit.record(tenant, actor, "knowledge_base.created", base.oid, {"name": name})
    return base


def update_base(tenant: Tenant, oid: str, values: Mapping[str, str], *, actor: Actor) -> KnowledgeBase:
    """Change name, description or type. Raises NotFound."""
    with transaction():
        base = knowledge.lock(tenant, oid)
        if values:
            knowledge.save(base, dict(values))
            audit.record(tenant, actor, "knowledge_base.updated", oid, {"changed": sorted(values)})
    return base


def delete_base(tenant: Tenant, oid: str, *, actor: Actor) -> None:
    """Remove a knowledge base with its documents. Raises NotFound, Conflict while agents use it."""
    with transaction():
        base = knowledge.lock(tenant, oid)
        if using := knowledge.agents_using(tenant, oid):
            agents = "1 agent looks" if using == 1 else f"{using} agents look"
            message = f"{agents} things up in this knowledge base. Detach it from them first."
            raise Conflict("knowledge_base_in_use", message, details=str(using))
        knowledge.delete(tenant, base)
        audit.record(tenant, actor, "knowledge_base.deleted", oid, {"name": base.name})


def put_document(
    tenant: Tenant,
    base: KnowledgeBase,
    *,
    title: str = "",
    content: str | bytes,
    media_type: str = kinds.TEXT,
    source_type: str = "text",
    source_url: str | None = None,
    file_name: str | None = None,
    metadata: Mapping[str, str] | None = None,
    replaces: str | None = None,
    actor: Actor,
) -> KnowledgeDocument:
    """Store what an address says now, to be indexed: a new document, or the one from there changed.

    With a `source_url` the same content is nothing to do, the document is answered as it is; without one there is a
    new document. replaces: the document to change, wherever it came from. Text of the media type text/plain is kept to
    the letter, everything else is read in the worker. title: "" takes the file's own. Raises NotFound (the base is
    gone), Blocked (empty, no known kind), TooLarge.
    """
    with transaction():
        base = knowledge.lock(tenant, base.oid)
        document = knowledge_documents.find(tenant, base, replaces) if replaces is not None else None
        if document is None and source_url is not None:
            document = knowledge_documents.by_source_url(tenant, base, source_url)
        if document is None:
            return add_document(
                tenant,
                base,
                title=title,
                content=content,
                media_type=media_type,
                source_type=source_type,
                source_url=source_url,
                file_name=file_name,
                metadata=metadata,
                actor=actor,
            )
        values: dict[str, Any] = {} if metadata is None else {"metadata": dict(metadata)}
        if title:
            values |= {"title": title[:MAX_TITLE], "is_titled": True}
        return _changed(tenant, base, document, values, content, media_type, file_name, actor)


def add_document(
    tenant: Tenant,
    base: KnowledgeBase,
    *,
    title: str = "",
    content: str | bytes,
    media_type: str | None = None,
    source_type: str = "text",
    source_url: str | None = None,
    file_name: str | None = None,
    metadata: Mapping[str, str] | None = None,
    actor: Actor,
) -> KnowledgeDocument:
    """Store a new document, to be indexed. As `put_document`, whatever else came from the same address."""
    data, columns = _content(content, media_type, file_name)
    values = {
        **columns,
        "title": (title or PurePath(file_name or "").stem or _UNTITLED)[:MAX_TITLE],
        "is_titled": bool(title),
        "source_type": source_type,
        "source_url": source_url,
        "file_name": file_name,
        "metadata": dict(metadata or {}),
    }
    with transaction():
        document = knowledge_documents.add(tenant, base, values, data)
        audit.record(tenant, actor, "knowledge_document.created", document.oid, {"title": document.title})
        _queue(tenant, base, document)
    return document


def update_document(
    tenant: Tenant, base_oid: str, oid: str, values: Mapping[str, Any], *, content: str | None = None, actor: Actor
) -> KnowledgeDocument:
    """Change columns of a document, or its text; a new title or text is indexed anew. Raises NotFound."""
    with transaction():
        base = knowledge.lock(tenant, base_oid)
        document = knowledge_documents.lock(tenant, base, oid)
        media_type = kinds.TEXT if content is not None else document.media_type
        return _changed(tenant, base, document, dict(values), content, media_type, None, actor)


def delete_document(tenant: Tenant, base_oid: str, oid: str, *, actor: Actor) -> None:
    """Remove a document with its passages. Raises NotFound."""
    with transaction():
        base = knowledge.lock(tenant, base_oid)
        document = knowledge_documents.lock(tenant, base, oid)
        knowledge_documents.delete(tenant, document)
        knowledge.touch(tenant, base.id)
        audit.record(tenant, actor, "knowledge_document.deleted", oid, {"title": document.title})


def retry_document(tenant: Tenant, base_oid: str, oid: str, *, actor: Actor) -> KnowledgeDocument:
    """Index a document again that failed or is ready; one that waits or is in work stays so. Raises NotFound."""
    with transaction():
        base = knowledge.lock(tenant, base_oid)
        document = knowledge_documents.lock(tenant, base, oid)
        if document.status in ("failed", "ready"):
            _queue_again(tenant, base, document, {})
            audit.record(tenant, actor, "knowledge_document.retried", oid)
    return document


def is_quick(document: KnowledgeDocument) -> bool:
    """Whether it waits to be indexed and that takes no longer than whoever sent it will wait."""
    return (
        document.status == "pending" and document.media_type == kinds.TEXT and 0 < len(document.content) <= _QUICK_TEXT
    )


def settle(document: KnowledgeDocument, within_s: float = SETTLE_S) -> bool:
    """Index it in this thread, or wait for the worker that does; False if it takes longer. Outside any transaction."""
    lane = lane_of(document.oid)
    row = outbox.last_unfinished(lane)
    return row is None or worker.settle(lane, row, within_s)


def lane_of(oid: str) -> str:
    """The lane of the outbox that the indexing of this document goes through."""
    return f"knowledge:{oid}"


def refuse_large(size_bytes: int) -> None:
    """Raises TooLarge for more than a file may have."""
    if size_bytes > MAX_FILE_BYTES:
        raise TooLarge("payload_too_large", f"The file is too large: at most {MAX_FILE_BYTES} bytes are accepted")


def _content(
    content: str | bytes, media_type: str | None, file_name: str | None
) -> tuple[bytes | None, dict[str, Any]]:
    """The file to keep, None for plain text, and the columns that say what it is. Raises Blocked, TooLarge."""
    size_bytes = len(content.encode() if isinstance(content, str) else content)
    refuse_large(size_bytes)
    columns: dict[str, Any] = {"size_bytes": size_bytes, "content_hash": knowledge_documents.hash_of(content)}
    if isinstance(content, str) and media_type in (None, kinds.TEXT):
        if not content.strip():
            raise Blocked("empty_file", "The text is empty")
        return None, {**columns, "media_type": kinds.TEXT, "content": content}
    data = content.encode() if isinstance(content, str) else content
    return data, {**columns, "media_type": kinds.kind_of(data, file_name, media_type), "content": ""}


def _changed(
    tenant: Tenant,
    base: KnowledgeBase,
    document: KnowledgeDocument,
    values: dict[str, Any],
    content: str | bytes | None,
    media_type: str,
    file_name: str | None,
    actor: Actor,
) -> KnowledgeDocument:
    """The document with these columns and this content, if either is new, in the caller's transaction."""
    values = {name: value for name, value in values.items() if getattr(document, name) != value}
    is_new = content is not None and knowledge_documents.hash_of(content) != document.content_hash
    if not values and not is_new:
        return document
    if content is not None and is_new:
        data, columns = _content(content, media_type, file_name)
        values |= columns
        if data is None:
            knowledge_documents.discard_file(tenant, document)
        else:
            knowledge_documents.keep(tenant, document, data)
            del values["content"]  # what could be found so far is found until the new text has been read
    if is_new or "title" in values:  # passages are found by the title, too
        _queue_again(tenant, base, document, values)
    else:
        knowledge_documents.save(document, values)
        knowledge.touch(tenant, base.id)
    audit.record(tenant, actor, "knowledge_document.updated", document.oid, {"changed": sorted(values)})
    return document


def _queue_again(tenant: Tenant, base: KnowledgeBase, document: KnowledgeDocument, values: dict[str, Any]) -> None:
    state = {"status": "pending", "failure_code": None, "failure_message": None, "revision": document.revision + 1}
    knowledge_documents.save(document, {**values, **state})
    _queue(tenant, base, document)


def _queue(tenant: Tenant, base: KnowledgeBase, document: KnowledgeDocument) -> None:
    lane = lane_of(document.oid)
    payload = {"base": base.oid, "document": document.oid, "revision": document.revision}
    outbox.put(tenant, "index", lane, payload)
    after_commit(partial(doorbell.ring, lane))
