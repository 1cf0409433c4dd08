"""What lists and searches of leads are answered from: tallies by status and tag, and an index of all text."""

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from peewee import Database, SqliteDatabase

# Triggers keep both, so no way to write a lead can forget them. Creation order is the order of numbers.
_BOTH = """
DROP INDEX ix_lead_created;
CREATE INDEX ix_lead_created ON lead (tenant_id, created_at);
DROP INDEX ix_lead_status;
CREATE INDEX ix_lead_status ON lead (tenant_id, status, number);
CREATE TABLE lead_tally (
    id {pk},
    tenant_id BIGINT NOT NULL,
    kind TEXT NOT NULL CONSTRAINT ck_lead_tally_kind CHECK (kind IN ('status', 'tag')),
    value TEXT NOT NULL,
    live INTEGER NOT NULL
);
"""

_SQLITE_TALLY = """
CREATE UNIQUE INDEX uq_lead_tally ON lead_tally (tenant_id, kind, value);
INSERT INTO lead_tally (tenant_id, kind, value, live)
    SELECT tenant_id, 'status', status, COUNT(*) FROM lead WHERE deleted_at IS NULL GROUP BY 1, 3;
INSERT INTO lead_tally (tenant_id, kind, value, live)
    SELECT tenant_id, 'tag', tag.value, COUNT(DISTINCT lead.id) FROM lead, json_each(lead.tags) AS tag
    WHERE deleted_at IS NULL GROUP BY 1, 3;
CREATE TRIGGER lead_tally_insert AFTER INSERT ON lead WHEN NEW.deleted_at IS NULL BEGIN
    {status_enters}
END;
CREATE TRIGGER lead_tally_insert_tags AFTER INSERT ON lead WHEN NEW.deleted_at IS NULL AND NEW.tags <> '[]' BEGIN
    {tags_enter}
END;
CREATE TRIGGER lead_tally_delete AFTER DELETE ON lead WHEN OLD.deleted_at IS NULL BEGIN
    {status_leaves}
    {tags_leave}
END;
CREATE TRIGGER lead_tally_update AFTER UPDATE OF status, deleted_at ON lead
WHEN OLD.status <> NEW.status OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL) BEGIN
    {status_leaves}
    {status_enters}
END;
CREATE TRIGGER lead_tally_update_tags AFTER UPDATE OF tags, deleted_at ON lead
WHEN OLD.tags <> NEW.tags OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL) BEGIN
    {tags_leave}
    {tags_enter}
END;
"""
_COUNTED = {
    "status_enters": """INSERT INTO lead_tally (tenant_id, kind, value, live)
        SELECT NEW.tenant_id, 'status', NEW.status, 1 WHERE NEW.deleted_at IS NULL
        ON CONFLICT (tenant_id, kind, value) DO UPDATE SET live = live + 1;""",
    "tags_enter": """INSERT INTO lead_tally (tenant_id, kind, value, live)
        SELECT DISTINCT NEW.tenant_id, 'tag', value, 1 FROM json_each(NEW.tags) WHERE NEW.deleted_at IS NULL
        ON CONFLICT (tenant_id, kind, value) DO UPDATE SET live = live + 1;""",
    "status_leaves": """UPDATE lead_tally SET live = live - 1
        WHERE tenant_id = OLD.tenant_id AND kind = 'status' AND value = OLD.status AND OLD.deleted_at IS NULL;""",
    "tags_leave": """UPDATE lead_tally SET live = live - 1
        WHERE tenant_id = OLD.tenant_id AND kind = 'tag' AND value IN (SELECT value FROM json_each(OLD.tags))
        AND OLD.deleted_at IS NULL;""",
}

# The index of trigrams has no copy of the text. Its rowids are the negated ids of leads, for it is read forwards, and
# the newest lead shall come first. Before the text stands whose it is: one trigram of private characters that hold the
# tenant's id, so that the words of one tenant do not slow the search of another.
# Adding rows one by one would cost several times as much as adding many, so the newest leads wait in `lead` itself,
# above `indexed_to`, until there are enough of them or an import ends.
_SQLITE_TEXT = """
CREATE VIRTUAL TABLE lead_text
    USING fts5(text, content='', columnsize=0, detail=full, tokenize='trigram case_sensitive 1');
INSERT INTO lead_text (lead_text, rank) VALUES ('hashsize', 16777216);
CREATE TABLE lead_text_mark (id INTEGER PRIMARY KEY, indexed_to INTEGER NOT NULL);
INSERT INTO lead_text_mark (id, indexed_to) VALUES (1, 0);
CREATE TRIGGER lead_text_step AFTER UPDATE OF indexed_to ON lead_text_mark BEGIN
    INSERT INTO lead_text (rowid, text)
        SELECT -id, {text} FROM lead WHERE id > OLD.indexed_to AND id <= NEW.indexed_to ORDER BY id DESC;
END;
UPDATE lead_text_mark SET indexed_to = (SELECT COALESCE(MAX(id), 0) FROM lead);
CREATE TRIGGER lead_text_insert AFTER INSERT ON lead
WHEN NEW.id >= {mark} + CASE WHEN NEW.import_batch_id IS NULL THEN 128 ELSE 8192 END BEGIN
    UPDATE lead_text_mark SET indexed_to = MIN(NEW.id, indexed_to + 8192);
END;
CREATE TRIGGER lead_text_import AFTER UPDATE OF status ON import_batch
WHEN NEW.status <> OLD.status AND NEW.status IN ('completed', 'failed') BEGIN
    UPDATE lead_text_mark SET indexed_to = MAX(indexed_to, (SELECT COALESCE(MAX(id), 0) FROM lead));
END;
CREATE TRIGGER lead_text_update AFTER UPDATE OF search_text ON lead
WHEN OLD.search_text <> NEW.search_text AND OLD.id <= {mark} BEGIN
    INSERT INTO lead_text (lead_text, rowid, text) VALUES ('delete', -OLD.id, {old_text});
    INSERT INTO lead_text (rowid, text) VALUES (-NEW.id, {new_text});
END;
CREATE TRIGGER lead_text_delete AFTER DELETE ON lead WHEN OLD.id <= {mark} BEGIN
    INSERT INTO lead_text (lead_text, rowid, text) VALUES ('delete', -OLD.id, {old_text});
END
"""
_MARK = "(SELECT indexed_to FROM lead_text_mark)"
_TEXT = (
    "char(0xF0000 + ({0}tenant_id >> 32 & 0xFFFF), 0xF0000 + ({0}tenant_id >> 16 & 0xFFFF),"
    " 0xF0000 + ({0}tenant_id & 0xFFFF)) || {0}search_text"
)

# Writers of one tenant must not wait for each other here: they hold leads already, and would deadlock. So each value
# may have several rows, whose sum it is, and a writer takes those that nobody else holds. A repeatable transaction
# adds a row, for taking one that has moved since it began would make it fail.
_POSTGRESQL_TALLY = """
CREATE INDEX ix_lead_tally ON lead_tally (tenant_id, kind, value);
CREATE FUNCTION newleaf_tally(moved_tenant bigint, moved_kind text, moved_value text, moved integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    free bigint[];
    counted integer := 0;
BEGIN
    IF current_setting('transaction_isolation') = 'read committed' THEN
        SELECT array_agg(id), COALESCE(SUM(live), 0) INTO free, counted FROM (
            SELECT id, live FROM lead_tally
            WHERE tenant_id = moved_tenant AND kind = moved_kind AND value = moved_value FOR UPDATE SKIP LOCKED
        ) AS held;
    END IF;
    IF free IS NULL THEN
        INSERT INTO lead_tally (tenant_id, kind, value, live) VALUES (moved_tenant, moved_kind, moved_value, moved);
    ELSE
        UPDATE lead_tally SET live = counted + moved WHERE id = free[1];
        IF cardinality(free) > 1 THEN
            DELETE FROM lead_tally WHERE id = ANY (free[2:]);
        END IF;
    END IF;
END $$;
CREATE FUNCTION newleaf_tally_leads() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM newleaf_tally(tenant_id, kind, value, moved::integer) FROM (
            SELECT tenant_id, 'status' AS kind, status AS value, COUNT(*) AS moved FROM after_rows
            WHERE deleted_at IS NULL GROUP BY 1, 3
            UNION ALL
            SELECT tenant_id, 'tag', tag, COUNT(DISTINCT id) FROM after_rows, jsonb_array_elements_text(tags) AS tag
            WHERE deleted_at IS NULL GROUP BY 1, 3
        ) AS entering;
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM newleaf_tally(tenant_id, kind, value, moved::integer) FROM (
            SELECT tenant_id, 'status' AS kind, status AS value, -COUNT(*) AS moved FROM before_rows
            WHERE deleted_at IS NULL GROUP BY 1, 3
            UNION ALL
            SELECT tenant_id, 'tag', tag, -COUNT(DISTINCT id) FROM before_rows, jsonb_array_elements_text(tags) AS tag
            WHERE deleted_at IS NULL GROUP BY 1, 3
        ) AS leaving;
    ELSE
        PERFORM newleaf_tally(tenant_id, kind, value, moved::integer) FROM (
            SELECT tenant_id, kind, value, SUM(sign) AS moved FROM (
                SELECT tenant_id, 'status' AS kind, status AS value, 1 AS sign FROM after_rows
                WHERE deleted_at IS NULL
                UNION ALL
                SELECT tenant_id, 'status', status, -1 FROM before_rows WHERE deleted_at IS NULL
                UNION ALL
                SELECT DISTINCT ON (id, tag) tenant_id, 'tag', tag, 1
                FROM after_rows, jsonb_array_elements_text(tags) AS tag WHERE deleted_at IS NULL
                UNION ALL
                SELECT DISTINCT ON (id, tag) tenant_id, 'tag', tag, -1
                FROM before_rows, jsonb_array_elements_text(tags) AS tag WHERE deleted_at IS NULL
            ) AS signed GROUP BY 1, 2, 3 HAVING SUM(sign) <> 0
        ) AS changing;
    END IF;
    RETURN NULL;
END $$;
INSERT INTO lead_tally (tenant_id, kind, value, live)
    SELECT tenant_id, 'status', status, COUNT(*) FROM lead WHERE deleted_at IS NULL GROUP BY 1, 3;
INSERT INTO lead_tally (tenant_id, kind, value, live)
    SELECT tenant_id, 'tag', tag, COUNT(DISTINCT id) FROM lead, jsonb_array_elements_text(tags) AS tag
    WHERE deleted_at IS NULL GROUP BY 1, 3;
CREATE TRIGGER lead_tally_insert AFTER INSERT ON lead REFERENCING NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION newleaf_tally_leads();
CREATE TRIGGER lead_tally_update AFTER UPDATE ON lead REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION newleaf_tally_leads();
CREATE TRIGGER lead_tally_delete AFTER DELETE ON lead REFERENCING OLD TABLE AS before_rows
    FOR EACH STATEMENT EXECUTE FUNCTION newleaf_tally_leads();
"""

# pg_trgm knows words only: with letters for what stands between them it can tell a whole value from a word in one.
# Where the extension may not be created, searching works without the index.
_POSTGRESQL_TEXT = """
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX ix_lead_text ON lead
        USING gin (translate(search_text, E'\\n -_.,:/@+#("\\'', 'qzzzzzzzzzzzzz') gin_trgm_ops);
EXCEPTION WHEN insufficient_privilege OR feature_not_supported OR undefined_file THEN
    RAISE NOTICE 'newleaf searches without the extension pg_trgm';
END $$
"""


def _statements(script: str, is_whole: Callable[[str], bool]) -> Iterator[str]:
    """The script cut where a semicolon ends a statement, not those inside of one."""
    statement = ""
    for part in script.split(";"):
        statement += part
        if is_whole(statement):
            yield statement
            statement = ""
        else:
            statement += ";"


def _is_whole_in_sqlite(statement: str) -> bool:
    return sqlite3.complete_statement(f"{statement};")


def _is_whole_in_postgresql(statement: str) -> bool:
    return statement.count("$$") % 2 == 0


def up(migrator: Any, db: Database) -> None:
    """Create tallies and text index over the leads that there are."""
    if isinstance(db, SqliteDatabase):
        texts = {"text": _TEXT.format(""), "old_text": _TEXT.format("OLD."), "new_text": _TEXT.format("NEW.")}
        tally, text = _SQLITE_TALLY.format(**_COUNTED), _SQLITE_TEXT.format(mark=_MARK, **texts)
        script, is_whole = _BOTH.format(pk="INTEGER PRIMARY KEY") + tally + text, _is_whole_in_sqlite
    else:
        script = _BOTH.format(pk="BIGSERIAL PRIMARY KEY") + _POSTGRESQL_TALLY + _POSTGRESQL_TEXT
        is_whole = _is_whole_in_postgresql
    for statement in _statements(script, is_whole):
        if statement.strip():
            db.execute_sql(statement)
