"""The audit log as a chain: the place and hash of each sealed entry, and the head of each account's chain."""

from typing import Any

from peewee import Database

# Entries from before have no place yet; they are sealed like new ones. Each index holds only the half it is asked for.
_CHANGES = """
ALTER TABLE audit_entry ADD COLUMN seq BIGINT;
ALTER TABLE audit_entry ADD COLUMN hash TEXT;
ALTER TABLE audit_entry ADD COLUMN salt TEXT;
ALTER TABLE audit_entry ADD COLUMN digests TEXT;
CREATE INDEX ix_audit_entry_unsealed ON audit_entry (account_id, created_at, id) WHERE seq IS NULL;
CREATE UNIQUE INDEX uq_audit_entry_seq ON audit_entry (account_id, seq) WHERE seq IS NOT NULL;
CREATE TABLE audit_chain (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL CONSTRAINT fk_audit_chain_account REFERENCES account (id),
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL,
    mac TEXT,
    sealed_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_audit_chain_account ON audit_chain (account_id)
"""


def up(migrator: Any, db: Database) -> None:
    """Add the columns, the indexes and the table."""
    for statement in _CHANGES.split(";"):
        db.execute_sql(statement)
