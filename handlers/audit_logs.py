"""The audit log over HTTP, page by page or as one file."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from engine import audit as chain
from storage import audit_log, clock
from storage.audit import AuditEntry
from storage.audit_log import Filters
from storage.tenancy import Caller

from .answers import Page, Stream
from .sheets import sheet

_MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "jsonl": "application/jsonl",
}
_DELIMITERS = {"csv": ",", "tsv": "\t"}
_COLUMNS = (
    *("_id", "timestamp", "action", "resourceType", "resourceId"),
    *("actorType", "actorId", "actorName", "actorIp", "metadata"),
)
_encode = msgspec.json.Encoder().encode


def list_audit_logs(
    user: Caller,
    action: str | None = None,
    resource_type: str | None = None,
    actor_type: str | None = None,
    actor_id: str | None = None,
    from_: str | None = None,
    to: str | None = None,
    search: str | None = None,
    skip: int = 0,
    limit: int = 50,
    cursor: str | None = None,
) -> Page:
    """A page of entries, the newest first. Raises Blocked."""
    filters = Filters(action, resource_type, actor_type, actor_id, from_, to, search)
    found, total, following = audit_log.page(user.tenant, filters, limit=limit, skip=skip, cursor=cursor)
    body = {"data": [_entry(row) for row in found], "total": total, "skip": skip, "limit": limit}
    return Page(body, total, following)


def export_audit_logs(
    user: Caller,
    format_: str = "csv",
    action: str | None = None,
    resource_type: str | None = None,
    actor_type: str | None = None,
    actor_id: str | None = None,
    from_: str | None = None,
    to: str | None = None,
    search: str | None = None,
) -> Stream:
    """All matching entries as a file, sent piece by piece. Raises Blocked."""
    query = audit_log.matching(user.tenant, Filters(action, resource_type, actor_type, actor_id, from_, to, search))
    pieces = itertools.chain([_header(format_)], (_written(format_, rows) for rows in audit_log.chunks(query)))
    name = f"audit-logs-{clock.stamp()[:10]}.{format_}"
    return Stream(
        _MEDIA_TYPES[format_],
        lambda: next(pieces, None),
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def verify_audit_logs(user: Caller) -> dict[str, Any]:
    """Whether the account's log is what was written, and where not."""
    return chain.verdict_body(chain.verify(user.tenant.account_id))


def _entry(row: AuditEntry) -> dict[str, Any]:
    actor = {"type": row.actor_type, "id": row.actor_id, "displayName": row.actor_name}
    if row.actor_ip is not None:
        actor["ip"] = row.actor_ip
    return {
        "_id": row.id,
        "accountId": row.account_id,
        "actor": actor,
        "action": row.action,
        "resource": {"type": row.resource_type, "id": row.resource_id},
        "timestamp": row.created_at,
        "metadata": row.metadata,
    }


def _header(format_: str) -> bytes:
    return b"" if format_ == "jsonl" else sheet([_COLUMNS], _DELIMITERS[format_])


def _written(format_: str, rows: list[AuditEntry]) -> bytes:
    if format_ == "jsonl":
        return b"".join(_encode(_entry(row)) + b"\n" for row in rows)
    return sheet(map(_cells, rows), _DELIMITERS[format_])


def _cells(row: AuditEntry) -> tuple[str, ...]:
    return (
        *(row.id, row.created_at, row.action, row.resource_type, row.resource_id),
        *(row.actor_type, row.actor_id, row.actor_name, row.actor_ip or "", _encode(row.metadata).decode()),
    )
