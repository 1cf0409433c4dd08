"""Indexing a document: its text read, cut into passages, their words and vectors stored.

The slow part happens outside any transaction; the effect is one, which only counts for the revision it was made of. So
a job that died leaves nothing, and one that is done twice changes nothing.
"""

from __future__ import annotations

from functools import partial

from engine.events import emit
from engine.jobs.registry import Retry, Task, job
from storage import audit, bodies, clock, knowledge, knowledge_chunks, knowledge_documents, outbox
from storage.database import connection, transaction
from storage.errors import NotFound
from storage.knowledge import KnowledgeBase
from storage.knowledge_chunks import NewChunk
from storage.knowledge_documents import KnowledgeDocument
from storage.tenancy import SYSTEM, Tenant

from . import reader
from .chunks import Chunk, split
from .embed import EmbeddingsUnavailable, embedder_of
from .extract import Extracted, Unreadable
from .terms import terms

LEASE_S = 180.0  # reading is bounded to well below it, and begins with a new lease
MAX_MESSAGE = 500
_GENERIC_TITLES = {
    "untitled",
    "(anonymous)",
    "anonymous",
    "document",
    "document1",
    "microsoft word",
    "powerpoint presentation",
}
_UNAVAILABLE = "The embeddings endpoint did not answer, again and again. Retry the document when it does."
_STOPPED = "Indexing failed again and again. Retry the document, or send it anew."


def stop(task: Task, reason: str) -> None:
    """After the last attempt the document has failed; the reason stays on the outbox row, which no client reads."""
    unavailable = reason.startswith("Embeddings:")
    held = _held(task)
    if held is not None:
        code, message = ("embeddings_unavailable", _UNAVAILABLE) if unavailable else ("internal", _STOPPED)
        _fail(task.tenant, *held, code, message)


@job("index", lease_s=LEASE_S, gave_up=stop)
def work(task: Task) -> None:
    """Index a document at one revision: payload {base, document, revision}."""
    with transaction():
        held = _held(task)
        if held is None:
            task.complete()
            return
        base, document = held
        _extend(task)  # whoever has lost the lease says nothing
        document.store(status="indexing")
        data = knowledge_documents.file_of(task.tenant, document)
    try:
        read = Extracted(document.content)
        if data is not None:
            read = reader.read(data, document.media_type, started=partial(_extend, task))
        title = _title(document, read)
        chunks = _prepared(task.tenant, title, split(read.text))
        if not chunks:
            raise Unreadable("no_text", "There are no words in the document")
    except Unreadable as error:
        _close(task, error)
        return
    except EmbeddingsUnavailable as error:
        raise Retry(f"Embeddings: {error}") from error
    with transaction():
        task.complete()
        present = _held(task)
        if present is None:
            return
        base, document = present
        knowledge_chunks.replace(task.tenant, document, chunks)
        knowledge_documents.discard_file(task.tenant, document)
        columns = {"title": title, "content": read.text, "status": "ready", "chunk_count": len(chunks)}
        knowledge_documents.save(document, columns)
        knowledge.touch(task.tenant, base.id)
        audit.record(task.tenant, SYSTEM, "knowledge_document.indexed", document.oid, {"chunks": len(chunks)})


def _held(task: Task) -> tuple[KnowledgeBase, KnowledgeDocument] | None:
    """The document and its base, held; None if it is gone or is to be indexed in a later revision."""
    try:
        base = knowledge.lock(task.tenant, task.payload["base"])
        document = knowledge_documents.lock(task.tenant, base, task.payload["document"])
    except NotFound:
        return None
    return (base, document) if document.revision == task.payload["revision"] else None


def _extend(task: Task) -> None:
    """Others were read before: our time begins now."""
    with connection():
        outbox.extend(task.claim, clock.now(), LEASE_S)


def _close(task: Task, error: Unreadable) -> None:
    with transaction():
        task.complete()
        present = _held(task)
        if present is not None:
            _fail(task.tenant, *present, error.code, error.message)


def _fail(tenant: Tenant, base: KnowledgeBase, document: KnowledgeDocument, code: str, message: str) -> None:
    values = {"status": "failed", "failure_code": code, "failure_message": message[:MAX_MESSAGE]}
    knowledge_documents.save(document, values)
    audit.record(tenant, SYSTEM, "knowledge_document.failed", document.oid, {"reason": code})
    emit(tenant, "knowledge.document.failed", lambda: bodies.document(tenant, base, document))


def _title(document: KnowledgeDocument, read: Extracted) -> str:
    """The title that was given with it, else the file's own, if that tells anything."""
    own = read.title
    if document.is_titled or not own or own.lower() in _GENERIC_TITLES:
        return document.title
    return own


def _prepared(tenant: Tenant, title: str, pieces: list[Chunk]) -> list[NewChunk]:
    """The pieces with words and vectors, of which title and headings are part. Raises EmbeddingsUnavailable."""
    said = ["\n".join(filter(None, (title, piece.heading, piece.text))) for piece in pieces]
    embedder = embedder_of(tenant)
    vectors = embedder.embed(said)
    return [
        NewChunk(
            start=piece.start,
            end=piece.end,
            heading=piece.heading,
            text=piece.text,
            terms=terms(words),
            embedder=embedder.name,
            vector=vector.astype("<f4").tobytes(),
        )
        for piece, words, vector in zip(pieces, said, vectors, strict=True)
    ]
