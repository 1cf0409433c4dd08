"""Merged leads: which lead each became, and the external ids by which the account's own system goes on naming it."""

from typing import Any

from peewee import Database, SqliteDatabase

_TABLES = """
CREATE TABLE lead_merge (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_lead_merge_tenant REFERENCES account_environment (id),
    source_number INTEGER NOT NULL,
    lead_number INTEGER NOT NULL,
    created_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_lead_merge_source ON lead_merge (tenant_id, source_number);
CREATE INDEX ix_lead_merge_lead ON lead_merge (tenant_id, lead_number);
CREATE TABLE lead_alias (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_lead_alias_tenant REFERENCES account_environment (id),
    external_id TEXT NOT NULL,
    lead_number INTEGER NOT NULL,
    created_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_lead_alias_external_id ON lead_alias (tenant_id, external_id);
CREATE INDEX ix_lead_alias_lead ON lead_alias (tenant_id, lead_number);
CREATE INDEX ix_ab_assignment_of_lead ON ab_assignment (tenant_id, lead_number)
"""


def up(migrator: Any, db: Database) -> None:
    """Create the tables and indexes in the types of the engine."""
    primary_key = "INTEGER PRIMARY KEY AUTOINCREMENT" if isinstance(db, SqliteDatabase) else "BIGSERIAL PRIMARY KEY"
    for statement in _TABLES.format(pk=primary_key).split(";"):
        db.execute_sql(statement)
