"""Members: found by page and by the name that an identity provider has for them; invitations that become members."""

from typing import Any

from peewee import Database, SqliteDatabase

_TABLES = """
CREATE INDEX ix_member_created ON member (account_id, created_at, id);
CREATE UNIQUE INDEX uq_member_clerk_user ON member (account_id, clerk_user_id);
CREATE TABLE invitation (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL CONSTRAINT fk_invitation_account REFERENCES account (id),
    email TEXT NOT NULL,
    roles {json} NOT NULL,
    token_hash TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_invitation_email ON invitation (account_id, email);
CREATE UNIQUE INDEX uq_invitation_token ON invitation (token_hash);
CREATE INDEX ix_invitation_created ON invitation (account_id, created_at, id);
"""


def up(migrator: Any, db: Database) -> None:
    """Create the table and the indexes in the types of the engine."""
    json = "TEXT" if isinstance(db, SqliteDatabase) else "JSONB"
    for statement in _TABLES.format(json=json).split(";"):
        if statement.strip():
            db.execute_sql(statement)
