"""The SQL of the servers written by hand, in the words of the database they serve."""

from __future__ import annotations

from . import leads, syncing
from .databases import IS_SQLITE

MARK = "?" if IS_SQLITE else "%s"
_AS_TEXT = "" if IS_SQLITE else "::text"  # of a JSON column: it is passed on as it is
_JSON = {name: name + _AS_TEXT for name in ("tags", "custom_fields", "opted_out")}
_EACH = f"(SELECT value FROM json_each({MARK}))" if IS_SQLITE else f"(SELECT jsonb_array_elements_text({MARK}::jsonb))"
_ANY_OF = f"IN {_EACH}" if IS_SQLITE else f"= ANY(ARRAY{_EACH})"

_LIVE = f"SELECT {leads.COLUMNS.format(**_JSON)} FROM lead WHERE tenant_id = {MARK} AND deleted_at IS NULL"
PAGE = f" ORDER BY number DESC LIMIT {MARK} OFFSET {MARK}"
GET = f"{_LIVE} AND number = {MARK}"
LIST = _LIVE + PAGE
LIST_AFTER = f"{_LIVE} AND number < {MARK}{PAGE}"
COUNT = f"SELECT live FROM lead_counter WHERE tenant_id = {MARK}"
MATCHING = f"{_LIVE} AND "
COUNT_MATCHING = f"SELECT COUNT(*) FROM lead WHERE tenant_id = {MARK} AND deleted_at IS NULL AND "
HAS_TAG = (
    f"EXISTS (SELECT 1 FROM json_each(lead.tags) tag WHERE tag.value IN {_EACH})"
    if IS_SQLITE
    else f"tags ?| ARRAY{_EACH}"
)

KEY_BY_HASH = f"""
SELECT k.id, k.account_id, k.tenant_id, k.environment, k.name, k.scopes, a.default_region, k.status, k.expires_at
FROM api_key k JOIN account a ON a.id = k.account_id WHERE k.key_hash = {MARK}
"""
KEY_USED = f"UPDATE api_key SET last_used_at = {MARK} WHERE id = {MARK}"
AGENT = f"SELECT 1 FROM agent_config WHERE tenant_id = {MARK} AND oid = {MARK}"
AUDIT = f"""
INSERT INTO audit_entry (id, account_id, environment, actor_type, actor_id, actor_name, actor_ip, request_id, action,
    resource_type, resource_id, metadata, created_at)
VALUES ({MARK}, {MARK}, {MARK}, 'api_key', {", ".join([MARK] * 9)})
"""

# Whoever writes the phones of a tenant goes through this row; SQLite lets one writer in anyway.
ENTER = f"{COUNT}{'' if IS_SQLITE else ' FOR UPDATE'}"
BY_PHONE = f"SELECT number FROM lead WHERE tenant_id = {MARK} AND phone = {MARK} AND phone <> '' AND deleted_at IS NULL"
MOVE_COUNTER = f"""
UPDATE lead_counter SET last_number = last_number + {MARK}, live = live + {MARK} WHERE tenant_id = {MARK}
RETURNING last_number
"""
INSERT = f"INSERT INTO lead ({', '.join(leads.STORED)}) VALUES ({', '.join([MARK] * len(leads.STORED))})"
UPDATE = syncing.UPDATE.format(MARK)
_MEANT = f"SELECT {syncing.COLUMNS.format(**_JSON)} FROM lead WHERE tenant_id = {MARK} AND deleted_at IS NULL AND "
MEANT_BY = (
    f"{_MEANT} external_id IS NOT NULL AND external_id {_ANY_OF}",
    f"{_MEANT} phone <> '' AND phone {_ANY_OF}",
    f"{_MEANT} lower(email) {_ANY_OF}",
)
