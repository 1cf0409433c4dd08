"""Starlette by hand, over sqlite3 or psycopg: SQL in constants, rows straight into msgspec structs."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from tests.bench.references import texts

from . import leads, statements, syncing
from .answers import Refusal, answer, encode
from .contract import Body, bounded, only
from .databases import Database, Duplicate
from .edge import Asked, guarded

_create_body = Body("LeadCreate")
_preview_body = Body("LeadPreviewRequest")
_sync_body = Body("SyncRequest")
_LIST_PARAMETERS = frozenset({"limit", "skip", "cursor"})


def list_leads(db: Database, asked: Asked) -> Response:
    """A page of all leads, newest first."""
    query, tenant = asked.request.query_params, asked.caller.tenant_id
    only(query, _LIST_PARAMETERS)
    limit, skip = bounded(query, "limit", 50, 1, 100), bounded(query, "skip", 0, 0, 1_000_000)
    if "cursor" in query:
        rows = db.all(statements.LIST_AFTER, (tenant, leads.after(query["cursor"]), limit + 1, skip))
    else:
        rows = db.all(statements.LIST, (tenant, limit + 1, skip))
    headers = {"X-Total-Count": str(db.one(statements.COUNT, (tenant,))[0])}
    if len(rows) > limit:
        headers |= leads.next_link(asked.request.url.path, query, rows[limit - 1])
    return answer([leads.lead(asked.caller.account_id, row) for row in rows[:limit]], headers=headers)


def get_lead(db: Database, asked: Asked) -> Response:
    """One lead."""
    number = bounded(asked.request.path_params, "id", 0, 1, 2_147_483_647)
    row = db.one(statements.GET, (asked.caller.tenant_id, number))
    if row is None:
        raise Refusal(404, "lead_not_found", "Lead not found")
    return leads.tagged(answer(leads.lead(asked.caller.account_id, row)))


def preview_leads(db: Database, asked: Asked) -> Response:
    """A page of the leads that a filter describes, and how many there are."""
    body = _preview_body.read(asked.body)
    condition, values = leads.conditions(body["filters"], statements.MARK, statements.HAS_TAG)
    values = [asked.caller.tenant_id, *values]
    total = db.one(statements.COUNT_MATCHING + condition, values)[0]
    page = [*values, body.get("limit", 5), body.get("skip", 0)]
    rows = db.all(f"{statements.MATCHING}{condition}{statements.PAGE}", page)
    return answer({"leads": [leads.lead(asked.caller.account_id, row) for row in rows], "total": total})


def create_lead(db: Database, asked: Asked) -> Response:
    """The new lead."""
    caller, moment = asked.caller, texts.stamp()
    new = leads.read_new(_create_body.read(asked.body), caller)
    try:
        with db.transaction():
            (number,) = db.one(statements.MOVE_COUNTER, (1, 1, caller.tenant_id))
            agent = new.assigned_agent_id
            if agent and db.one(statements.AGENT, (caller.tenant_id, agent)) is None:
                raise Refusal(404, "agent_not_found", "Agent not found")
            row = new.row(caller, number, moment)
            db.change(statements.INSERT, [row])
            _audit(db, asked, "lead.created", number, {"source": new.source})
    except Duplicate:
        holder = db.one(statements.BY_PHONE, (caller.tenant_id, new.phone))
        if holder is None:
            raise Refusal(409, "duplicate_external_id", "A lead with this external id already exists") from None
        message = "A lead with this phone already exists"
        raise Refusal(409, "duplicate_phone", message, details=str(holder[0])) from None
    return answer(new.body(caller, row), 201, {"Location": f"/api/leads/{number}"})


def sync_leads(db: Database, asked: Asked) -> Response:
    """What became of each item."""
    body = _sync_body.read(asked.body)
    items, refused = syncing.read(body["leads"], asked.caller.region)
    with db.transaction():
        db.one(statements.ENTER, (asked.caller.tenant_id,))
        plan = syncing.Plan(_meant(db, asked, items))
        for item in items:
            plan.take(item)
        if not body.get("validateOnly"):
            _carry_out(db, asked, plan, body.get("source", "api"))
    return answer(plan.answer(len(body["leads"]), refused))


def _meant(db: Database, asked: Asked, items: list[syncing.Item]) -> list[syncing.Known]:
    """The leads that the items may mean, oldest first."""
    found: dict[int, Any] = {}
    for statement, values in zip(statements.MEANT_BY, syncing.keys(items), strict=True):
        if values:
            rows = db.all(statement, (asked.caller.tenant_id, encode(values).decode()))
            found.update((row[0], row) for row in rows)
    return [syncing.Known.of(found[number]) for number in sorted(found)]


def _carry_out(db: Database, asked: Asked, plan: syncing.Plan, source: str) -> None:
    caller, moment = asked.caller, texts.stamp()
    if plan.new:
        count = len(plan.new)
        (last,) = db.one(statements.MOVE_COUNTER, (count, count, caller.tenant_id))
        for number, lead in enumerate(plan.new, last - count + 1):
            lead.number = number
        db.change(statements.INSERT, [lead.values(caller, source, moment) for lead in plan.new])
    if plan.changed:
        db.change(statements.UPDATE, [lead.changes(caller, moment) for lead in plan.changed.values()])
    if plan.new or plan.changed:
        _audit(db, asked, "leads.synced", caller.account_id, plan.counts(source))


def _audit(db: Database, asked: Asked, action: str, resource_id: Any, metadata: dict[str, Any]) -> None:
    caller = asked.caller
    entry = (
        *(texts.object_id(), caller.account_id, caller.environment, caller.key_id, caller.name),
        *(asked.address, asked.request.state.id, action, action.partition(".")[0], str(resource_id)),
        *(encode(metadata).decode(), texts.stamp()),
    )
    db.change(statements.AUDIT, [entry])


app = Starlette(
    routes=[
        Route("/api/leads", guarded("leads:view", list_leads), methods=["GET"]),
        Route("/api/leads", guarded("leads:import", create_lead), methods=["POST"]),
        Route("/api/leads/preview", guarded("leads:view", preview_leads), methods=["POST"]),
        Route("/api/leads/sync", guarded("leads:sync_create", sync_leads, is_sync=True), methods=["POST"]),
        Route("/api/leads/{id}", guarded("leads:view", get_lead), methods=["GET"]),
    ]
)
