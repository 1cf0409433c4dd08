"""Leads as they are read: rows decoded straight into what JSON says of a lead, without models in between."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial
from typing import Any

import msgspec
from msgspec import Raw, Struct
from peewee import SQL, JSONField, NodeList

from . import event_log, lead_aliases
from .database import is_sqlite
from .leads import VERDICTS, Lead, live, not_found
from .statements import ANY_TENANT, slot, statement
from .tenancy import Tenant

_encode = msgspec.json.Encoder().encode


class LeadRow(
    Struct,
    frozen=True,
    gc=False,
    omit_defaults=True,
    rename={
        "number": "id",
        "account_id": "accountId",
        "phone_valid": "phoneValid",
        "agent_assigned_by": "agentAssignedBy",
        "custom_fields": "customFields",
        "opted_out": "optedOut",
        "created_at": "createdAt",
        "updated_at": "updatedAt",
        "assigned_agent_id": "assignedAgentId",
        "ab_test_id": "abTestId",
        "external_id": "externalId",
        "import_batch_id": "importBatchId",
        "last_contacted_at": "lastContactedAt",
    },
):
    """The contract's Lead, ready to be encoded; what has no value is absent. The Raw members are JSON already."""

    number: int
    account_id: str
    name: str
    phone: str
    phone_valid: bool
    email: str
    status: str
    source: str
    tags: Raw
    agent_assigned_by: str
    custom_fields: Raw
    opted_out: Raw
    created_at: str
    updated_at: str
    assigned_agent_id: str | None = None
    ab_test_id: str | None = None
    timezone: str | None = None
    external_id: str | None = None
    import_batch_id: str | None = None
    last_contacted_at: str | None = None


_COLUMNS = [Lead._meta.fields[name] for name in LeadRow.__struct_fields__ if name != "account_id"]
WIDTH = len(_COLUMNS)
_NAMES = [column.name for column in _COLUMNS]
_JSON = frozenset(column.name for column in _COLUMNS if isinstance(column, JSONField))


def of_lead(tenant: Tenant, lead: Lead) -> LeadRow:
    """What is read of this lead once it is stored as it stands in memory."""
    stored = lead.__data__
    values: dict[str, Any] = {
        name: Raw(_encode(stored[name])) if name in _JSON else stored.get(name) for name in _NAMES
    }
    return LeadRow(account_id=tenant.account_id, **values)


def columns() -> list[Any]:
    """What to select for `decoded`; JSON as the text that it is."""
    as_text = not is_sqlite()
    return [column.cast("TEXT") if as_text and isinstance(column, JSONField) else column for column in _COLUMNS]


def decoded(tenant: Tenant, rows: Iterable[tuple[Any, ...]]) -> list[LeadRow]:
    """The leads of rows that begin with `columns()`."""
    account_id = tenant.account_id
    return [
        LeadRow(
            number,
            account_id,
            name,
            phone,
            phone_valid == 1,
            email,
            status,
            source,
            Raw(tags),
            assigned_by,
            Raw(custom_fields),
            Raw(opted_out),
            created_at,
            updated_at,
            agent_id,
            ab_test_id,
            timezone,
            external_id,
            import_batch_id,
            last_contacted_at,
        )
        for (
            number,
            name,
            phone,
            phone_valid,
            email,
            status,
            source,
            tags,
            assigned_by,
            custom_fields,
            opted_out,
            created_at,
            updated_at,
            agent_id,
            ab_test_id,
            timezone,
            external_id,
            import_batch_id,
            last_contacted_at,
            *_,
        ) in rows
    ]


def of_numbers(tenant: Tenant, numbers: Collection[int]) -> list[LeadRow]:
    """The leads with these numbers, in their order: one statement, however many they are."""
    found = statement("lead_rows.of_numbers", _of_numbers)
    given = _encode(sorted(numbers)).decode()
    return decoded(tenant, found.run({"tenant": tenant.id, "numbers": given}).fetchall())


def _of_numbers() -> Any:
    if is_sqlite():
        begin, end = "IN (SELECT value FROM json_each(", "))"
    else:
        begin, end = "IN (SELECT value::int FROM json_array_elements_text(CAST(", " AS json)))"
    wanted = NodeList((Lead.number, SQL(begin), slot("numbers"), SQL(end)))
    return live(ANY_TENANT, *columns()).where(wanted).order_by(Lead.number)


def tell_all(tenant: Tenant, created: Collection[int], updated: Collection[int], judged: Collection[int]) -> None:
    """Emit what became of many leads, in the caller's transaction. judged: those of `updated` with a new verdict."""
    for type_, numbers in (("lead.created", created), ("lead.updated", updated)):
        if numbers:
            event_log.emit_all(tenant, type_, partial(_facts, tenant, numbers))
    for status in VERDICTS if judged else ():
        event_log.emit_all(tenant, f"lead.{status}", partial(_facts, tenant, judged, status))


def _facts(tenant: Tenant, numbers: Collection[int], status: str | None = None) -> list[tuple[int | None, Any]]:
    found = of_numbers(tenant, numbers)
    return [(row.number, row) for row in found if status is None or row.status == status]


def get(tenant: Tenant, number: int) -> LeadRow:
    """The lead with this public id. Raises NotFound, for a deleted one and another tenant's too."""
    found = statement("lead_rows.get", lambda: live(ANY_TENANT, *columns()).where(Lead.number == slot("number")))
    rows = found.run({"tenant": tenant.id, "number": number}).fetchall()
    if not rows:
        raise not_found(lead_aliases.merged_into(tenant, number))
    return decoded(tenant, rows)[0]
