"""API keys: list, create, get, revoke, rotate, delete, and the key of the request itself."""

from __future__ import annotations

from typing import Any

from storage import api_keys, clock
from storage.api_keys import ApiKey, NewKey
from storage.tenancy import Caller

from .answers import Answer, Page

Json = dict[str, Any]


def _body(row: ApiKey) -> Json:
    return {
        "_id": row.id,
        "name": row.name,
        "keyPrefix": f"nl_{row.environment}_",
        "keyHint": row.key_hint,
        "scopes": row.scopes,
        "environment": row.environment,
        "status": row.status_at(clock.now()),
        "accountId": row.account_id,
        "expiresAt": row.expires_at,
        "lastUsedAt": row.last_used_at,
        "createdAt": row.created_at,
        "ipAllowlist": row.ip_allowlist,
    }


def _shown_once(new: NewKey) -> Json:
    return {"fullKey": new.full_key, "apiKey": _body(new.row)}


def list_api_keys(user: Caller, skip: int = 0, limit: int = 50, cursor: str | None = None) -> Page:
    """A page of the keys that exist for the caller, newest first."""
    rows, total, next_cursor = api_keys.page(user, limit=limit, skip=skip, cursor=cursor)
    return Page([_body(row) for row in rows], total, next_cursor)


def create_api_key(user: Caller, body: Json) -> Answer:
    """A new key and its only sight. Raises Forbidden, Blocked."""
    new = api_keys.create(
        user,
        body["environment"],
        name=body["name"],
        scopes=body["scopes"],
        ip_allowlist=body.get("ipAllowlist", ()),
        expires_at=body.get("expiresAt"),
    )
    return Answer(_shown_once(new), status=201, location=f"/api/api-keys/{new.row.id}")


def get_current_api_key(user: Caller) -> Json:
    """The key of this request and what it may do."""
    return {
        "apiKey": _body(api_keys.get(user, user.key_id)),
        "accountId": user.tenant.account_id,
        "environment": user.tenant.environment,
        "roles": list(user.roles),
        "permissions": api_keys.permissions(user),
    }


def get_api_key(user: Caller, id_: str) -> Json:
    """One key, masked. Raises NotFound."""
    return _body(api_keys.get(user, id_))


def revoke_api_key(user: Caller, id_: str) -> Json:
    """The key, which ends with the commit. Raises NotFound."""
    return _body(api_keys.revoke(user, id_))


def rotate_api_key(user: Caller, id_: str, body: Json | None = None) -> Json:
    """A new key on the old one's terms and its only sight. Raises NotFound, Conflict, Forbidden."""
    overlap_s = int((body or {}).get("overlapSeconds", 0))
    return _shown_once(api_keys.rotate(user, id_, overlap_s=overlap_s))


def delete_api_key(user: Caller, id_: str) -> Json:
    """Remove a revoked key. Raises NotFound, Conflict."""
    api_keys.delete(user, id_)
    return {"success": True}
