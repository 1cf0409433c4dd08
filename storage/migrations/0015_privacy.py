"""Privacy: who must not be written to although nothing else is known of them, and what finds a person's events."""

from typing import Any

from peewee import Database, SqliteDatabase

_TABLES = """
CREATE TABLE suppression (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_suppression_tenant REFERENCES account_environment (id),
    digest TEXT NOT NULL,
    channels TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_suppression_digest ON suppression (tenant_id, digest);
CREATE INDEX ix_lead_deleted ON lead (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX ix_inbound_event_contact ON inbound_event (tenant_id, channel, contact)
"""


def up(migrator: Any, db: Database) -> None:
    """Create the table and indexes in the types of the engine."""
    primary_key = "INTEGER PRIMARY KEY AUTOINCREMENT" if isinstance(db, SqliteDatabase) else "BIGSERIAL PRIMARY KEY"
    for statement in _TABLES.format(pk=primary_key).split(";"):
        db.execute_sql(statement)
