"""Starlette and sqlite3 by hand: SQL in constants, msgspec structs, handlers on the loop: SQLite answers at once."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import leads, syncing, texts
from .contract import Body, bounded, only
from .edge import KEY_BY_HASH, Caller, Refusal, answer, encode, guarded, not_found

_COLUMNS = leads.COLUMNS.format(tags="tags", custom_fields="custom_fields", opted_out="opted_out")
_LIVE = f"SELECT {_COLUMNS} FROM lead WHERE tenant_id = ? AND deleted_at IS NULL"
_PAGE = " ORDER BY created_at DESC, number DESC LIMIT ? OFFSET ?"
_GET = f"{_LIVE} AND number = ?"
_LIST = _LIVE + _PAGE
_LIST_AFTER = f"{_LIVE} AND (created_at, number) < (?, ?){_PAGE}"
_COUNT = "SELECT live FROM lead_counter WHERE tenant_id = ?"
_COUNT_MATCHING = "SELECT COUNT(*) FROM lead WHERE tenant_id = ? AND deleted_at IS NULL AND "
_HAS_TAG = (
    "EXISTS (SELECT 1 FROM json_each(lead.tags) tag WHERE tag.value IN (SELECT wanted.value FROM json_each(?) wanted))"
)
_BY_PHONE = "SELECT number FROM lead WHERE tenant_id = ? AND phone = ? AND phone <> '' AND deleted_at IS NULL"
_AGENT = "SELECT 1 FROM agent_config WHERE tenant_id = ? AND oid = ?"
_MOVE_COUNTER = """
UPDATE lead_counter SET last_number = last_number + ?, live = live + ? WHERE tenant_id = ? RETURNING last_number
"""
_INSERT = f"INSERT INTO lead ({', '.join(leads.STORED)}) VALUES ({', '.join('?' * len(leads.STORED))})"
_UPDATE = syncing.UPDATE.format("?")
_AUDIT = """
INSERT INTO audit_entry (id, account_id, environment, actor_type, actor_id, actor_name, actor_ip, request_id, action,
    resource_type, resource_id, metadata, created_at) VALUES (?, ?, ?, 'api_key', ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_MEANT = f"""
SELECT {syncing.COLUMNS.format(tags="tags", custom_fields="custom_fields")} FROM lead
WHERE tenant_id = ? AND deleted_at IS NULL AND
"""
_MEANT_BY = (
    f"{_MEANT} external_id IS NOT NULL AND external_id IN (SELECT value FROM json_each(?))",
    f"{_MEANT} phone <> '' AND phone IN (SELECT value FROM json_each(?))",
    f"{_MEANT} lower(email) IN (SELECT lower(value) FROM json_each(?))",
)

_PRAGMAS = (
    "journal_mode = wal",
    "synchronous = full",
    "foreign_keys = 1",
    "cache_size = -65536",
    "temp_store = memory",
)

_create_body = Body("LeadCreate")
_preview_body = Body("LeadPreviewRequest")
_sync_body = Body("SyncRequest")


def _connect() -> sqlite3.Connection:
    path = os.environ["NEWLEAF_DATABASE_URL"].removeprefix("sqlite:///")
    connection = sqlite3.connect(path, isolation_level=None, timeout=30, cached_statements=256)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection


_db = _connect()
_last_used: dict[str, str] = {}


@contextmanager
def _transaction() -> Iterator[None]:
    _db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        _db.execute("ROLLBACK")
        raise
    _db.execute("COMMIT")


async def _find_key(digest: str) -> Any:
    row = _db.execute(KEY_BY_HASH.format("?"), (digest,)).fetchone()
    minute = texts.stamp()[:16]
    if row is not None and _last_used.get(row[0]) != minute:
        _last_used[row[0]] = minute
        _db.execute("UPDATE api_key SET last_used_at = ? WHERE id = ?", (texts.stamp(), row[0]))
    return row


def _audit(request: Request, caller: Caller, action: str, resource_id: Any, metadata: dict[str, Any]) -> None:
    _db.execute(
        _AUDIT,
        (
            texts.object_id(),
            caller.account_id,
            caller.environment,
            caller.key_id,
            caller.name,
            request.client.host if request.client else None,
            request.state.id,
            action,
            action.partition(".")[0],
            str(resource_id),
            encode(metadata).decode(),
            texts.stamp(),
        ),
    )


async def list_leads(request: Request, caller: Caller) -> Response:
    """A page of all leads, newest first."""
    query = request.query_params
    only(query, frozenset({"limit", "skip", "cursor"}))
    limit, skip = bounded(query, "limit", 50, 1, 100), bounded(query, "skip", 0, 0, 1_000_000)
    if "cursor" in query:
        rows = _db.execute(_LIST_AFTER, (caller.tenant_id, *leads.after(query["cursor"]), limit + 1, skip)).fetchall()
    else:
        rows = _db.execute(_LIST, (caller.tenant_id, limit + 1, skip)).fetchall()
    headers = {"X-Total-Count": str(_db.execute(_COUNT, (caller.tenant_id,)).fetchone()[0])}
    if len(rows) > limit:
        headers |= leads.next_link(request.url.path, query, rows[limit - 1])
    return answer([leads.lead(caller.account_id, row) for row in rows[:limit]], headers=headers)


async def get_lead(request: Request, caller: Caller) -> Response:
    """One lead."""
    number = bounded(request.path_params, "id", 0, 1, 2_147_483_647)
    row = _db.execute(_GET, (caller.tenant_id, number)).fetchone()
    if row is None:
        raise not_found()
    return leads.tagged(answer(leads.lead(caller.account_id, row)))


async def preview_leads(request: Request, caller: Caller) -> Response:
    """A page of the leads that a filter describes, and how many there are."""
    body = _preview_body.read(await request.body())
    condition, values = leads.conditions(body["filters"], "?", _HAS_TAG)
    total = _db.execute(_COUNT_MATCHING + condition, (caller.tenant_id, *values)).fetchone()[0]
    rows = _db.execute(
        f"{_LIVE} AND {condition}{_PAGE}", (caller.tenant_id, *values, body.get("limit", 5), body.get("skip", 0))
    )
    return answer({"leads": [leads.lead(caller.account_id, row) for row in rows], "total": total})


async def create_lead(request: Request, caller: Caller) -> Response:
    """The new lead."""
    new = leads.read_new(_create_body.read(await request.body()), caller)
    moment = texts.stamp()
    with _transaction():
        holder = _db.execute(_BY_PHONE, (caller.tenant_id, new.phone)).fetchone()
        if holder is not None:
            raise Refusal(409, "duplicate_phone", "A lead with this phone already exists", details=str(holder[0]))
        agent = new.assigned_agent_id
        if agent and _db.execute(_AGENT, (caller.tenant_id, agent)).fetchone() is None:
            raise Refusal(404, "agent_not_found", "Agent not found")
        (number,) = _db.execute(_MOVE_COUNTER, (1, 1, caller.tenant_id)).fetchone()
        row = new.row(caller, number, moment)
        try:
            _db.execute(_INSERT, row)
        except sqlite3.IntegrityError:
            raise Refusal(409, "duplicate_external_id", "A lead with this external id already exists") from None
        _audit(request, caller, "lead.created", number, {"source": new.source})
    return answer(new.body(caller, row), 201, {"Location": f"/api/leads/{number}"})


async def sync_leads(request: Request, caller: Caller) -> Response:
    """What became of each item."""
    body = _sync_body.read(await request.body())
    source, moment = body.get("source", "api"), texts.stamp()
    items, refused = syncing.read(body["leads"], caller.region)
    with _transaction():
        plan = syncing.Plan(_meant(caller, items))
        for item in items:
            plan.take(item)
        if not body.get("validateOnly"):
            _carry_out(request, caller, plan, source, moment)
    return answer(plan.answer(len(body["leads"]), refused))


def _meant(caller: Caller, items: list[syncing.Item]) -> list[syncing.Known]:
    """The leads that the items may mean, oldest first."""
    keys = syncing.keys(items)
    found: dict[int, Any] = {}
    for statement, values in zip(_MEANT_BY, keys, strict=True):
        if values:
            rows = _db.execute(statement, (caller.tenant_id, encode(values).decode()))
            found.update((row[0], row) for row in rows)
    return [syncing.Known.of(found[number]) for number in sorted(found)]


def _carry_out(request: Request, caller: Caller, plan: syncing.Plan, source: str, moment: str) -> None:
    if plan.new:
        count = len(plan.new)
        (last,) = _db.execute(_MOVE_COUNTER, (count, count, caller.tenant_id)).fetchone()
        for number, lead in enumerate(plan.new, last - count + 1):
            lead.number = number
        _db.executemany(_INSERT, [lead.values(caller, source, moment) for lead in plan.new])
    if plan.changed:
        _db.executemany(_UPDATE, [lead.changes(caller, moment) for lead in plan.changed.values()])
    if plan.new or plan.changed:
        _audit(request, caller, "leads.synced", caller.account_id, plan.counts(source))


app = Starlette(
    routes=[
        Route("/api/leads", guarded(_find_key, "leads:view", list_leads), methods=["GET"]),
        Route("/api/leads", guarded(_find_key, "leads:import", create_lead), methods=["POST"]),
        Route("/api/leads/preview", guarded(_find_key, "leads:view", preview_leads), methods=["POST"]),
        Route("/api/leads/sync", guarded(_find_key, "leads:sync_create", sync_leads, is_sync=True), methods=["POST"]),
        Route("/api/leads/{id}", guarded(_find_key, "leads:view", get_lead), methods=["GET"]),
    ]
)
