"""Knowledge bases, their documents, and looking something up in them, over HTTP."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from engine import knowledge as engine
from engine.knowledge import Filters, Found, documents
from storage import bodies, knowledge, knowledge_documents
from storage.database import connection
from storage.errors import Blocked, Problem
from storage.knowledge import KnowledgeBase
from storage.knowledge_documents import KnowledgeDocument
from storage.tenancy import Caller, Tenant

from .answers import Answer, Page

_BASE_COLUMNS = {"name": "name", "description": "description", "type": "type"}
_DOCUMENT_COLUMNS = {"title": "title", "sourceUrl": "source_url", "metadata": "metadata"}
_MAX_METADATA, _MAX_METADATA_VALUE = 50, 500
_DEFAULT_LIMIT = 5


def list_knowledge_bases(user: Caller, skip: int = 0, limit: int = 50, cursor: str | None = None) -> Page:
    """A page of knowledge bases, the newest first."""
    found, total, following = knowledge.page(user.tenant, limit=limit, skip=skip, cursor=cursor)
    counts = knowledge_documents.counts(user.tenant, found)
    return Page([_base(user.tenant, base, counts[base.id]) for base in found], total, following)


def create_knowledge_base(user: Caller, body: dict[str, Any]) -> Answer:
    """A new, empty knowledge base."""
    base = documents.create_base(
        user.tenant,
        name=body["name"],
        description=body.get("description", ""),
        type_=body.get("type", "internal"),
        actor=user.actor,
    )
    return Answer(_base(user.tenant, base, 0), 201, f"/api/knowledge-bases/{base.oid}")


def get_knowledge_base(id_: str, user: Caller) -> dict[str, Any]:
    """One knowledge base. Raises NotFound."""
    return _counted(user.tenant, knowledge.get(user.tenant, id_))


def update_knowledge_base(id_: str, user: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """The knowledge base with what the body names changed. Raises NotFound."""
    values = {column: body[member] for member, column in _BASE_COLUMNS.items() if member in body}
    return _counted(user.tenant, documents.update_base(user.tenant, id_, values, actor=user.actor))


def delete_knowledge_base(id_: str, user: Caller) -> dict[str, bool]:
    """Remove a knowledge base with its documents. Raises NotFound, Conflict: agents use it."""
    documents.delete_base(user.tenant, id_, actor=user.actor)
    return {"success": True}


def search_knowledge_base(id_: str, user: Caller, body: dict[str, Any]) -> Answer:
    """The passages that answer a question, looked up after the transaction. Raises NotFound."""
    base = knowledge.get(user.tenant, id_)
    return Answer(_found([]), then=partial(_search, user.tenant, base, body))


def list_documents(
    id_: str, user: Caller, status: str | None = None, skip: int = 0, limit: int = 50, cursor: str | None = None
) -> Page:
    """A page of a knowledge base's documents, the newest first, without their content. Raises NotFound."""
    base = knowledge.get(user.tenant, id_)
    found, total, following = knowledge_documents.page(
        user.tenant, base, limit=limit, skip=skip, cursor=cursor, status=status
    )
    return Page([bodies.document(user.tenant, base, document) for document in found], total, following)


def create_document(id_: str, user: Caller, body: dict[str, Any]) -> Answer:
    """A new document; a text is indexed after the commit. Raises NotFound, Blocked, TooLarge, Invalid."""
    base = knowledge.lock(user.tenant, id_)
    given = {"title": body.get("title", ""), "source_url": body.get("sourceUrl"), "actor": user.actor}
    if "file" in body:
        name, declared, data = _file(body["file"])
        metadata = _metadata(body.get("metadata"))
        document = documents.add_document(
            user.tenant,
            base,
            content=data,
            media_type=declared,
            source_type="file",
            file_name=name,
            metadata=metadata,
            **given,
        )
    else:
        text, kind, facts = body["content"], body.get("mediaType"), body.get("metadata")
        document = documents.add_document(user.tenant, base, content=text, media_type=kind, metadata=facts, **given)
    place = f"/api/knowledge-bases/{base.oid}/documents/{document.oid}"
    return Answer(_document(user.tenant, base, document), 201, place, then=_indexed(user.tenant, base, document))


def get_document(id_: str, document_id: str, user: Caller) -> dict[str, Any]:
    """One document with its content. Raises NotFound."""
    base = knowledge.get(user.tenant, id_)
    return _document(user.tenant, base, knowledge_documents.get(user.tenant, base, document_id))


def update_document(id_: str, document_id: str, user: Caller, body: dict[str, Any]) -> Answer:
    """The document with what the body names changed. Raises NotFound."""
    values = {column: body[member] for member, column in _DOCUMENT_COLUMNS.items() if member in body}
    document = documents.update_document(
        user.tenant, id_, document_id, values, content=body.get("content"), actor=user.actor
    )
    base = knowledge.get(user.tenant, id_)
    return Answer(_document(user.tenant, base, document), then=_indexed(user.tenant, base, document))


def delete_document(id_: str, document_id: str, user: Caller) -> dict[str, bool]:
    """Remove a document. Raises NotFound."""
    documents.delete_document(user.tenant, id_, document_id, actor=user.actor)
    return {"success": True}


def retry_document(id_: str, document_id: str, user: Caller) -> Answer:
    """The document, indexed again or queued for that. Raises NotFound."""
    document = documents.retry_document(user.tenant, id_, document_id, actor=user.actor)
    base = knowledge.get(user.tenant, id_)
    return Answer(_document(user.tenant, base, document), then=_indexed(user.tenant, base, document))


def _search(tenant: Tenant, base: KnowledgeBase, body: dict[str, Any]) -> dict[str, Any]:
    given = body.get("filters")
    filters = None
    if given is not None:
        filters = Filters(
            given.get("sourceTypes", ()), given.get("documentIds", ()), tuple(given.get("metadata", {}).items())
        )
    limit = body.get("limit", _DEFAULT_LIMIT)
    return _found(engine.search(tenant, [base.oid], body["query"], limit=limit, filters=filters))


def _indexed(tenant: Tenant, base: KnowledgeBase, document: KnowledgeDocument) -> Any:
    """What makes a text ready before it is answered; None for what takes longer."""
    if not documents.is_quick(document):
        return None
    return lambda: _settled(tenant, base, document)


def _settled(tenant: Tenant, base: KnowledgeBase, document: KnowledgeDocument) -> dict[str, Any]:
    documents.settle(document)
    with connection():
        return _document(tenant, base, knowledge_documents.get(tenant, base, document.oid))


def _file(sent: Any) -> tuple[str | None, str | None, bytes]:
    """Name, declared type and bytes of a file of a multipart body; one without a file name arrives as text."""
    if isinstance(sent, str):
        return None, "text/plain", sent.encode()
    documents.refuse_large(sent.size)
    sent.file.seek(0)
    return (sent.filename or "")[-255:] or None, sent.content_type, sent.file.read()


def _metadata(text: str | None) -> dict[str, str]:
    """The metadata of a multipart body. Raises Blocked."""
    if text is None:
        return {}
    try:
        given: dict[str, str] = msgspec.json.decode(text, type=dict[str, str])
    except msgspec.DecodeError:
        given = {}
        problem = "metadata must be a JSON object of texts"
    else:
        problem = ""
        if len(given) > _MAX_METADATA or any(len(value) > _MAX_METADATA_VALUE for value in given.values()):
            problem = f"metadata must have at most {_MAX_METADATA} members of {_MAX_METADATA_VALUE} characters"
        elif any("\0" in part for pair in given.items() for part in pair):
            problem = "metadata must not contain NUL characters"
    if problem:
        raise Blocked("metadata_unreadable", problem, problems=[Problem("/metadata", problem)])
    return given


def _counted(tenant: Tenant, base: KnowledgeBase) -> dict[str, Any]:
    return _base(tenant, base, knowledge_documents.counts(tenant, [base])[base.id])


def _base(tenant: Tenant, base: KnowledgeBase, document_count: int) -> dict[str, Any]:
    return {
        "_id": base.oid,
        "accountId": tenant.account_id,
        "name": base.name,
        "description": base.description,
        "type": base.type,
        "documentCount": document_count,
        "createdAt": base.created_at,
        "updatedAt": base.updated_at,
    }


def _document(tenant: Tenant, base: KnowledgeBase, document: KnowledgeDocument) -> dict[str, Any]:
    return {**bodies.document(tenant, base, document), "content": document.content}


def _found(found: list[Found]) -> dict[str, Any]:
    return {"relevant": bool(found), "passages": [_passage(each) for each in found]}


def _passage(found: Found) -> dict[str, Any]:
    citation = {
        "documentId": found.document_id,
        "chunkId": found.chunk_id,
        "knowledgeBaseId": found.knowledge_base_id,
        "title": found.title,
        "sourceType": found.source_type,
        "start": found.start,
        "end": found.end,
    }
    if found.source_url is not None:
        citation["sourceUrl"] = found.source_url
    passage = {"text": found.text, "score": found.score, "citation": citation}
    return {**passage, "heading": found.heading} if found.heading else passage
