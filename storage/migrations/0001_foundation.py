"""Accounts, keys, leads, imports, agents, conversations, inbox, outbox, audit and idempotency."""

from typing import Any

from peewee import Database, SqliteDatabase

_TABLES = """
CREATE TABLE account (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    timezone TEXT NOT NULL,
    default_region TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE TABLE account_environment (
    id {pk},
    account_id TEXT NOT NULL CONSTRAINT fk_account_environment_account REFERENCES account (id),
    environment TEXT NOT NULL CONSTRAINT ck_account_environment CHECK (environment IN ('live', 'test')),
    webhook_token TEXT NOT NULL,
    webhook_token_hash TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_account_environment ON account_environment (account_id, environment);
CREATE UNIQUE INDEX uq_account_environment_webhook_token ON account_environment (webhook_token_hash);
CREATE TABLE member (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL CONSTRAINT fk_member_account REFERENCES account (id),
    clerk_user_id TEXT NOT NULL,
    email TEXT NOT NULL,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    roles {json} NOT NULL,
    created_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_member_email ON member (account_id, email);
CREATE TABLE api_key (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL CONSTRAINT fk_api_key_account REFERENCES account (id),
    tenant_id BIGINT NOT NULL CONSTRAINT fk_api_key_tenant REFERENCES account_environment (id),
    environment TEXT NOT NULL,
    name TEXT NOT NULL,
    key_hash TEXT NOT NULL,
    key_hint TEXT NOT NULL,
    scopes {json} NOT NULL,
    roles {json} NOT NULL,
    status TEXT NOT NULL CONSTRAINT ck_api_key_status CHECK (status IN ('active', 'revoked')),
    ip_allowlist {json} NOT NULL,
    expires_at TEXT,
    last_used_at TEXT,
    created_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_api_key_hash ON api_key (key_hash);
CREATE INDEX ix_api_key_account ON api_key (account_id, created_at, id);
CREATE TABLE lead (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_lead_tenant REFERENCES account_environment (id),
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT{bytewise} NOT NULL,
    phone TEXT NOT NULL,
    phone_valid {bool} NOT NULL,
    email TEXT NOT NULL,
    status TEXT NOT NULL
        CONSTRAINT ck_lead_status CHECK (status IN ('new', 'contacted', 'qualified', 'disqualified')),
    source TEXT NOT NULL,
    tags {json} NOT NULL,
    assigned_agent_id TEXT,
    ab_test_id TEXT,
    agent_assigned_by TEXT NOT NULL,
    custom_fields {json} NOT NULL,
    external_id TEXT,
    timezone TEXT,
    opted_out {json} NOT NULL,
    import_batch_id TEXT,
    last_contacted_at TEXT,
    search_text TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    deleted_at TEXT
);
CREATE UNIQUE INDEX uq_lead_number ON lead (tenant_id, number);
CREATE UNIQUE INDEX uq_lead_phone ON lead (tenant_id, phone) WHERE phone <> '' AND deleted_at IS NULL;
CREATE UNIQUE INDEX uq_lead_external_id ON lead (tenant_id, external_id)
    WHERE external_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX ix_lead_created ON lead (tenant_id, created_at, number);
CREATE INDEX ix_lead_updated ON lead (tenant_id, updated_at, number);
CREATE INDEX ix_lead_status ON lead (tenant_id, status, created_at, number);
CREATE INDEX ix_lead_name ON lead (tenant_id, name_key, number);
CREATE INDEX ix_lead_last_contacted ON lead (tenant_id, COALESCE(last_contacted_at, ''), number);
CREATE INDEX ix_lead_email ON lead (tenant_id, lower(email));
CREATE INDEX ix_lead_import_batch ON lead (tenant_id, import_batch_id) WHERE import_batch_id IS NOT NULL;
CREATE TABLE lead_counter (
    tenant_id BIGINT PRIMARY KEY CONSTRAINT fk_lead_counter_tenant REFERENCES account_environment (id),
    last_number INTEGER NOT NULL,
    live INTEGER NOT NULL CONSTRAINT ck_lead_counter_live CHECK (live >= 0)
);
CREATE TABLE upload (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_upload_tenant REFERENCES account_environment (id),
    oid TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_upload_oid ON upload (oid);
CREATE TABLE upload_piece (
    id {pk},
    tenant_id BIGINT NOT NULL,
    upload_id BIGINT NOT NULL CONSTRAINT fk_upload_piece_upload REFERENCES upload (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    data {blob} NOT NULL
);
CREATE UNIQUE INDEX uq_upload_piece ON upload_piece (upload_id, seq);
CREATE TABLE import_batch (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_import_batch_tenant REFERENCES account_environment (id),
    oid TEXT NOT NULL,
    upload_id BIGINT,
    status TEXT NOT NULL
        CONSTRAINT ck_import_batch_status CHECK (status IN ('queued', 'running', 'completed', 'failed', 'undone')),
    mapping {json} NOT NULL,
    tags {json} NOT NULL,
    on_duplicate TEXT NOT NULL,
    default_region TEXT,
    total INTEGER,
    processed INTEGER NOT NULL,
    imported INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    duplicates_skipped INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    error_rows {json} NOT NULL,
    failure TEXT,
    actor {json} NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_import_batch_oid ON import_batch (oid);
CREATE TABLE agent_config (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_agent_config_tenant REFERENCES account_environment (id),
    oid TEXT NOT NULL,
    name TEXT NOT NULL,
    system_prompt TEXT NOT NULL,
    goal TEXT NOT NULL,
    status TEXT NOT NULL
        CONSTRAINT ck_agent_config_status CHECK (status IN ('active', 'inactive', 'draft')),
    language TEXT NOT NULL,
    instructions TEXT NOT NULL,
    qualification_criteria TEXT NOT NULL,
    handoff_message TEXT NOT NULL,
    stages {json} NOT NULL,
    guardrails {json} NOT NULL,
    knowledge_base_ids {json} NOT NULL,
    model {json},
    version INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_agent_config_oid ON agent_config (oid);
CREATE INDEX ix_agent_config_created ON agent_config (tenant_id, created_at, oid);
CREATE TABLE conversation (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_conversation_tenant REFERENCES account_environment (id),
    oid TEXT NOT NULL,
    lead_number INTEGER NOT NULL,
    agent_config_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    lead_phone TEXT NOT NULL,
    lead_email TEXT,
    status TEXT NOT NULL
        CONSTRAINT ck_conversation_status CHECK (status IN ('active', 'completed', 'handed_off', 'dropped')),
    stage_index INTEGER NOT NULL,
    stage_name TEXT,
    message_count INTEGER NOT NULL,
    campaign_id TEXT,
    summary TEXT,
    qualification_result {json},
    last_message_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    CONSTRAINT fk_conversation_lead FOREIGN KEY (tenant_id, lead_number) REFERENCES lead (tenant_id, number)
);
CREATE UNIQUE INDEX uq_conversation_oid ON conversation (oid);
CREATE UNIQUE INDEX uq_conversation_active ON conversation (tenant_id, lead_number, channel) WHERE status = 'active';
CREATE INDEX ix_conversation_created ON conversation (tenant_id, created_at, oid);
CREATE INDEX ix_conversation_lead ON conversation (tenant_id, lead_number, id);
CREATE INDEX ix_conversation_status ON conversation (tenant_id, status, created_at, oid);
CREATE INDEX ix_conversation_agent ON conversation (tenant_id, agent_config_id);
CREATE TABLE message (
    id {pk},
    tenant_id BIGINT NOT NULL,
    oid TEXT NOT NULL,
    conversation_id BIGINT NOT NULL CONSTRAINT fk_message_conversation REFERENCES conversation (id),
    seq INTEGER NOT NULL,
    role TEXT NOT NULL CONSTRAINT ck_message_role CHECK (role IN ('agent', 'lead', 'human', 'system')),
    content TEXT NOT NULL,
    agent_config_id TEXT,
    stage_id TEXT,
    delivery_status TEXT,
    citations {json} NOT NULL,
    created_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_message_oid ON message (oid);
CREATE UNIQUE INDEX uq_message_seq ON message (conversation_id, seq);
CREATE TABLE inbound_event (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_inbound_event_tenant REFERENCES account_environment (id),
    channel TEXT NOT NULL,
    event_id TEXT NOT NULL,
    payload {json} NOT NULL,
    created_at TEXT NOT NULL
);
CREATE UNIQUE INDEX uq_inbound_event ON inbound_event (tenant_id, channel, event_id);
CREATE TABLE outbox_row (
    id {pk},
    tenant_id BIGINT NOT NULL CONSTRAINT fk_outbox_row_tenant REFERENCES account_environment (id),
    kind TEXT NOT NULL,
    lane TEXT NOT NULL,
    payload {json} NOT NULL,
    state TEXT NOT NULL
        CONSTRAINT ck_outbox_row_state CHECK (state IN ('pending', 'claimed', 'done', 'failed')),
    attempts INTEGER NOT NULL,
    available_at TEXT NOT NULL,
    lease_until TEXT,
    lease_token TEXT,
    error TEXT,
    created_at TEXT NOT NULL,
    finished_at TEXT
);
CREATE INDEX ix_outbox_row_due ON outbox_row (available_at, id) WHERE state IN ('pending', 'claimed');
CREATE INDEX ix_outbox_row_lane ON outbox_row (lane, id) WHERE state IN ('pending', 'claimed');
CREATE INDEX ix_outbox_row_finished ON outbox_row (finished_at) WHERE finished_at IS NOT NULL;
CREATE TABLE audit_entry (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL CONSTRAINT fk_audit_entry_account REFERENCES account (id),
    environment TEXT NOT NULL,
    actor_type TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    actor_ip TEXT,
    request_id TEXT,
    action TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    metadata {json} NOT NULL,
    created_at TEXT NOT NULL
);
CREATE INDEX ix_audit_entry_created ON audit_entry (account_id, created_at, id);
CREATE TABLE idempotency_record (
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    status INTEGER NOT NULL,
    headers {json} NOT NULL,
    body {blob} NOT NULL,
    created_at TEXT NOT NULL,
    CONSTRAINT pk_idempotency_record PRIMARY KEY (owner, key)
);
CREATE INDEX ix_idempotency_record_created ON idempotency_record (created_at);
"""

# SQLite gets its newleaf_fold from storage/lead_text.py. Before version 18 PostgreSQL only knows lower(), which comes
# near: it leaves apart what only case folding unites, such as "ß" and "ss".
_FOLD = """
CREATE FUNCTION newleaf_fold(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT {folded}
$$
"""
_FOLDED = "casefold(value COLLATE pg_unicode_fast)"
_FOLDED_BEFORE_18 = "lower(value)"

_SQLITE_TYPES = {
    "pk": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "json": "TEXT",
    "blob": "BLOB",
    "bool": "INTEGER",
    "bytewise": "",
}
_POSTGRESQL_TYPES = {
    "pk": "BIGSERIAL PRIMARY KEY",
    "json": "JSONB",
    "blob": "BYTEA",
    "bool": "BOOLEAN",
    "bytewise": ' COLLATE "C"',
}


def up(migrator: Any, db: Database) -> None:
    """Create the tables in the types of the engine."""
    if isinstance(db, SqliteDatabase):
        types = _SQLITE_TYPES
    else:
        types = _POSTGRESQL_TYPES
        recent = db.execute_sql("SHOW server_version_num").fetchone()[0] >= "180000"
        db.execute_sql(_FOLD.format(folded=_FOLDED if recent else _FOLDED_BEFORE_18))
    for statement in _TABLES.format(**types).split(";"):
        if statement.strip():
            db.execute_sql(statement)
