"""A/B tests: what is compared, who was drawn for which variant, and what became of it, kept as it happens."""

from typing import Any

from peewee import Database, SqliteDatabase

# A tally has several rows whose sum is meant: two transactions that count for one variant need not wait for each other.
_TABLES = """
CREATE TABLE ab_test (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_ab_test_tenant REFERENCES account_environment (id),
    oid TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    status TEXT NOT NULL
        CONSTRAINT ck_ab_test_status CHECK (status IN ('draft', 'running', 'paused', 'completed')),
    started_at TEXT,
    completed_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_ab_test_oid ON ab_test (oid);
CREATE UNIQUE INDEX uq_ab_test_running ON ab_test (tenant_id) WHERE status = 'running';
CREATE INDEX ix_ab_test_created ON ab_test (tenant_id, created_at, oid);
CREATE TABLE ab_variant (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_ab_variant_tenant REFERENCES account_environment (id),
    test_id BIGINT NOT NULL CONSTRAINT fk_ab_variant_test REFERENCES ab_test (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    agent_config_id TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    weight DOUBLE PRECISION NOT NULL CONSTRAINT ck_ab_variant_weight CHECK (weight > 0)
);
CREATE UNIQUE INDEX uq_ab_variant_agent ON ab_variant (test_id, agent_config_id);
CREATE INDEX ix_ab_variant_agent ON ab_variant (tenant_id, agent_config_id);
CREATE TABLE ab_assignment (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_ab_assignment_tenant REFERENCES account_environment (id),
    test_id BIGINT NOT NULL CONSTRAINT fk_ab_assignment_test REFERENCES ab_test (id) ON DELETE CASCADE,
    variant_id BIGINT NOT NULL,
    lead_number INTEGER NOT NULL,
    qualified_conversations INTEGER NOT NULL,
    created_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_ab_assignment_lead ON ab_assignment (test_id, lead_number);
CREATE TABLE ab_tally (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_ab_tally_tenant REFERENCES account_environment (id),
    variant_id BIGINT NOT NULL CONSTRAINT fk_ab_tally_variant REFERENCES ab_variant (id) ON DELETE CASCADE,
    leads BIGINT NOT NULL,
    qualified_leads BIGINT NOT NULL,
    conversations BIGINT NOT NULL,
    qualified BIGINT NOT NULL,
    disqualified BIGINT NOT NULL,
    messages BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL
);
CREATE INDEX ix_ab_tally_variant ON ab_tally (variant_id, id);
ALTER TABLE conversation ADD COLUMN ab_assignment_id BIGINT;
"""


def up(migrator: Any, db: Database) -> None:
    """Create the tables and the column in the types of the engine."""
    is_sqlite = isinstance(db, SqliteDatabase)
    primary_key = "INTEGER PRIMARY KEY AUTOINCREMENT" if is_sqlite else "BIGSERIAL PRIMARY KEY"
    for statement in _TABLES.format(pk=primary_key).split(";"):
        if statement.strip():
            db.execute_sql(statement)
