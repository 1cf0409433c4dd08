"""Knowledge bases, their documents, and the chunks that documents are found by."""

from typing import Any

from peewee import Database, SqliteDatabase

# `terms` are the words of a chunk as engine/knowledge/terms.py reduces them, the same way for both engines, separated
# by single spaces. So the indexes below only need to know whole words.
_TABLES = """
CREATE TABLE knowledge_base (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_knowledge_base_tenant REFERENCES account_environment (id),
    oid TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    type TEXT NOT NULL CONSTRAINT ck_knowledge_base_type CHECK (type IN ('internal', 'external')),
    version BIGINT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_knowledge_base_oid ON knowledge_base (oid);
CREATE INDEX ix_knowledge_base_created ON knowledge_base (tenant_id, created_at, oid);
CREATE TABLE knowledge_document (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_knowledge_document_tenant REFERENCES account_environment (id),
    knowledge_base_id BIGINT NOT NULL
        CONSTRAINT fk_knowledge_document_base REFERENCES knowledge_base (id) ON DELETE CASCADE,
    oid TEXT NOT NULL,
    title TEXT NOT NULL,
    is_titled {bool} NOT NULL,
    source_type TEXT NOT NULL
        CONSTRAINT ck_knowledge_document_source CHECK (source_type IN ('text', 'file', 'sitemap', 'webhook')),
    source_url TEXT,
    media_type TEXT NOT NULL,
    file_name TEXT,
    metadata {json} NOT NULL,
    content TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    status TEXT NOT NULL
        CONSTRAINT ck_knowledge_document_status CHECK (status IN ('pending', 'indexing', 'ready', 'failed')),
    failure_code TEXT,
    failure_message TEXT,
    chunk_count INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_knowledge_document_oid ON knowledge_document (oid);
CREATE INDEX ix_knowledge_document_created ON knowledge_document (tenant_id, knowledge_base_id, created_at, oid);
CREATE INDEX ix_knowledge_document_url ON knowledge_document (knowledge_base_id, source_url)
    WHERE source_url IS NOT NULL;
CREATE TABLE knowledge_piece (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_knowledge_piece_tenant REFERENCES account_environment (id),
    document_id BIGINT NOT NULL
        CONSTRAINT fk_knowledge_piece_document REFERENCES knowledge_document (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    data {blob} NOT NULL
);
CREATE UNIQUE INDEX uq_knowledge_piece ON knowledge_piece (document_id, seq);
CREATE TABLE knowledge_chunk (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_knowledge_chunk_tenant REFERENCES account_environment (id),
    knowledge_base_id BIGINT NOT NULL
        CONSTRAINT fk_knowledge_chunk_base REFERENCES knowledge_base (id) ON DELETE CASCADE,
    document_id BIGINT NOT NULL
        CONSTRAINT fk_knowledge_chunk_document REFERENCES knowledge_document (id) ON DELETE CASCADE,
    oid TEXT NOT NULL,
    seq INTEGER NOT NULL,
    start_at INTEGER NOT NULL,
    end_at INTEGER NOT NULL,
    heading TEXT NOT NULL,
    text TEXT NOT NULL,
    terms TEXT NOT NULL,
    length INTEGER NOT NULL,
    embedder TEXT NOT NULL,
    vector {blob} NOT NULL
);
CREATE UNIQUE INDEX uq_knowledge_chunk_oid ON knowledge_chunk (oid);
CREATE UNIQUE INDEX uq_knowledge_chunk_seq ON knowledge_chunk (document_id, seq);
CREATE INDEX ix_knowledge_chunk_base ON knowledge_chunk (tenant_id, knowledge_base_id, id)
"""

# The index has no copy of the words; what it finds is looked up in the table. `knowledge_base_id` is a word of it, so
# that the words of other bases do not slow the search of one.
_SQLITE_TERMS = (
    """CREATE VIRTUAL TABLE knowledge_text USING fts5(
        knowledge_base_id, terms, content='knowledge_chunk', content_rowid='id', columnsize=0, detail=column,
        tokenize='unicode61 remove_diacritics 0')""",
    """CREATE TRIGGER knowledge_text_insert AFTER INSERT ON knowledge_chunk BEGIN
        INSERT INTO knowledge_text (rowid, knowledge_base_id, terms) VALUES (NEW.id, NEW.knowledge_base_id, NEW.terms);
    END""",
    """CREATE TRIGGER knowledge_text_delete AFTER DELETE ON knowledge_chunk BEGIN
        INSERT INTO knowledge_text (knowledge_text, rowid, knowledge_base_id, terms)
            VALUES ('delete', OLD.id, OLD.knowledge_base_id, OLD.terms);
    END""",
)
# Kept beside the text: looking a word up in it costs a hundredth of taking the text apart for each row looked at.
_POSTGRESQL_TERMS = (
    """ALTER TABLE knowledge_chunk ADD COLUMN words tsvector
        GENERATED ALWAYS AS (array_to_tsvector(string_to_array(terms, ' '))) STORED""",
    "CREATE INDEX ix_knowledge_chunk_words ON knowledge_chunk USING gin (words)",
)

_SQLITE_TYPES = {"pk": "INTEGER PRIMARY KEY AUTOINCREMENT", "json": "TEXT", "blob": "BLOB", "bool": "INTEGER"}
_POSTGRESQL_TYPES = {"pk": "BIGSERIAL PRIMARY KEY", "json": "JSONB", "blob": "BYTEA", "bool": "BOOLEAN"}


def up(migrator: Any, db: Database) -> None:
    """Create the tables in the types of the engine, and its index of words."""
    is_sqlite = isinstance(db, SqliteDatabase)
    types = _SQLITE_TYPES if is_sqlite else _POSTGRESQL_TYPES
    for statement in _TABLES.format(**types).split(";"):
        db.execute_sql(statement)
    for statement in _SQLITE_TERMS if is_sqlite else _POSTGRESQL_TERMS:
        db.execute_sql(statement)
