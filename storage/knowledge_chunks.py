"""Chunks: the passages that documents are found by, with their words and vectors.

Everything here is asked for within one tenant and named bases; counts of words are those of one base, so what another
tenant knows changes no order and no score.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import (
    SQL,
    BigIntegerField,
    BlobField,
    Expression,
    IntegerField,
    NodeList,
    Table,
    TextField,
    Value,
    fn,
)

from .base import TenantModel
from .database import database, is_sqlite
from .ids import new_id
from .knowledge_documents import KnowledgeDocument
from .tenancy import Tenant

_TEXT: Any = Table("knowledge_text", ("rowid", "knowledge_text"))  # SQLite's index of `terms`
_AT_ONCE = 400  # rows of an INSERT, ids of an IN: fewer parameters than any engine's limit


class KnowledgeChunk(TenantModel):
    """A passage: characters [start_at, end_at) of its document's content. `embedder` says whose vector it has."""

    knowledge_base_id = BigIntegerField()
    document_id = BigIntegerField()
    oid = TextField()
    seq = IntegerField()
    start_at = IntegerField()
    end_at = IntegerField()
    heading = TextField(default="")
    text = TextField()
    terms = TextField()
    length = IntegerField()
    embedder = TextField()
    vector = BlobField()


@dataclass(frozen=True, slots=True)
class NewChunk:
    """A chunk to be stored. terms: its reduced words. vector: little-endian float32 of unit length, maybe empty."""

    start: int
    end: int
    heading: str
    text: str
    terms: Sequence[str]
    embedder: str
    vector: bytes


@dataclass(frozen=True, slots=True)
class Filters:
    """Which documents are searched: each condition that is given must hold."""

    source_types: Sequence[str] = ()
    document_oids: Sequence[str] = ()
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """What ranking by vector needs of a chunk."""

    id: int
    document_id: int
    length: int
    embedder: str
    vector: bytes


def replace(tenant: Tenant, document: KnowledgeDocument, chunks: Sequence[NewChunk]) -> None:
    """Make these the document's chunks. A passage that says what one said before keeps its id: citations stay true."""
    of_document = KnowledgeChunk.document_id == document.id
    known: Any = KnowledgeChunk.of(tenant, KnowledgeChunk.heading, KnowledgeChunk.text, KnowledgeChunk.oid)
    former = {(heading, text): oid for heading, text, oid in known.where(of_document).tuples()}
    KnowledgeChunk.remove(tenant).where(of_document).execute()
    rows: list[dict[Any, Any]] = [
        {
            KnowledgeChunk.knowledge_base_id: document.knowledge_base_id,
            KnowledgeChunk.document_id: document.id,
            KnowledgeChunk.oid: former.pop((chunk.heading, chunk.text), None) or new_id(),
            KnowledgeChunk.seq: seq,
            KnowledgeChunk.start_at: chunk.start,
            KnowledgeChunk.end_at: chunk.end,
            KnowledgeChunk.heading: chunk.heading,
            KnowledgeChunk.text: chunk.text,
            KnowledgeChunk.terms: " ".join(chunk.terms),
            KnowledgeChunk.length: len(chunk.terms),
            KnowledgeChunk.embedder: chunk.embedder,
            KnowledgeChunk.vector: chunk.vector,
        }
        for seq, chunk in enumerate(chunks)
    ]
    for start in range(0, len(rows), _AT_ONCE):
        KnowledgeChunk.add_all(tenant, rows[start : start + _AT_ONCE]).execute()


def _of(tenant: Tenant, base_id: int, *columns: Any) -> Any:
    return KnowledgeChunk.of(tenant, *columns).where(KnowledgeChunk.knowledge_base_id == base_id)


def ids(tenant: Tenant, base_id: int) -> list[int]:
    """The row ids of all chunks of a base."""
    return [each for (each,) in _of(tenant, base_id, KnowledgeChunk.id).tuples()]


def stored(tenant: Tenant, base_id: int, wanted: Collection[int] | None = None) -> list[Stored]:
    """The base's chunks for ranking by vector: all, or those with these row ids."""
    columns = (
        KnowledgeChunk.id,
        KnowledgeChunk.document_id,
        KnowledgeChunk.length,
        KnowledgeChunk.embedder,
        KnowledgeChunk.vector,
    )
    query = _of(tenant, base_id, *columns)
    if wanted is None:
        rows = list(query.tuples())
    else:
        rest = list(wanted)
        rows = []
        for start in range(0, len(rest), _AT_ONCE):
            rows.extend(query.where(KnowledgeChunk.id.in_(rest[start : start + _AT_ONCE])).tuples())
    return [
        Stored(each, document, length, embedder, bytes(vector)) for each, document, length, embedder, vector in rows
    ]


def frequency(tenant: Tenant, base_id: int, term: str) -> int:
    """In how many chunks of the base this word stands."""
    if is_sqlite():  # the index knows it without the table
        return int(_TEXT.select(_TEXT.rowid).where(_matching(base_id, [term])).count(database))
    return int(_holding(tenant, base_id, [term], KnowledgeChunk.id).count())


def holding(
    tenant: Tenant, base_id: int, terms: Sequence[str], limit: int, document_ids: Sequence[int] | None = None
) -> list[tuple[int, int, int, str]]:
    """Chunks of the base with any of these words, at most `limit`: (row id, document's row id, length, words).

    document_ids: row ids of the only documents that count.
    """
    columns = (KnowledgeChunk.id, KnowledgeChunk.document_id, KnowledgeChunk.length, KnowledgeChunk.terms)
    query = _holding(tenant, base_id, terms, *columns)
    if document_ids is not None:
        query = query.where(KnowledgeChunk.document_id.in_(list(document_ids)))
    return list(database.execute(query.limit(limit)).fetchall())  # hundreds of rows: Peewee's own take as long again


def words_of(tenant: Tenant, chunk_ids: Sequence[int]) -> dict[int, str]:
    """The words of these chunks by row id."""
    query: Any = KnowledgeChunk.of(tenant, KnowledgeChunk.id, KnowledgeChunk.terms)
    return dict(query.where(KnowledgeChunk.id.in_(list(chunk_ids))).tuples()) if chunk_ids else {}


def _holding(tenant: Tenant, base_id: int, terms: Sequence[str], *columns: Any) -> Any:
    query = _of(tenant, base_id, *columns)
    if not is_sqlite():
        any_word = " | ".join(f"'{term}'" for term in terms)
        return query.where(Expression(SQL("words"), "@@", SQL("%s::tsquery", [any_word])))
    return query.where(KnowledgeChunk.id.in_(_TEXT.select(_TEXT.rowid).where(_matching(base_id, terms))))


def _matching(base_id: int, terms: Sequence[str]) -> Expression:
    """SQLite's condition that a row of the index is of this base and has any of these words."""
    any_of = " OR ".join(f'"{term}"' for term in terms)
    return Expression(_TEXT.knowledge_text, "MATCH", f'knowledge_base_id : "{base_id}" AND terms : ({any_of})')


def documents_matching(tenant: Tenant, base_ids: Sequence[int], filters: Filters) -> set[int]:
    """The row ids of the documents of these bases that the filters let through."""
    query: Any = KnowledgeDocument.of(tenant, KnowledgeDocument.id)
    query = query.where(KnowledgeDocument.knowledge_base_id.in_(list(base_ids)))
    if filters.source_types:
        query = query.where(KnowledgeDocument.source_type.in_(list(filters.source_types)))
    if filters.document_oids:
        query = query.where(KnowledgeDocument.oid.in_(list(filters.document_oids)))
    for name, value in filters.metadata:
        query = query.where(_metadata_is(name, value))
    return {each for (each,) in query.tuples()}


def _metadata_is(name: str, value: str) -> Any:
    if is_sqlite():  # a JSON path cannot quote every name
        each = fn.json_each(KnowledgeDocument.metadata)
        found: Any = NodeList((SQL("(SELECT value FROM"), each, SQL("WHERE key ="), Value(name), SQL(")")))
    else:
        found = fn.jsonb_extract_path_text(KnowledgeDocument.metadata, name)
    return Expression(found, "=", Value(value))


def shown(tenant: Tenant, chunk_ids: Sequence[int]) -> dict[int, tuple[KnowledgeChunk, KnowledgeDocument]]:
    """These chunks with their documents (only id, title, address and kind of source), by row id."""
    columns: Any = (KnowledgeChunk.id, KnowledgeChunk.document_id, KnowledgeChunk.oid, KnowledgeChunk.start_at)
    query: Any = KnowledgeChunk.of(tenant, *columns, KnowledgeChunk.end_at, KnowledgeChunk.heading, KnowledgeChunk.text)
    chunks = {chunk.id: chunk for chunk in query.where(KnowledgeChunk.id.in_(list(chunk_ids)))}
    columns = (KnowledgeDocument.id, KnowledgeDocument.oid, KnowledgeDocument.knowledge_base_id)
    columns += (KnowledgeDocument.title, KnowledgeDocument.source_url, KnowledgeDocument.source_type)
    owners: Any = KnowledgeDocument.of(tenant, *columns)
    listed = [chunk.document_id for chunk in chunks.values()]
    documents = {document.id: document for document in owners.where(KnowledgeDocument.id.in_(listed))}
    return {
        chunk.id: (chunk, documents[chunk.document_id])
        for chunk in chunks.values()
        if chunk.document_id in documents  # else it was deleted between the two questions
    }
