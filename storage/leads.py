"""Leads: the model, its counter, and what can be done with one lead.

Writes that could make two leads share a phone or an external id, and those that change how many leads there are, first
enter by the tenant's counter row, then take rows in the order of their numbers: so they neither race nor deadlock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypedDict, TypeVar

import msgspec
from msgspec import Struct
from peewee import (
    SQL,
    BooleanField,
    Expression,
    IntegerField,
    IntegrityError,
    JSONField,
    Model,
    ModelSelect,
    Select,
    TextField,
    fn,
)

from . import audit, clock, event_log, lead_text
from .base import Row, TenantModel
from .database import is_sqlite, transaction
from .errors import Blocked, Conflict, NotFound, Problem
from .statements import ANY_TENANT, slot, statement
from .tenancy import Actor, Tenant

RESTORABLE_FOR = timedelta(days=30)
VERDICTS = ("qualified", "disqualified")
MAX_TAGS = 50
MAX_CUSTOM_FIELDS = 100
MAX_CUSTOM_NAME_LENGTH = 100
_encode = msgspec.json.Encoder().encode
_Row = TypeVar("_Row", bound=Model)


class Lead(TenantModel):
    """A person an account wants to talk to; `number` is the public id, sequential per tenant."""

    number = IntegerField()
    name = TextField(default="Unknown")
    name_key = TextField(default="")  # what the name is sorted by
    phone = TextField(default="")  # E.164, or "" when the channel gave none
    phone_valid = BooleanField(default=True)
    email = TextField(default="")
    status = TextField(default="new")
    source = TextField(default="api")
    tags = JSONField(default=list)
    assigned_agent_id = TextField(null=True)
    ab_test_id = TextField(null=True)
    agent_assigned_by = TextField(default="auto")
    custom_fields = JSONField(default=dict)
    external_id = TextField(null=True)
    timezone = TextField(null=True)
    opted_out = JSONField(default=list)  # channels on which the person asked for silence
    import_batch_id = TextField(null=True)
    last_contacted_at = TextField(null=True)
    search_text = TextField(default="")  # what `q` looks through, case-folded, one value a line
    created_at = TextField()
    updated_at = TextField()
    deleted_at = TextField(null=True)


class LeadCounter(Row):
    """A tenant's last lead number and how many leads it has, moved in the transaction that moves the leads."""

    tenant_id = IntegerField(primary_key=True)
    last_number = IntegerField(default=0)
    live = IntegerField(default=0)


class NewLead(Struct, frozen=True, gc=False):
    """What a lead starts with; phone in E.164 or "". Custom values may be numbers or booleans, kept as JSON text."""

    phone: str = ""
    phone_valid: bool = True
    name: str = ""
    email: str = ""
    status: str = "new"
    source: str = "api"
    tags: Sequence[str] = ()
    custom_fields: Mapping[str, Any] = {}
    assigned_agent_id: str | None = None
    external_id: str | None = None
    timezone: str | None = None
    import_batch_id: str | None = None


class LeadChanges(TypedDict, total=False):
    """What shall become of a lead; what is not named stays. A custom field given as None is removed, others merge."""

    phone: str
    phone_valid: bool
    name: str
    email: str
    status: str
    source: str
    tags: Sequence[str]
    custom_fields: Mapping[str, Any]
    assigned_agent_id: str | None
    external_id: str | None
    timezone: str | None
    last_contacted_at: str


def live(tenant: Tenant, *columns: Any) -> ModelSelect[Lead]:
    """A query over the tenant's leads that are not deleted."""
    query: Any = Lead.of(tenant, *columns)
    leads: ModelSelect[Lead] = query.where(Lead.deleted_at.is_null())
    return leads


def locked(query: ModelSelect[_Row]) -> ModelSelect[_Row]:
    """The query, taking its rows until the transaction ends; SQLite's write lock has them all already."""
    if is_sqlite():
        return query
    taking: ModelSelect[_Row] = query.for_update()
    return taking


def count(tenant: Tenant) -> int:
    """How many leads the tenant has, from its counter: the same cost for ten and for ten million."""
    counted = statement(
        "leads.count", lambda: LeadCounter.select(LeadCounter.live).where(LeadCounter.tenant_id == slot("tenant"))
    )
    [(number,)] = counted.run({"tenant": tenant.id}).fetchall()
    return int(number)


def get(tenant: Tenant, number: int) -> Lead:
    """The lead with this public id. Raises NotFound, for a deleted one and another tenant's too."""
    return _found(live(tenant).where(Lead.number == number).first())


def find_by_phone(tenant: Tenant, phone: str) -> Lead | None:
    """The lead with this phone, given in E.164; None if nobody has it."""
    return live(tenant).where(has_phone([phone])).first() if phone else None


def find_by_external_id(tenant: Tenant, external_id: str) -> Lead | None:
    """The lead with this id in the account's own system, None if there is none."""
    lead: Lead | None = live(tenant).where(Lead.external_id == external_id).first()
    return lead


def find_by_email(tenant: Tenant, email: str) -> Lead | None:
    """The lead with this address in any case, the oldest where several have it; None if nobody has it."""
    same = live(tenant).where(has_email([email])) if email else ()
    return min(same, key=lambda lead: lead.number, default=None)


def has_phone(phones: Collection[str]) -> Expression:
    """The condition that a lead's phone is one of these; in the words of the unique index, or SQLite passes it by."""
    condition: Expression = Lead.phone.in_(list(phones)) & (Lead.phone != SQL("''"))
    return condition


def has_email(emails: Collection[str]) -> Expression:
    """The condition that a lead's email is one of these in any case."""
    condition: Expression = fn.LOWER(Lead.email).in_([fn.LOWER(email) for email in emails])
    return condition


def build(tenant: Tenant, new: NewLead, moment: str) -> Lead:
    """A lead that is not stored yet and has no number. Raises Blocked: too many tags or custom fields."""
    lead = Lead(
        tenant_id=tenant.id,
        number=0,
        name=_name(new.name),
        phone=new.phone,
        phone_valid=new.phone_valid,
        email=new.email,
        status=new.status,
        source=new.source,
        tags=_distinct_tags(new.tags),
        custom_fields=_merged_fields({}, new.custom_fields),
        assigned_agent_id=new.assigned_agent_id,
        agent_assigned_by="auto" if new.assigned_agent_id is None else "manual",
        external_id=new.external_id,
        timezone=new.timezone,
        import_batch_id=new.import_batch_id,
        created_at=moment,
        updated_at=moment,
    )
    _derive(lead)
    return lead


def change(lead: Lead, changes: LeadChanges, moment: str) -> list[str]:
    """Make the lead in memory what `changes` says and name the columns that differ now; none, and nothing happened.

    Raises Blocked (too many tags or custom fields) before anything is changed.
    """
    different = differing(lead, changes)
    for name, value in different.items():
        setattr(lead, name, value)
    if different:
        lead.updated_at = moment
        _derive(lead)
    return list(different)


def differing(lead: Any, changes: LeadChanges) -> dict[str, Any]:
    """What these changes would make of a lead's columns that they would change. Raises Blocked as `change` does."""
    wanted: dict[str, Any] = dict(changes)
    if "name" in changes:
        wanted["name"] = _name(changes["name"])
    if "tags" in changes:
        wanted["tags"] = _distinct_tags(changes["tags"])
    if "custom_fields" in changes:
        wanted["custom_fields"] = _merged_fields(lead.custom_fields, changes["custom_fields"])
    if "assigned_agent_id" in changes:
        wanted["agent_assigned_by"] = "auto" if changes["assigned_agent_id"] is None else "manual"
    return {name: value for name, value in wanted.items() if getattr(lead, name) != value}


def create(tenant: Tenant, new: NewLead, actor: Actor) -> Lead:
    """Store a new lead. Raises Conflict (phone or external id is another lead's), NotFound (agent), Blocked."""
    lead = build(tenant, new, clock.stamp())
    with transaction():
        _require_agent(tenant, lead.assigned_agent_id)
        _insert_next(tenant, lead)
        audit.record(tenant, actor, "lead.created", lead.number, {"source": lead.source})
        tell(tenant, "lead.created", lead)
    return lead


def update(tenant: Tenant, number: int, changes: LeadChanges, actor: Actor, *, action: str = "lead.updated") -> Lead:
    """Change a lead and return it; where nothing differs nothing is written. Raises NotFound, Conflict, Blocked."""
    with transaction():
        if "phone" in changes or "external_id" in changes:
            enter(tenant)
        lead = _hold(tenant, number)
        _update_held(tenant, lead, changes, actor, action)
    return lead


def assign_agent(tenant: Tenant, number: int, agent_id: str | None, actor: Actor) -> Lead:
    """Have this agent talk to the lead from now on, or none in particular. Raises NotFound: lead or agent."""
    return update(tenant, number, {"assigned_agent_id": agent_id}, actor, action="lead.agent_assigned")


def receive(tenant: Tenant, new: NewLead, actor: Actor) -> tuple[Lead, bool]:
    """The lead that a form sent, and whether it is new. One with this phone gains what is said and loses nothing."""
    with transaction():
        enter(tenant)
        lead = find_by_phone(tenant, new.phone)
        if lead is None:
            return create(tenant, new, actor), True
        lead = _hold(tenant, lead.number)
        changes: LeadChanges = {"tags": [*lead.tags, *new.tags], "custom_fields": new.custom_fields}
        if new.name.strip():
            changes["name"] = new.name
        if new.email:
            changes["email"] = new.email
        _update_held(tenant, lead, changes, actor, "lead.updated")
    return lead, False


def delete(tenant: Tenant, number: int, actor: Actor) -> None:
    """Hide a lead; `restore` brings it back for 30 days. Raises NotFound."""
    with transaction():
        enter(tenant)
        _hold(tenant, number).store(deleted_at=clock.stamp())
        move_counter(tenant, leads=-1)
        audit.record(tenant, actor, "lead.deleted", number)


def restore(tenant: Tenant, number: int, actor: Actor) -> Lead:
    """Bring a deleted lead back; one that is not deleted comes unchanged.

    Raises NotFound (unknown, foreign, deleted 30 days ago), Conflict (its phone or external id is another's now).
    """
    horizon = clock.iso(clock.now() - RESTORABLE_FOR)
    with transaction():
        enter(tenant)
        lead = _found(locked(Lead.of(tenant).where(Lead.number == number)).first())
        if lead.deleted_at is None:
            return lead
        if lead.deleted_at <= horizon:
            raise not_found()
        _require_free(tenant, lead)
        with one_owner():
            lead.store(deleted_at=None, updated_at=clock.stamp())
        move_counter(tenant, leads=1)
        audit.record(tenant, actor, "lead.restored", number)
    return lead


def enter(tenant: Tenant) -> None:
    """Be the only writer of this tenant's phones, external ids and number of leads until the transaction ends."""
    if not is_sqlite():  # whose transactions are alone from their first moment
        statement(
            "leads.enter",
            lambda: locked(LeadCounter.select(LeadCounter.tenant_id).where(LeadCounter.tenant_id == slot("tenant"))),
        ).run({"tenant": tenant.id})


def move_counter(tenant: Tenant, *, numbers: int = 0, leads: int = 0) -> int:
    """Take `numbers` new lead numbers, count `leads` more or fewer leads; returns the last number taken."""
    moving = statement("leads.move_counter", _moved_counter)
    [(last_number,)] = moving.run({"tenant": tenant.id, "numbers": numbers, "leads": leads}).fetchall()
    return int(last_number)


def _moved_counter() -> Any:
    moved = {
        LeadCounter.last_number: LeadCounter.last_number + slot("numbers"),
        LeadCounter.live: LeadCounter.live + slot("leads"),
    }
    return LeadCounter.update(moved).where(LeadCounter.tenant_id == slot("tenant")).returning(LeadCounter.last_number)


def _insert_next(tenant: Tenant, lead: Lead) -> None:
    """Store a new lead under the tenant's next number, and enter by that.

    Raises Conflict; whose its phone or external id is, is asked only when an index refuses it.
    """
    values = {name: _encode(value).decode() if name in _JSON else value for name, value in lead.__data__.items()}
    values = {**_EMPTY, **values, "tenant": tenant.id, "numbers": 1, "leads": 1}
    if is_sqlite():
        values["number"] = lead.number = move_counter(tenant, numbers=1, leads=1)
    inserted = statement("leads.insert_next", _inserted_next).run(values).fetchall()
    if not inserted:
        _require_free(tenant, lead)
        raise AssertionError("the counter gave a number that a lead has")
    [(lead.number,)] = inserted


def _inserted_next() -> Any:
    row: dict[Any, Any] = {column: slot(column.name) for column in _COLUMNS}
    if is_sqlite():
        insert: Any = Lead.add_all(ANY_TENANT, [row])
    else:  # which is further away, and can change two tables at once
        moved = _moved_counter().cte("moved")
        row[Lead.number] = Select((moved,), (moved.c.last_number,))
        insert = Lead.add_all(ANY_TENANT, [row]).with_cte(moved)
    return insert.on_conflict(action="NOTHING").returning(Lead.number)


@contextlib.contextmanager
def one_owner() -> Iterator[None]:
    """Turn the unique indexes' refusal of a second owner of a phone or an external id into a Conflict."""
    try:
        yield
    except IntegrityError as error:
        for column, refusal in (("phone", _duplicate_phone), ("external_id", _duplicate_external_id)):
            if f"uq_lead_{column}" in str(error) or f"lead.{column}" in str(error):
                raise refusal(None) from error
        raise


def _update_held(tenant: Tenant, lead: Lead, changes: LeadChanges, actor: Actor, action: str) -> None:
    different = change(lead, changes, clock.stamp())
    if not different:
        return
    if "phone" in different or "external_id" in different:
        _require_free(tenant, lead)
    if "assigned_agent_id" in different:
        _require_agent(tenant, lead.assigned_agent_id)
    with one_owner():
        lead.store(**{name: getattr(lead, name) for name in (*different, *DERIVED, "updated_at")})
    audit.record(tenant, actor, action, lead.number, {"changed": sorted(different)})
    tell(tenant, "lead.updated", lead)
    if "status" in different and lead.status in VERDICTS:
        tell(tenant, f"lead.{lead.status}", lead)


def tell(tenant: Tenant, type_: str, lead: Lead) -> None:
    """Emit an event about a lead, stored as it stands in memory, in the caller's transaction."""
    from . import lead_rows  # which reads leads, and so imports this

    event_log.emit(tenant, type_, lambda: lead_rows.of_lead(tenant, lead), lead=lead.number)


def _hold(tenant: Tenant, number: int) -> Lead:
    return _found(locked(live(tenant).where(Lead.number == number)).first())


def _found(lead: Lead | None) -> Lead:
    if lead is None:
        raise not_found()
    return lead


def not_found(merged_into: int | None = None) -> NotFound:
    """What is raised for a lead that is not there, or not for this tenant; with what it became, where it was merged."""
    if merged_into is None:
        return NotFound("lead_not_found", "Lead not found")
    return NotFound("lead_not_found", f"The lead was merged into lead {merged_into}", details=str(merged_into))


def _require_free(tenant: Tenant, lead: Lead) -> None:
    """Raise Conflict if another lead has this one's phone or external id, with the other's number in `details`."""
    for value, has_it, refusal in (
        (lead.phone, has_phone([lead.phone]), _duplicate_phone),
        (lead.external_id, Lead.external_id == lead.external_id, _duplicate_external_id),
    ):
        if value:
            others = live(tenant, Lead.number).where(has_it, Lead.number != lead.number)
            if number := others.scalar():
                raise refusal(str(number))


def _duplicate_phone(details: str | None) -> Conflict:
    return Conflict("duplicate_phone", "A lead with this phone already exists", details=details)


def _duplicate_external_id(details: str | None) -> Conflict:
    return Conflict("duplicate_external_id", "A lead with this external id already exists", details=details)


def _require_agent(tenant: Tenant, agent_id: str | None) -> None:
    from .agents import AgentConfig  # late: agents ask about their leads, too

    if agent_id is not None and not AgentConfig.of(tenant).where(AgentConfig.oid == agent_id).exists():
        raise NotFound("agent_not_found", "Agent not found")


def _name(text: str) -> str:
    return text.strip() or "Unknown"


def _distinct_tags(tags: Sequence[str]) -> list[str]:
    distinct = list(dict.fromkeys(tags))
    if len(distinct) > MAX_TAGS:
        raise _too_much("too_many_tags", "/tags", f"A lead has at most {MAX_TAGS} tags")
    return distinct


def _merged_fields(present: Mapping[str, str], fields: Mapping[str, Any]) -> dict[str, str]:
    merged = dict(present)
    for name, value in fields.items():
        if len(name) > MAX_CUSTOM_NAME_LENGTH:
            limit = f"The name of a custom field has at most {MAX_CUSTOM_NAME_LENGTH} characters"
            raise _too_much("custom_field_name_too_long", "/customFields", limit)
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = lead_text.custom_text(value)
    if len(merged) > MAX_CUSTOM_FIELDS:
        raise _too_much(
            "too_many_custom_fields", "/customFields", f"A lead has at most {MAX_CUSTOM_FIELDS} custom fields"
        )
    return merged


def _too_much(code: str, path: str, message: str) -> Blocked:
    return Blocked(code, message, problems=[Problem(path, message)])


def search_text(lead: Any) -> str:
    """What `q` looks through of a lead, or of what has these columns of one."""
    return lead_text.search_text([lead.name, lead.phone, lead.email, lead.external_id or "", *lead.tags])


def _derive(lead: Lead) -> None:
    lead.name_key = lead_text.name_key(lead.name)
    lead.search_text = search_text(lead)


DERIVED = ("name_key", "search_text")
_JSON = frozenset(column.name for column in Lead._meta.sorted_fields if isinstance(column, JSONField))
_COLUMNS = [column for column in Lead._meta.sorted_fields if column.name not in ("id", "tenant_id")]
_EMPTY = dict.fromkeys(column.name for column in _COLUMNS)
