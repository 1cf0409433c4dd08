"""Integrations, identities, inbound events with an outcome, delivery attempts, usage, and what a message pins."""

from typing import Any

from peewee import Database, SqliteDatabase

_TABLES = """
ALTER TABLE account ADD COLUMN settings {json} NOT NULL DEFAULT '{{}}';
CREATE TABLE integration (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_integration_tenant REFERENCES account_environment (id),
    oid TEXT NOT NULL,
    channel TEXT NOT NULL
        CONSTRAINT ck_integration_channel CHECK (channel IN ('whatsapp', 'telegram', 'email', 'sms')),
    settings {json} NOT NULL,
    secrets TEXT NOT NULL,
    secret_hints {json} NOT NULL,
    health TEXT NOT NULL
        CONSTRAINT ck_integration_health CHECK (health IN ('unknown', 'healthy', 'unhealthy')),
    health_detail TEXT,
    checked_at TEXT,
    templates {json},
    templates_synced_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_integration_oid ON integration (oid);
CREATE UNIQUE INDEX uq_integration_channel ON integration (tenant_id, channel);
CREATE TABLE integration_address (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_integration_address_tenant REFERENCES account_environment (id),
    integration_id BIGINT NOT NULL
        CONSTRAINT fk_integration_address_integration REFERENCES integration (id) ON DELETE CASCADE,
    channel TEXT NOT NULL,
    address TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_integration_address ON integration_address (integration_id, address);
CREATE INDEX ix_integration_address_address ON integration_address (channel, address);
CREATE TABLE channel_identity (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_channel_identity_tenant REFERENCES account_environment (id),
    lead_number INTEGER NOT NULL,
    channel TEXT NOT NULL,
    address TEXT NOT NULL,
    created_at TEXT NOT NULL,
    CONSTRAINT fk_channel_identity_lead FOREIGN KEY (tenant_id, lead_number) REFERENCES lead (tenant_id, number)
);
CREATE UNIQUE INDEX uq_channel_identity ON channel_identity (tenant_id, channel, address);
CREATE INDEX ix_channel_identity_lead ON channel_identity (tenant_id, lead_number, channel);
ALTER TABLE inbound_event ADD COLUMN contact TEXT;
ALTER TABLE inbound_event ADD COLUMN state TEXT NOT NULL DEFAULT 'done'
    CONSTRAINT ck_inbound_event_state CHECK (state IN ('stored', 'done', 'ignored', 'failed'));
ALTER TABLE inbound_event ADD COLUMN reason TEXT;
ALTER TABLE inbound_event ADD COLUMN processed_at TEXT;
CREATE INDEX ix_inbound_event_state ON inbound_event (tenant_id, state, id) WHERE state IN ('stored', 'failed');
CREATE TABLE delivery_attempt (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_delivery_attempt_tenant REFERENCES account_environment (id),
    message_id BIGINT NOT NULL CONSTRAINT fk_delivery_attempt_message REFERENCES message (id),
    number INTEGER NOT NULL,
    state TEXT NOT NULL
        CONSTRAINT ck_delivery_attempt_state CHECK (state IN ('started', 'accepted', 'refused', 'deferred', 'unknown')),
    code TEXT,
    detail TEXT,
    started_at TEXT NOT NULL,
    finished_at TEXT
);
CREATE UNIQUE INDEX uq_delivery_attempt ON delivery_attempt (message_id, number);
CREATE TABLE delivery_pace (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_delivery_pace_tenant REFERENCES account_environment (id),
    channel TEXT NOT NULL,
    scope TEXT NOT NULL,
    free_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_delivery_pace ON delivery_pace (tenant_id, channel, scope);
ALTER TABLE message ADD COLUMN provider_message_id TEXT;
ALTER TABLE message ADD COLUMN delivery_code TEXT;
ALTER TABLE message ADD COLUMN delivery_detail TEXT;
ALTER TABLE message ADD COLUMN held_until TEXT;
ALTER TABLE message ADD COLUMN template {json};
ALTER TABLE message ADD COLUMN subject TEXT;
ALTER TABLE message ADD COLUMN discloses_ai {bool} NOT NULL DEFAULT {false};
ALTER TABLE message ADD COLUMN agent_version INTEGER;
ALTER TABLE message ADD COLUMN model TEXT;
ALTER TABLE message ADD COLUMN input_tokens INTEGER;
ALTER TABLE message ADD COLUMN output_tokens INTEGER;
ALTER TABLE message ADD COLUMN cost_micros BIGINT;
CREATE INDEX ix_message_provider ON message (tenant_id, provider_message_id) WHERE provider_message_id IS NOT NULL;
ALTER TABLE conversation ADD COLUMN ai_disclosed_at TEXT;
ALTER TABLE conversation ADD COLUMN last_lead_message_at TEXT;
CREATE TABLE conversation_event (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_conversation_event_tenant REFERENCES account_environment (id),
    conversation_id BIGINT NOT NULL CONSTRAINT fk_conversation_event_conversation REFERENCES conversation (id),
    type TEXT NOT NULL,
    data {json} NOT NULL,
    created_at TEXT NOT NULL
);
CREATE INDEX ix_conversation_event ON conversation_event (conversation_id, id);
CREATE INDEX ix_conversation_event_created ON conversation_event (created_at);
CREATE TABLE usage_month (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_usage_month_tenant REFERENCES account_environment (id),
    month TEXT NOT NULL,
    messages_sent BIGINT NOT NULL DEFAULT 0,
    messages_received BIGINT NOT NULL DEFAULT 0,
    turns BIGINT NOT NULL DEFAULT 0,
    input_tokens BIGINT NOT NULL DEFAULT 0,
    output_tokens BIGINT NOT NULL DEFAULT 0,
    cost_micros BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX uq_usage_month ON usage_month (tenant_id, month);
"""

_SQLITE_TYPES = {"pk": "INTEGER PRIMARY KEY AUTOINCREMENT", "json": "TEXT", "bool": "INTEGER", "false": "0"}
_POSTGRESQL_TYPES = {"pk": "BIGSERIAL PRIMARY KEY", "json": "JSONB", "bool": "BOOLEAN", "false": "FALSE"}


def up(migrator: Any, db: Database) -> None:
    """Create the tables and columns in the types of the engine."""
    types = _SQLITE_TYPES if isinstance(db, SqliteDatabase) else _POSTGRESQL_TYPES
    for statement in _TABLES.format(**types).split(";"):
        if statement.strip():
            db.execute_sql(statement)
