"""What an agent was at each save; agents saved before get the version that they are in, earlier ones are unknown."""

from typing import Any

from peewee import Database, SqliteDatabase

_TABLE = """
CREATE TABLE agent_version (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_agent_version_tenant REFERENCES account_environment (id),
    agent_id BIGINT NOT NULL CONSTRAINT fk_agent_version_agent REFERENCES agent_config (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    config {json} NOT NULL,
    changed {json} NOT NULL,
    restored_from INTEGER,
    created_by_type TEXT NOT NULL,
    created_by_id TEXT NOT NULL,
    created_by_name TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_agent_version ON agent_version (agent_id, number);
INSERT INTO agent_version
    (tenant_id, agent_id, number, config, changed, created_by_type, created_by_id, created_by_name, created_at)
    SELECT tenant_id, id, version, {object}(
        'name', name,
        'systemPrompt', system_prompt,
        'goal', goal,
        'status', status,
        'language', language,
        'instructions', instructions,
        'qualificationCriteria', qualification_criteria,
        'handoffMessage', handoff_message,
        'stages', {read}(stages),
        'guardrails', {read}(guardrails),
        'knowledgeBaseIds', {read}(knowledge_base_ids),
        'model', {read}(model)
    ), '[]', 'system', 'system', 'newleaf', updated_at FROM agent_config;
"""

_SQLITE = {"pk": "INTEGER PRIMARY KEY AUTOINCREMENT", "json": "TEXT", "object": "json_object", "read": "json"}
_POSTGRESQL = {"pk": "BIGSERIAL PRIMARY KEY", "json": "JSONB", "object": "jsonb_build_object", "read": "to_jsonb"}


def up(migrator: Any, db: Database) -> None:
    """Create the table and write down what each agent is now."""
    words = _SQLITE if isinstance(db, SqliteDatabase) else _POSTGRESQL
    for statement in _TABLE.format(**words).split(";"):
        if statement.strip():
            db.execute_sql(statement)
