"""Reading the audit log: filters, search, pages, and an export that goes through it piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from peewee import ModelSelect, Tuple, fn

from . import clock, paging
from .audit import AuditEntry
from .errors import Blocked, Problem
from .tenancy import Tenant

MOST_COUNTED = 100_000  # entries: beyond it a total would cost more than the page
_KEYS = (AuditEntry.created_at, AuditEntry.id)
_DATE_LENGTH = len("2026-03-14")
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Filters:
    """Which entries are meant; None for any. `since` and `until` are dates or date-times, both inclusive."""

    action: str | None = None
    resource_type: str | None = None
    actor_type: str | None = None
    actor_id: str | None = None
    since: str | None = None
    until: str | None = None
    search: str | None = None


def page(
    tenant: Tenant, filters: Filters, *, limit: int, skip: int = 0, cursor: str | None = None
) -> tuple[list[AuditEntry], int, str | None]:
    """A page of entries, the newest first, how many there are up to MOST_COUNTED, and the next page's cursor.

    Raises Blocked (`invalid_date`, `invalid_cursor`).
    """
    query = matching(tenant, filters)
    counted = query.select(AuditEntry.id).limit(MOST_COUNTED).count()
    found, following = paging.paginate(query, _KEYS, order="audit", limit=limit, skip=skip, cursor=cursor)
    return found, counted, following


def chunks(query: ModelSelect) -> Iterator[list[AuditEntry]]:
    """All entries of a query from `matching`, the newest first, some hundred at a time, holding nothing in between."""
    after: list[str] | None = None
    while True:
        rest: Any = query if after is None else query.where(Tuple(*_KEYS) < Tuple(*after))
        found: list[AuditEntry] = list(rest.order_by(*(key.desc() for key in _KEYS)).limit(_CHUNK))
        if found:
            yield found
        if len(found) < _CHUNK:
            return
        after = [found[-1].created_at, found[-1].id]


def matching(tenant: Tenant, filters: Filters) -> ModelSelect:
    """The query for these entries: the account's for a live tenant, its test environment's alone for a test tenant.

    Raises Blocked (`invalid_date`).
    """
    query = AuditEntry.of(tenant.account_id)
    if tenant.environment == "test":
        query = query.where(AuditEntry.environment == "test")
    exact = {
        AuditEntry.action: filters.action,
        AuditEntry.resource_type: filters.resource_type,
        AuditEntry.actor_type: filters.actor_type,
        AuditEntry.actor_id: filters.actor_id,
    }
    for column, value in exact.items():
        if value is not None:
            query = query.where(column == value)
    if filters.since is not None:
        query = query.where(AuditEntry.created_at >= _moment(filters.since, "from"))
    if filters.until is not None:
        query = query.where(AuditEntry.created_at <= _moment(filters.until, "to", is_end=True))
    if filters.search is not None:
        text = fn.LOWER(AuditEntry.action + "\n" + AuditEntry.resource_type + "\n" + AuditEntry.actor_name)
        query = query.where(text.contains(filters.search.lower()))
    return query


def _moment(text: str, name: str, *, is_end: bool = False) -> str:
    """The moment as it is stored; of a bare date its first, or with `is_end` its last."""
    try:
        moment = clock.parse(text)
        if is_end and len(text) == _DATE_LENGTH:
            moment += timedelta(days=1, milliseconds=-1)
        return clock.iso(moment)
    except (ValueError, OverflowError):
        message = f"`{name}` is not a day of the calendar"
        raise Blocked("invalid_date", message, problems=[Problem(f"/{name}", message)]) from None
