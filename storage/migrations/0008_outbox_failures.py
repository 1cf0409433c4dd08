"""An outbox row tells errors, deaths of workers and waits apart, so that only errors count towards giving up."""

from typing import Any

from peewee import Database


def up(migrator: Any, db: Database) -> None:
    """Add the columns. Rows that were tried before keep their count as failures."""
    db.execute_sql("ALTER TABLE outbox_row ADD COLUMN failures INTEGER NOT NULL DEFAULT 0")
    db.execute_sql("ALTER TABLE outbox_row ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0")
    db.execute_sql("ALTER TABLE outbox_row ADD COLUMN held_for TEXT")
    db.execute_sql("UPDATE outbox_row SET failures = attempts WHERE state = 'pending'")
