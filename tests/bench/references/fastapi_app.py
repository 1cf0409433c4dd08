"""FastAPI, SQLAlchemy and Pydantic as most write them: sync endpoints, session and key by dependency, ORM objects."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import secrets
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import ColumnElement, and_, cast, create_engine, event, exists, func, literal, or_, select
from sqlalchemy.dialects.postgresql import JSONB, array
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from . import limiting, texts
from .models import (
    Account,
    ApiKey,
    AuditEntry,
    Condition,
    Lead,
    LeadCounter,
    LeadCreate,
    LeadOut,
    LeadPage,
    Preview,
    SyncError,
    SyncItem,
    SyncOutcome,
    SyncRequest,
    SyncResult,
)

_url = os.environ["NEWLEAF_DATABASE_URL"]
_is_sqlite = _url.startswith("sqlite")
_engine = create_engine(
    _url if _is_sqlite else _url.replace("postgresql://", "postgresql+psycopg://"),
    **({"connect_args": {"timeout": 30}} if _is_sqlite else {"pool_size": 16}),
)
_writing = _engine.execution_options(begin="BEGIN IMMEDIATE")
_PRAGMAS = ("journal_mode = wal", "synchronous = full", "cache_size = -65536", "temp_store = memory")
_NO_KEY = "Authentication required. Provide an API key via X-API-Key header or Authorization: Bearer header."
_TEXTS = {name: getattr(Lead, name) for name in ("status", "name", "phone", "email", "source")}
_last_used: dict[str, str] = {}

_log = logging.getLogger("reference.access")
_log.setLevel(logging.INFO)
_log.addHandler(logging.StreamHandler(sys.stderr))

app = FastAPI()

if _is_sqlite:

    @event.listens_for(_engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(_engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


class Refusal(Exception):
    """An error that has a status and a code."""

    def __init__(self, status: int, code: str, message: str, **members: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": message, "code": code, **members}


@app.middleware("http")
async def standard_headers(request: Request, call_next: Any) -> Response:
    """Request id, standard headers, a line in the log."""
    started = time.perf_counter()
    request.state.id = request.headers.get("x-request-id") or secrets.token_hex(8)
    request.state.headers = {}
    response: Response = await call_next(request)
    response.headers.update(request.state.headers)
    response.headers["X-Request-Id"] = request.state.id
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    line = {
        "event": "request",
        "request_id": request.state.id,
        "method": request.method,
        "status": response.status_code,
        "ms": round((time.perf_counter() - started) * 1000, 1),
    }
    _log.info(json.dumps(line))
    return response


def _error(request: Request, status: int, body: dict[str, Any]) -> JSONResponse:
    headers = {"WWW-Authenticate": 'Bearer realm="newleaf"'} if status == 401 else None
    return JSONResponse({**body, "requestId": request.state.id}, status, headers)


@app.exception_handler(Refusal)
async def refused(request: Request, error: Refusal) -> JSONResponse:
    """The error in newleaf's shape."""
    return _error(request, error.status, error.body)


@app.exception_handler(limiting.TooManyRequests)
async def too_many(request: Request, error: limiting.TooManyRequests) -> JSONResponse:
    """429."""
    request.state.headers = error.headers
    return _error(request, 429, {"error": str(error), "code": "rate_limited"})


@app.exception_handler(RequestValidationError)
async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    """400 with every problem."""
    problems = [
        {"path": "".join(f"/{part}" for part in each["loc"][1:]), "message": each["msg"]} for each in error.errors()
    ]
    body = {"error": problems[0]["message"], "code": "validation_failed", "errors": problems}
    return _error(request, 400, body)


def reading() -> Iterator[Session]:
    """A session for a request that reads."""
    with Session(_engine) as session:
        yield session


def writing() -> Iterator[Session]:
    """A session for a request that writes, to be committed by it."""
    with Session(_writing, expire_on_commit=False) as session:
        yield session


Reading = Annotated[Session, Depends(reading)]
Writing = Annotated[Session, Depends(writing)]
Key = Annotated[str | None, Header(alias="X-API-Key")]


class Caller:
    """Whose key it is."""

    def __init__(self, key: ApiKey, region: str | None) -> None:
        self.key_id, self.account_id, self.tenant_id = key.id, key.account_id, key.tenant_id
        self.environment, self.name, self.scopes = key.environment, key.name, frozenset(key.scopes)
        self.region = region


def _identify(session: Session, key: str | None) -> Caller:
    if not key:
        raise Refusal(401, "authentication_required", _NO_KEY)
    digest = hashlib.sha256(key.encode()).hexdigest()
    query = select(ApiKey, Account.default_region).join(Account, Account.id == ApiKey.account_id)
    found = session.execute(query.where(ApiKey.key_hash == digest)).first()
    now = texts.stamp()
    if found is None or found[0].status != "active" or (found[0].expires_at or now) < now:
        raise Refusal(401, "invalid_api_key", "Invalid or expired API key")
    if _last_used.get(found[0].id) != now[:16]:
        _last_used[found[0].id] = now[:16]
        found[0].last_used_at = now
        session.commit()
        session.refresh(found[0])
    return Caller(*found)


def _admit(request: Request, session: Session, key: str | None, scope: str, is_sync: bool) -> Caller:
    address = request.client.host if request.client else "unknown"
    charges = [(limiting.ADDRESS, "global", address)]
    try:
        caller = _identify(session, key)
        charges += [(limiting.KEY, "key", caller.key_id), (limiting.ACCOUNT, "account", caller.account_id)]
        if is_sync:
            charges.append((limiting.SYNC, "sync", caller.key_id))
    finally:
        request.state.headers = limiting.admit(charges)
    if scope not in caller.scopes:
        message = f"API key does not have the required scope (requires: {scope})."
        raise Refusal(403, "missing_scope", "Forbidden", message=message)
    return caller


def may_view(request: Request, session: Reading, key: Key = None) -> Caller:
    """A caller who may read leads."""
    return _admit(request, session, key, "leads:view", False)


def may_import(request: Request, session: Writing, key: Key = None) -> Caller:
    """A caller who may create leads."""
    return _admit(request, session, key, "leads:import", False)


def may_sync(request: Request, session: Writing, key: Key = None) -> Caller:
    """A caller who may sync leads."""
    return _admit(request, session, key, "leads:sync_create", True)


def _out(lead: Lead, caller: Caller) -> LeadOut:
    return LeadOut(
        id=lead.number,
        account_id=caller.account_id,
        name=lead.name,
        phone=lead.phone,
        phone_valid=lead.phone_valid,
        email=lead.email,
        status=lead.status,
        source=lead.source,
        tags=lead.tags,
        assigned_agent_id=lead.assigned_agent_id,
        ab_test_id=lead.ab_test_id,
        agent_assigned_by=lead.agent_assigned_by,
        custom_fields=lead.custom_fields,
        opted_out=lead.opted_out,
        timezone=lead.timezone,
        external_id=lead.external_id,
        import_batch_id=lead.import_batch_id,
        last_contacted_at=lead.last_contacted_at,
        created_at=lead.created_at,
        updated_at=lead.updated_at,
    )


def _live(caller: Caller) -> Any:
    return select(Lead).where(Lead.tenant_id == caller.tenant_id, Lead.deleted_at.is_(None))


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
    query = _live(caller).order_by(Lead.number.desc())
    if cursor:
        query = query.where(Lead.number < int(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))))
    rows = session.scalars(query.limit(limit + 1).offset(skip)).all()
    if len(rows) > limit:
        following = base64.urlsafe_b64encode(b"%d" % rows[limit - 1].number).decode().rstrip("=")
        response.headers["Link"] = f'<{request.url.path}?limit={limit}&cursor={following}>; rel="next"'
    counter = session.get(LeadCounter, caller.tenant_id)
    response.headers["X-Total-Count"] = str(counter.live if counter else 0)
    return [_out(lead, caller) for lead in rows[:limit]]


@app.get("/api/leads/{number}", response_model=LeadOut, response_model_exclude_none=True)
def get_lead(
    response: Response,
    session: Reading,
    caller: Annotated[Caller, Depends(may_view)],
    number: Annotated[int, Path(ge=1, le=2_147_483_647)],
) -> Any:
    """One lead."""
    lead = session.scalars(_live(caller).where(Lead.number == number)).first()
    if lead is None:
        raise Refusal(404, "lead_not_found", "Lead not found")
    out = _out(lead, caller)
    response.headers["ETag"] = f'"{hashlib.sha256(out.model_dump_json().encode()).hexdigest()[:32]}"'
    return out


def _condition(condition: Condition) -> ColumnElement[bool]:
    value = condition.value
    if condition.field == "tags" and condition.operator in ("is_any_of", "includes_any_of"):
        if not _is_sqlite:
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
    query = _live(caller).where(joint(literal(True), *map(_condition, body.filters.conditions)))
    total = session.scalar(select(func.count()).select_from(query.subquery()))
    rows = session.scalars(query.order_by(Lead.number.desc()).limit(body.limit).offset(body.skip))
    return {"leads": [_out(lead, caller) for lead in rows], "total": total}


def _derive(lead: Lead) -> None:
    lead.name_key = texts.key(lead.name)[:100]
    lead.search_text = texts.searched([lead.name, lead.phone, lead.email, lead.external_id or "", *lead.tags])


def _custom(fields: dict[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}


def _audit(
    request: Request, session: Session, caller: Caller, action: str, resource_id: Any, details: dict[str, Any]
) -> None:
    session.add(
        AuditEntry(
            id=texts.object_id(),
            account_id=caller.account_id,
            environment=caller.environment,
            actor_type="api_key",
            actor_id=caller.key_id,
            actor_name=caller.name,
            actor_ip=request.client.host if request.client else None,
            request_id=request.state.id,
            action=action,
            resource_type=action.partition(".")[0],
            resource_id=str(resource_id),
            details=details,
            created_at=texts.stamp(),
        )
    )


def _counter(session: Session, caller: Caller) -> LeadCounter:
    return session.scalars(select(LeadCounter).where(LeadCounter.tenant_id == caller.tenant_id).with_for_update()).one()


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
    counter = _counter(session, caller)
    holder = session.scalars(_live(caller).where(Lead.phone == phone, Lead.phone != "")).first()
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
        custom_fields=_custom(body.custom_fields),
        assigned_agent_id=body.assigned_agent_id,
        agent_assigned_by="manual" if body.assigned_agent_id else "auto",
        external_id=body.external_id,
        timezone=body.timezone,
        created_at=moment,
        updated_at=moment,
    )
    _derive(lead)
    session.add(lead)
    _audit(request, session, caller, "lead.created", lead.number, {"source": lead.source})
    try:
        session.commit()
    except IntegrityError:
        raise Refusal(409, "duplicate_external_id", "A lead with this external id already exists") from None
    response.headers["Location"] = f"/api/leads/{lead.number}"
    return _out(lead, caller)


class _Batch:
    """The leads that the items of a sync may mean."""

    def __init__(self, session: Session, caller: Caller, items: list[SyncItem]) -> None:
        self.caller = caller
        self.region = caller.region
        ids = [item.lead_id for item in items if item.lead_id]
        phones = [texts.e164(item.phone, caller.region)[0] for item in items if item.phone]
        emails = [item.email.lower() for item in items if item.email and not item.lead_id]
        wanted = [
            and_(Lead.external_id.in_(ids), Lead.external_id.is_not(None)),
            and_(Lead.phone.in_(phones), Lead.phone != ""),
            func.lower(Lead.email).in_(emails),
        ]
        known = {lead.number: lead for condition in wanted for lead in session.scalars(_live(caller).where(condition))}
        self.by_id = {lead.external_id: lead for lead in known.values() if lead.external_id}
        self.by_phone = {lead.phone: lead for lead in known.values() if lead.phone}
        self.by_email = {lead.email.lower(): lead for lead in known.values() if lead.email}

    def meant(self, item: SyncItem, phone: str) -> Lead | None:
        """The lead that the item is about. Raises Refusal."""
        holder = self.by_phone.get(phone)
        if item.lead_id is None:
            return holder or self.by_email.get(item.email.lower())
        known = self.by_id.get(item.lead_id)
        if holder is not None and holder is not known and (known is not None or holder.external_id):
            raise Refusal(409, "phone_conflict", "The phone belongs to another lead")
        return known or holder

    def say(self, lead: Lead, item: SyncItem, phone: str, is_valid: bool, moment: str) -> bool:
        """Make the lead what the item says; whether that changed it."""
        said: dict[str, Any] = {}
        if phone:
            said |= {"phone": phone, "phone_valid": is_valid}
        if item.name.strip():
            said["name"] = item.name.strip()
        if item.email:
            said["email"] = item.email
        if item.tags is not None:
            said["tags"] = list(dict.fromkeys(item.tags))
        if item.custom_fields:
            said["custom_fields"] = (lead.custom_fields or {}) | _custom(item.custom_fields)
        if item.lead_id:
            said["external_id"] = item.lead_id
        changed = {name: value for name, value in said.items() if getattr(lead, name) != value}
        for name, value in changed.items():
            setattr(lead, name, value)
        if changed:
            lead.updated_at = moment
            _derive(lead)
        self.by_phone[lead.phone] = lead
        if lead.external_id:
            self.by_id[lead.external_id] = lead
        return bool(changed)


@app.post("/api/leads/sync", response_model=SyncResult, response_model_exclude_none=True)
def sync_leads(
    request: Request, session: Writing, caller: Annotated[Caller, Depends(may_sync)], body: SyncRequest
) -> Any:
    """What became of each item."""
    counter = _counter(session, caller)
    batch = _Batch(session, caller, body.leads)
    moment = texts.stamp()
    errors, results = [], []
    for index, item in enumerate(body.leads):
        phone, is_valid = texts.e164(item.phone, caller.region) if item.phone else ("", True)
        try:
            lead = batch.meant(item, phone)
        except Refusal as error:
            refused = SyncError(index=index, lead_id=item.lead_id, code=error.body["code"], message=str(error))
            errors.append(refused)
            continue
        verb = "unchanged"
        if lead is None:
            counter.last_number += 1
            counter.live += 1
            lead = Lead(
                tenant_id=caller.tenant_id,
                number=counter.last_number,
                name="Unknown",
                phone="",
                email="",
                tags=[],
                custom_fields={},
                source=body.source,
                created_at=moment,
                updated_at=moment,
            )
            session.add(lead)
            batch.say(lead, item, phone, is_valid, moment)
            verb = "created"
        elif batch.say(lead, item, phone, is_valid, moment):
            verb = "updated"
        results.append(SyncOutcome(index=index, lead_id=item.lead_id, id=lead.number, outcome=verb))
    verbs = [result.outcome for result in results]
    counts = {verb: verbs.count(verb) for verb in ("created", "updated", "unchanged")}
    if counts["created"] or counts["updated"]:
        details = {"source": body.source, **counts, "failed": len(errors)}
        _audit(request, session, caller, "leads.synced", caller.account_id, details)
    session.commit()
    return {"total": len(body.leads), **counts, "failed": len(errors), "errors": errors, "results": results}
