"""Campaigns: what is to be said to whom, the ledger of who was told, and how that went, kept as it happens."""

from typing import Any

from peewee import Database, SqliteDatabase

# A tally has several rows whose sum is meant: two transactions that count for a campaign need not wait for each other.
# That a recipient has one conversation at most is the database's to see to, whatever workers do.
_TABLES = """
CREATE TABLE campaign (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_campaign_tenant REFERENCES account_environment (id),
    oid TEXT NOT NULL,
    name TEXT NOT NULL,
    channel TEXT NOT NULL,
    agent_config_id TEXT,
    message TEXT,
    template {json},
    schedule {json} NOT NULL,
    lead_filter {json},
    advanced_filter {json},
    lead_ids {json},
    status TEXT NOT NULL
        CONSTRAINT ck_campaign_status CHECK (status IN ('draft', 'scheduled', 'running', 'paused', 'completed')),
    reason TEXT,
    run INTEGER NOT NULL,
    is_frozen INTEGER NOT NULL,
    freeze_after INTEGER NOT NULL,
    freeze_until INTEGER NOT NULL,
    started_at TEXT,
    completed_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_campaign_oid ON campaign (oid);
CREATE INDEX ix_campaign_created ON campaign (tenant_id, created_at, oid);
CREATE INDEX ix_campaign_agent ON campaign (tenant_id, agent_config_id) WHERE agent_config_id IS NOT NULL;
CREATE TABLE campaign_recipient (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_campaign_recipient_tenant REFERENCES account_environment (id),
    campaign_id BIGINT NOT NULL CONSTRAINT fk_campaign_recipient_campaign REFERENCES campaign (id) ON DELETE CASCADE,
    lead_number INTEGER NOT NULL,
    state TEXT NOT NULL CONSTRAINT ck_campaign_recipient_state
        CHECK (state IN ('pending', 'queued', 'sent', 'delivered', 'failed', 'skipped')),
    replied INTEGER NOT NULL,
    verdict TEXT,
    status TEXT NOT NULL,
    reason TEXT,
    due_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_campaign_recipient_lead ON campaign_recipient (campaign_id, lead_number);
CREATE INDEX ix_campaign_recipient_due ON campaign_recipient (campaign_id, due_at, id) WHERE state = 'pending';
CREATE INDEX ix_campaign_recipient_status ON campaign_recipient (campaign_id, status, id);
CREATE INDEX ix_campaign_recipient_of_lead ON campaign_recipient (tenant_id, lead_number);
CREATE TABLE campaign_tally (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_campaign_tally_tenant REFERENCES account_environment (id),
    campaign_id BIGINT NOT NULL CONSTRAINT fk_campaign_tally_campaign REFERENCES campaign (id) ON DELETE CASCADE,
    total BIGINT NOT NULL,
    pending BIGINT NOT NULL,
    queued BIGINT NOT NULL,
    sent BIGINT NOT NULL,
    delivered BIGINT NOT NULL,
    replied BIGINT NOT NULL,
    qualified BIGINT NOT NULL,
    disqualified BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    skipped BIGINT NOT NULL
);
CREATE INDEX ix_campaign_tally_campaign ON campaign_tally (campaign_id, id);
CREATE TABLE campaign_pace (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_campaign_pace_tenant REFERENCES account_environment (id),
    campaign_id BIGINT NOT NULL CONSTRAINT fk_campaign_pace_campaign REFERENCES campaign (id) ON DELETE CASCADE,
    free_at TEXT NOT NULL,
    day TEXT NOT NULL,
    opened INTEGER NOT NULL
);
CREATE UNIQUE INDEX uq_campaign_pace_campaign ON campaign_pace (campaign_id);
ALTER TABLE conversation ADD COLUMN campaign_recipient_id BIGINT;
CREATE UNIQUE INDEX uq_conversation_campaign_recipient ON conversation (campaign_recipient_id)
    WHERE campaign_recipient_id IS NOT NULL;
CREATE INDEX ix_conversation_campaign ON conversation (tenant_id, campaign_id, created_at, oid)
    WHERE campaign_id IS NOT NULL;
ALTER TABLE message ADD COLUMN campaign_recipient_id BIGINT;
"""

_SQLITE_TYPES = {"pk": "INTEGER PRIMARY KEY AUTOINCREMENT", "json": "TEXT"}
_POSTGRESQL_TYPES = {"pk": "BIGSERIAL PRIMARY KEY", "json": "JSONB"}


def up(migrator: Any, db: Database) -> None:
    """Create the tables and the columns in the types of the engine."""
    types = _SQLITE_TYPES if isinstance(db, SqliteDatabase) else _POSTGRESQL_TYPES
    for statement in _TABLES.format(**types).split(";"):
        if statement.strip():
            db.execute_sql(statement)
