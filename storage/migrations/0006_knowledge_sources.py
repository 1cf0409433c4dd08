"""Where documents come from by themselves: crawls with their pages, webhook sources, and the pace of asking hosts."""

from typing import Any

from peewee import Database, SqliteDatabase

_TABLES = """
CREATE TABLE knowledge_crawl (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_knowledge_crawl_tenant REFERENCES account_environment (id),
    knowledge_base_id BIGINT NOT NULL
        CONSTRAINT fk_knowledge_crawl_base REFERENCES knowledge_base (id) ON DELETE CASCADE,
    oid TEXT NOT NULL,
    status TEXT NOT NULL
        CONSTRAINT ck_knowledge_crawl_status
        CHECK (status IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
    phase TEXT NOT NULL CONSTRAINT ck_knowledge_crawl_phase CHECK (phase IN ('sitemaps', 'pages', 'sweep')),
    round INTEGER NOT NULL,
    sitemap_url TEXT,
    site_url TEXT,
    sitemaps {json} NOT NULL,
    is_list_complete {bool} NOT NULL,
    urls {json} NOT NULL,
    max_pages INTEGER NOT NULL,
    uses_llm_distill {bool} NOT NULL,
    recrawl_hours INTEGER,
    urls_found INTEGER NOT NULL,
    pages INTEGER NOT NULL,
    counts {json} NOT NULL,
    failure_code TEXT,
    failure_message TEXT,
    actor {json} NOT NULL,
    started_at TEXT,
    finished_at TEXT,
    next_crawl_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_knowledge_crawl_oid ON knowledge_crawl (oid);
CREATE INDEX ix_knowledge_crawl_created ON knowledge_crawl (tenant_id, knowledge_base_id, created_at, oid);
CREATE TABLE knowledge_crawl_page (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_knowledge_crawl_page_tenant REFERENCES account_environment (id),
    crawl_id BIGINT NOT NULL
        CONSTRAINT fk_knowledge_crawl_page_crawl REFERENCES knowledge_crawl (id) ON DELETE CASCADE,
    url TEXT NOT NULL,
    round INTEGER NOT NULL,
    outcome TEXT NOT NULL
        CONSTRAINT ck_knowledge_crawl_page_outcome
        CHECK (outcome IN ('pending', 'indexed', 'updated', 'unchanged', 'gone', 'skipped', 'failed')),
    reason_code TEXT,
    reason TEXT,
    attempts INTEGER NOT NULL,
    http_status INTEGER,
    etag TEXT,
    last_modified TEXT,
    content_hash TEXT,
    document_oid TEXT,
    fetched_at TEXT
);
CREATE UNIQUE INDEX uq_knowledge_crawl_page ON knowledge_crawl_page (crawl_id, url);
CREATE INDEX ix_knowledge_crawl_page_round ON knowledge_crawl_page (crawl_id, round, id);
CREATE INDEX ix_knowledge_crawl_page_pending ON knowledge_crawl_page (crawl_id, attempts, id)
    WHERE outcome = 'pending';
CREATE TABLE knowledge_crawl_robots (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_knowledge_crawl_robots_tenant REFERENCES account_environment (id),
    crawl_id BIGINT NOT NULL
        CONSTRAINT fk_knowledge_crawl_robots_crawl REFERENCES knowledge_crawl (id) ON DELETE CASCADE,
    origin TEXT NOT NULL,
    state TEXT NOT NULL CONSTRAINT ck_knowledge_crawl_robots_state CHECK (state IN ('rules', 'open', 'closed')),
    text TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_knowledge_crawl_robots ON knowledge_crawl_robots (crawl_id, origin);
CREATE TABLE knowledge_host_pace (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_knowledge_host_pace_tenant REFERENCES account_environment (id),
    host TEXT NOT NULL,
    free_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_knowledge_host_pace ON knowledge_host_pace (tenant_id, host);
CREATE TABLE knowledge_webhook (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_knowledge_webhook_tenant REFERENCES account_environment (id),
    knowledge_base_id BIGINT NOT NULL
        CONSTRAINT fk_knowledge_webhook_base REFERENCES knowledge_base (id) ON DELETE CASCADE,
    oid TEXT NOT NULL,
    name TEXT NOT NULL,
    enabled {bool} NOT NULL,
    config {json} NOT NULL,
    secrets TEXT,
    interval_minutes INTEGER NOT NULL,
    timeout_ms INTEGER NOT NULL,
    schedule INTEGER NOT NULL,
    state TEXT NOT NULL CONSTRAINT ck_knowledge_webhook_state CHECK (state IN ('new', 'queued', 'ok', 'failed')),
    failure_code TEXT,
    failure_message TEXT,
    failures INTEGER NOT NULL,
    documents INTEGER NOT NULL,
    last_triggered_at TEXT,
    last_succeeded_at TEXT,
    next_run_at TEXT,
    actor {json} NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_knowledge_webhook_oid ON knowledge_webhook (oid);
CREATE INDEX ix_knowledge_webhook_created ON knowledge_webhook (tenant_id, knowledge_base_id, created_at, oid);
CREATE TABLE knowledge_webhook_item (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_knowledge_webhook_item_tenant REFERENCES account_environment (id),
    webhook_id BIGINT NOT NULL
        CONSTRAINT fk_knowledge_webhook_item_webhook REFERENCES knowledge_webhook (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    document_oid TEXT NOT NULL,
    content_hash TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_knowledge_webhook_item ON knowledge_webhook_item (webhook_id, key)
"""

_SQLITE_TYPES = {"pk": "INTEGER PRIMARY KEY AUTOINCREMENT", "json": "TEXT", "bool": "INTEGER"}
_POSTGRESQL_TYPES = {"pk": "BIGSERIAL PRIMARY KEY", "json": "JSONB", "bool": "BOOLEAN"}


def up(migrator: Any, db: Database) -> None:
    """Create the tables in the types of the engine."""
    types = _SQLITE_TYPES if isinstance(db, SqliteDatabase) else _POSTGRESQL_TYPES
    for statement in _TABLES.format(**types).split(";"):
        db.execute_sql(statement)
