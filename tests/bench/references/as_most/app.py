"""The endpoints for leads: sync functions in FastAPI's threads, ORM objects, response models."""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response
from sqlalchemy import ColumnElement, and_, cast, exists, func, literal, or_, select
from sqlalchemy.dialects.postgresql import JSONB, array
from sqlalchemy.exc import IntegrityError

from tests.bench.references import texts

from .bodies import Condition, LeadCreate, LeadOut, LeadPage, Preview, SyncRequest, SyncResult
from .edge import Caller, Reading, Refusal, Writing, app, may_import, may_sync, may_view
from .leads import audit, custom, derive, hold_counter, live, out
from .syncing import sync
from .tables import IS_SQLITE, Lead, LeadCounter

_TEXTS = {name: getattr(Lead, name) for name in ("status", "name", "phone", "email", "source")}


@app.get("/api/leads", response_model=list[LeadOut], response_model_exclude_none=True)
def list_leads(
    request: Request,
    response: Response,
    session: Reading,
    caller: Annotated[Caller, Depends(may_view)],
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    skip: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    cursor: str | None = None,
) -> Any:
    """A page of all leads, newest first."""
    query = live(caller).order_by(Lead.number.desc())
    if cursor:
        query = query.where(Lead.number < int(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))))
    rows = session.scalars(query.limit(limit + 1).offset(skip)).all()
    if len(rows) > limit:
        following = base64.urlsafe_b64encode(b"%d" % rows[limit - 1].number).decode().rstrip("=")
        response.headers["Link"] = f'<{request.url.path}?limit={limit}&cursor={following}>; rel="next"'
    counter = session.get(LeadCounter, caller.tenant_id)
    response.headers["X-Total-Count"] = str(counter.live if counter else 0)
    return [out(lead, caller) for lead in rows[:limit]]


@app.get("/api/leads/{number}", response_model=LeadOut, response_model_exclude_none=True)
def get_lead(
    response: Response,
    session: Reading,
    caller: Annotated[Caller, Depends(may_view)],
    number: Annotated[int, Path(ge=1, le=2_147_483_647)],
) -> Any:
    """One lead."""
    lead = session.scalars(live(caller).where(Lead.number == number)).first()
    if lead is None:
        raise Refusal(404, "lead_not_found", "Lead not found")
    told = out(lead, caller)
    response.headers["ETag"] = f'"{hashlib.sha256(told.model_dump_json().encode()).hexdigest()[:32]}"'
    return told


def _condition(condition: Condition) -> ColumnElement[bool]:
    value = condition.value
    if condition.field == "tags" and condition.operator in ("is_any_of", "includes_any_of"):
        if not IS_SQLITE:
            return cast(Lead.tags, JSONB).has_any(array(value))
        each = func.json_each(Lead.tags).table_valued("value")
        return exists(select(literal(1)).select_from(each).where(each.c.value.in_(value)))
    column = _TEXTS.get(condition.field)
    if column is None or condition.operator not in ("is", "is_not"):
        raise Refusal(400, "filter_unknown_field", f"Unknown field: {condition.field}")
    return column == value if condition.operator == "is" else column != value


@app.post("/api/leads/preview", response_model=LeadPage, response_model_exclude_none=True)
def preview_leads(session: Reading, caller: Annotated[Caller, Depends(may_view)], body: Preview) -> Any:
    """A page of the leads that a filter describes, and how many there are."""
    joint = or_ if body.filters.match == "any" else and_
    query = live(caller).where(joint(literal(True), *map(_condition, body.filters.conditions)))
    total = session.scalar(select(func.count()).select_from(query.subquery()))
    rows = session.scalars(query.order_by(Lead.number.desc()).limit(body.limit).offset(body.skip))
    return {"leads": [out(lead, caller) for lead in rows], "total": total}


@app.post("/api/leads", status_code=201, response_model=LeadOut, response_model_exclude_none=True)
def create_lead(
    request: Request,
    response: Response,
    session: Writing,
    caller: Annotated[Caller, Depends(may_import)],
    body: LeadCreate,
) -> Any:
    """The new lead."""
    try:
        phone, is_valid = texts.e164(body.phone, caller.region)
    except texts.BadPhone as error:
        raise Refusal(
            400, "validation_failed", str(error), errors=[{"path": "/phone", "message": str(error)}]
        ) from None
    counter = hold_counter(session, caller)
    holder = session.scalars(live(caller).where(Lead.phone == phone, Lead.phone != "")).first()
    if holder is not None:
        raise Refusal(409, "duplicate_phone", "A lead with this phone already exists", details=str(holder.number))
    counter.last_number += 1
    counter.live += 1
    moment = texts.stamp()
    lead = Lead(
        tenant_id=caller.tenant_id,
        number=counter.last_number,
        name=body.name.strip() or "Unknown",
        phone=phone,
        phone_valid=is_valid,
        email=body.email,
        status=body.status,
        source=body.source,
        tags=list(dict.fromkeys(body.tags)),
        custom_fields=custom(body.custom_fields),
        assigned_agent_id=body.assigned_agent_id,
        agent_assigned_by="manual" if body.assigned_agent_id else "auto",
        external_id=body.external_id,
        timezone=body.timezone,
        created_at=moment,
        updated_at=moment,
    )
    derive(lead)
    session.add(lead)
    audit(request, session, caller, "lead.created", lead.number, {"source": lead.source})
    try:
        session.commit()
    except IntegrityError:
        raise Refusal(409, "duplicate_external_id", "A lead with this external id already exists") from None
    response.headers["Location"] = f"/api/leads/{lead.number}"
    return out(lead, caller)


@app.post("/api/leads/sync", response_model=SyncResult, response_model_exclude_none=True)
def sync_leads(
    request: Request, session: Writing, caller: Annotated[Caller, Depends(may_sync)], body: SyncRequest
) -> Any:
    """What became of each item."""
    return sync(request, session, caller, body)
