"""Outbound events: who wants which, what happened, what is to be delivered to whom, and each attempt at it."""

from typing import Any

from peewee import Database, SqliteDatabase

# Of most tenants nobody wants to hear anything: the partial index answers that from one page.
_TABLES = """
CREATE TABLE event_subscription (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_event_subscription_tenant REFERENCES account_environment (id),
    oid TEXT NOT NULL,
    url TEXT NOT NULL,
    description TEXT,
    events TEXT NOT NULL,
    state TEXT NOT NULL CONSTRAINT ck_event_subscription_state CHECK (state IN ('active', 'inactive', 'disabled')),
    disabled_reason TEXT,
    secrets TEXT NOT NULL,
    previous_until TEXT,
    failures INTEGER NOT NULL,
    failing_since TEXT,
    paused_until TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_event_subscription_oid ON event_subscription (oid);
CREATE INDEX ix_event_subscription_active ON event_subscription (tenant_id, id) WHERE state = 'active';
CREATE INDEX ix_event_subscription_created ON event_subscription (tenant_id, created_at, oid);
CREATE TABLE event_occurrence (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_event_occurrence_tenant REFERENCES account_environment (id),
    oid TEXT NOT NULL,
    type TEXT NOT NULL,
    lead_number INTEGER,
    payload TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_event_occurrence_oid ON event_occurrence (oid);
CREATE INDEX ix_event_occurrence_created ON event_occurrence (created_at);
CREATE INDEX ix_event_occurrence_lead ON event_occurrence (tenant_id, lead_number) WHERE lead_number IS NOT NULL;
CREATE TABLE event_delivery (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_event_delivery_tenant REFERENCES account_environment (id),
    oid TEXT NOT NULL,
    subscription_id BIGINT NOT NULL
        CONSTRAINT fk_event_delivery_subscription REFERENCES event_subscription (id) ON DELETE CASCADE,
    event_oid TEXT NOT NULL
        CONSTRAINT fk_event_delivery_event REFERENCES event_occurrence (oid) ON DELETE CASCADE,
    type TEXT NOT NULL,
    state TEXT NOT NULL CONSTRAINT ck_event_delivery_state CHECK (state IN ('pending', 'delivered', 'failed')),
    round INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_at TEXT,
    failure_code TEXT,
    created_at TEXT NOT NULL,
    finished_at TEXT
);
CREATE UNIQUE INDEX uq_event_delivery_oid ON event_delivery (oid);
CREATE INDEX ix_event_delivery_event ON event_delivery (event_oid);
CREATE INDEX ix_event_delivery_created ON event_delivery (subscription_id, created_at, oid);
CREATE TABLE event_attempt (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_event_attempt_tenant REFERENCES account_environment (id),
    delivery_id BIGINT NOT NULL
        CONSTRAINT fk_event_attempt_delivery REFERENCES event_delivery (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    outcome TEXT NOT NULL
        CONSTRAINT ck_event_attempt_outcome
        CHECK (outcome IN ('started', 'accepted', 'refused', 'unreachable', 'unknown')),
    status_code INTEGER,
    duration_ms INTEGER,
    answer TEXT,
    detail TEXT,
    created_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_event_attempt_number ON event_attempt (delivery_id, number);
"""


def up(migrator: Any, db: Database) -> None:
    """Create the tables in the types of the engine."""
    is_sqlite = isinstance(db, SqliteDatabase)
    primary_key = "INTEGER PRIMARY KEY AUTOINCREMENT" if is_sqlite else "BIGSERIAL PRIMARY KEY"
    for statement in _TABLES.format(pk=primary_key).split(";"):
        if statement.strip():
            db.execute_sql(statement)
