"""Storing leads by the thousand: the statements are built once and then only filled in.

Building the INSERT of a hundred leads takes ten times as long as running it. A number of leads is stored by statements
of 1024, 512, 256 … leads, so there are few of them to keep. PostgreSQL takes many new leads by COPY.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any

import msgspec
from peewee import Field, JSONField, ModelInsert, Value

from .database import database, is_sqlite
from .leads import Lead, one_owner
from .tenancy import Tenant

MOST_AT_ONCE = 1024  # leads in one statement: 23 values each, of which SQLite takes 32,766 and PostgreSQL 65,535
_CACHE = -24_576  # KiB, as SQLite writes it
_COPY_FROM = 8  # leads; of fewer COPY is no faster

_ALL = [column for column in Lead._meta.sorted_fields if column.name not in ("id", "tenant_id")]
_ALWAYS_NULL = ("assigned_agent_id", "ab_test_id", "last_contacted_at", "deleted_at")  # of a lead that is imported
NEW = [column for column in _ALL if column.name not in _ALWAYS_NULL]

_encode = msgspec.json.Encoder().encode


def json_text(value: Any) -> str:
    """The value as it stands in a JSON column."""
    return _encode(value).decode()


@contextlib.contextmanager
def modest_memory() -> Iterator[None]:
    """Let SQLite keep 24 MiB of pages in here and no more, so that a long import takes no more memory than a short one.

    Its cache of 64 MiB would fill up, and made no import faster.
    """
    if not is_sqlite():
        yield
        return
    [(before,)] = database.execute_sql("PRAGMA cache_size").fetchall()
    database.execute_sql(f"PRAGMA cache_size = {max(before, _CACHE) if before < 0 else before}")
    try:
        yield
    finally:
        database.execute_sql(f"PRAGMA cache_size = {before}")


def write(tenant: Tenant, leads: Sequence[Lead]) -> None:
    """Store these leads whole: those that were read before over themselves, then the new ones.

    The caller has entered, holds what it read, and gave the new ones their numbers. Raises Conflict.
    """
    with one_owner():
        _fill(tenant, _over_known, [values_of(lead, _ALL) for lead in leads if lead.id is not None])
        _fill(tenant, _all_of_new, [values_of(lead, _ALL) for lead in leads if lead.id is None])


def write_new(tenant: Tenant, rows: Sequence[Sequence[Any]]) -> None:
    """Store new leads, given as values of NEW: JSON columns as text. The caller has entered. Raises Conflict."""
    with one_owner():
        if len(rows) < _COPY_FROM or is_sqlite():
            _fill(tenant, _imported, rows)
        else:
            _copy(tenant, rows)


def values_of(lead: Lead, columns: Sequence[Field]) -> list[Any]:
    """What stands in these columns of a lead, JSON as text."""
    return [
        json_text(getattr(lead, column.name)) if isinstance(column, JSONField) else getattr(lead, column.name)
        for column in columns
    ]


def lead_of(values: Sequence[Any]) -> Lead:
    """A new lead of these values of NEW, as `build` makes one."""
    members = {
        column.name: msgspec.json.decode(value) if isinstance(column, JSONField) else value
        for column, value in zip(NEW, values, strict=True)
    }
    return Lead(**members)


def _copy(tenant: Tenant, rows: Sequence[Sequence[Any]]) -> None:
    columns = ", ".join(f'"{column.column_name}"' for column in [Lead.tenant_id, *NEW])
    with database.cursor() as cursor, cursor.copy(f'COPY "lead" ({columns}) FROM STDIN') as copy:
        for row in rows:
            copy.write_row((tenant.id, *row))


def _fill(tenant: Tenant, build: Callable[[], ModelInsert], rows: Sequence[Sequence[Any]]) -> None:
    owner = (tenant.id,)
    start = 0
    while start < len(rows):
        count = min(MOST_AT_ONCE, 1 << ((len(rows) - start).bit_length() - 1))
        values = [value for row in rows[start : start + count] for value in chain(owner, row)]
        database.execute_sql(_statement(is_sqlite(), build, count), values)
        start += count


@cache
def _statement(for_sqlite: bool, build: Callable[[], ModelInsert], count: int) -> str:
    """The INSERT of so many rows: Peewee's of one row, its placeholders repeated. Each engine has its own."""
    sql, values = build().sql()
    row = f"({', '.join(['?' if for_sqlite else '%s'] * len(values))})"
    return str(sql).replace(row, ", ".join([row] * count))


def _over_known() -> ModelInsert:
    return _insert(_ALL).on_conflict(conflict_target=[Lead.tenant_id, Lead.number], preserve=_ALL)


def _all_of_new() -> ModelInsert:
    return _insert(_ALL)


def _imported() -> ModelInsert:
    return _insert(NEW)


def _insert(columns: Sequence[Field]) -> ModelInsert:
    """A placeholder for the tenant's id and for each column."""
    row = {column: Value("", converter=False) for column in columns}
    insert: ModelInsert = Lead.add_all(Tenant(0, "", "test"), [row]).returning()
    return insert
