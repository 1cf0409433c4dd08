"""What a provider calls an integration's account, and which of its addresses it was proven to own."""

from typing import Any

from peewee import Database, SqliteDatabase


def up(migrator: Any, db: Database) -> None:
    """Add the columns in the types of the engine."""
    json = "TEXT" if isinstance(db, SqliteDatabase) else "JSONB"
    db.execute_sql(f"ALTER TABLE integration ADD COLUMN facts {json} NOT NULL DEFAULT '{{}}'")
    db.execute_sql("ALTER TABLE integration_address ADD COLUMN proven_at TEXT")
