"""Parked rows of the outbox are few and are counted often, among the many that are done."""

from typing import Any

from peewee import Database


def up(migrator: Any, db: Database) -> None:
    """Index them alone."""
    db.execute_sql("CREATE INDEX ix_outbox_row_parked ON outbox_row (kind) WHERE state = 'failed'")
