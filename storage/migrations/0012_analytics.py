"""Analytics: what changed and is not counted yet, what each lead and conversation counts for, and the sums."""

import sqlite3
from typing import Any

from peewee import Database, SqliteDatabase

# Writers only append to analytics_change: nobody waits for a sum, and no hot code knows of it.
_TABLES = """
CREATE TABLE analytics_change (
    id {pk},
    tenant_id BIGINT NOT NULL,
    lead_number INTEGER NOT NULL,
    conversation_id BIGINT
);
CREATE INDEX ix_analytics_change ON analytics_change (tenant_id, id);
CREATE TABLE analytics_fact (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_analytics_fact_tenant REFERENCES account_environment (id),
    kind TEXT NOT NULL CONSTRAINT ck_analytics_fact_kind CHECK (kind IN ('lead', 'conversation')),
    ref BIGINT NOT NULL,
    facts TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_analytics_fact ON analytics_fact (tenant_id, kind, ref);
CREATE TABLE analytics_tally (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_analytics_tally_tenant REFERENCES account_environment (id),
    subject TEXT NOT NULL,
    grain TEXT NOT NULL CONSTRAINT ck_analytics_tally_grain CHECK (grain IN ('all', 'day', 'quarter')),
    slot INTEGER NOT NULL,
    value TEXT NOT NULL,
    measure TEXT NOT NULL,
    amount BIGINT NOT NULL
);
CREATE UNIQUE INDEX uq_analytics_tally ON analytics_tally (tenant_id, subject, grain, slot, value, measure);
INSERT INTO analytics_change (tenant_id, lead_number) SELECT tenant_id, number FROM lead ORDER BY id;
INSERT INTO analytics_change (tenant_id, lead_number, conversation_id)
    SELECT tenant_id, lead_number, id FROM conversation ORDER BY id;
"""

# What a lead and a conversation count for; a change of anything else changes no number.
_LEAD = ("status", "source", "tags", "assigned_agent_id", "last_contacted_at", "created_at", "deleted_at")
_CONVERSATION = (
    *("lead_number", "agent_config_id", "channel", "status", "message_count", "campaign_id", "qualification_result"),
    *("last_lead_message_at", "created_at"),
)
_NOTE_LEAD = "INSERT INTO analytics_change (tenant_id, lead_number) VALUES ({0}.tenant_id, {0}.number);"
_NOTE_CONVERSATION = """INSERT INTO analytics_change (tenant_id, lead_number, conversation_id)
    VALUES ({0}.tenant_id, {0}.lead_number, {0}.id);"""

_SQLITE = f"""
CREATE TRIGGER analytics_lead_insert AFTER INSERT ON lead BEGIN {_NOTE_LEAD.format("NEW")} END;
CREATE TRIGGER analytics_lead_update AFTER UPDATE OF {", ".join(_LEAD)} ON lead
WHEN {" OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in _LEAD)} BEGIN {_NOTE_LEAD.format("NEW")} END;
CREATE TRIGGER analytics_lead_delete AFTER DELETE ON lead BEGIN {_NOTE_LEAD.format("OLD")} END;
CREATE TRIGGER analytics_conversation_insert AFTER INSERT ON conversation
BEGIN {_NOTE_CONVERSATION.format("NEW")} END;
CREATE TRIGGER analytics_conversation_update AFTER UPDATE OF {", ".join(_CONVERSATION)} ON conversation
WHEN {" OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in _CONVERSATION)}
BEGIN {_NOTE_CONVERSATION.format("NEW")} END;
CREATE TRIGGER analytics_conversation_move AFTER UPDATE OF lead_number ON conversation
WHEN OLD.lead_number <> NEW.lead_number BEGIN {_NOTE_CONVERSATION.format("OLD")} END;
CREATE TRIGGER analytics_conversation_delete AFTER DELETE ON conversation
BEGIN {_NOTE_CONVERSATION.format("OLD")} END;
CREATE TRIGGER analytics_message_delete AFTER DELETE ON message BEGIN
    INSERT INTO analytics_change (tenant_id, lead_number, conversation_id)
        VALUES (OLD.tenant_id, 0, OLD.conversation_id);
END;
"""  # noqa: S608 (names of our own columns)


def _of(columns: tuple[str, ...], rows: str) -> str:
    return ", ".join(f"{rows}.{column}" for column in columns)


_POSTGRESQL = f"""
CREATE FUNCTION newleaf_analytics_lead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO analytics_change (tenant_id, lead_number)
            SELECT after_rows.tenant_id, after_rows.number FROM after_rows JOIN before_rows USING (id)
            WHERE ({_of(_LEAD, "after_rows")}) IS DISTINCT FROM ({_of(_LEAD, "before_rows")});
    ELSE
        INSERT INTO analytics_change (tenant_id, lead_number) SELECT tenant_id, number FROM after_rows;
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION newleaf_analytics_conversation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO analytics_change (tenant_id, lead_number, conversation_id)
            SELECT after_rows.tenant_id, after_rows.lead_number, id FROM after_rows JOIN before_rows USING (id)
            WHERE ({_of(_CONVERSATION, "after_rows")}) IS DISTINCT FROM ({_of(_CONVERSATION, "before_rows")})
            UNION ALL
            SELECT before_rows.tenant_id, before_rows.lead_number, id FROM after_rows JOIN before_rows USING (id)
            WHERE after_rows.lead_number <> before_rows.lead_number;
    ELSE
        INSERT INTO analytics_change (tenant_id, lead_number, conversation_id)
            SELECT tenant_id, lead_number, id FROM after_rows;
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION newleaf_analytics_message() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO analytics_change (tenant_id, lead_number, conversation_id)
        SELECT DISTINCT tenant_id, 0, conversation_id FROM after_rows;
    RETURN NULL;
END $$;
CREATE TRIGGER analytics_message_delete AFTER DELETE ON message REFERENCING OLD TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION newleaf_analytics_message();
"""  # noqa: S608 (names of our own columns)
_POSTGRESQL += "".join(
    f"""
CREATE TRIGGER analytics_{table}_insert AFTER INSERT ON {table} REFERENCING NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION newleaf_analytics_{table}();
CREATE TRIGGER analytics_{table}_update AFTER UPDATE ON {table}
    REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION newleaf_analytics_{table}();
CREATE TRIGGER analytics_{table}_delete AFTER DELETE ON {table} REFERENCING OLD TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION newleaf_analytics_{table}();
"""
    for table in ("lead", "conversation")
)


def up(migrator: Any, db: Database) -> None:
    """Create tables and triggers, and note all that there is as not counted yet."""
    is_sqlite = isinstance(db, SqliteDatabase)
    tables = _TABLES.format(pk="INTEGER PRIMARY KEY" if is_sqlite else "BIGSERIAL PRIMARY KEY")
    statement = ""
    for part in (tables + (_SQLITE if is_sqlite else _POSTGRESQL)).split(";"):
        statement += f"{part};"
        is_whole = sqlite3.complete_statement(statement) if is_sqlite else statement.count("$$") % 2 == 0
        if is_whole and statement.strip(" \n;"):
            db.execute_sql(statement)
        statement = "" if is_whole else statement
