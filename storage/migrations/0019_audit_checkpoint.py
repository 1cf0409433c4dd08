"""The checkpoint of an audit chain: the last entry that retention removed, from which the rest is proven."""

from typing import Any

from peewee import Database

_CHANGES = """
ALTER TABLE audit_chain ADD COLUMN gone_seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE audit_chain ADD COLUMN gone_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_chain ADD COLUMN gone_at TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_chain ADD COLUMN gone_mac TEXT
"""


def up(migrator: Any, db: Database) -> None:
    """Add the columns; nothing is gone yet."""
    for statement in _CHANGES.split(";"):
        db.execute_sql(statement)
