"""Storing changes of many leads with one statement that names only the columns that differ.

An upsert of whole rows would rewrite all indexes of theirs; this way those of other columns are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import chain, repeat
from typing import Any

import msgspec
from peewee import SQL, JSONField, ModelUpdate, NodeList, ValuesList, fn

from .database import is_sqlite
from .leads import Lead, one_owner
from .statements import ANY_TENANT, slot, statement
from .tenancy import Tenant

_encode = msgspec.json.Encoder().encode
_JSON = frozenset(column.name for column in Lead._meta.sorted_fields if isinstance(column, JSONField))


def store(tenant: Tenant, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
    """Write these columns of some leads; a row is a lead's number and what shall stand in the columns, JSON as text.

    The caller has entered and holds the leads. Raises Conflict.
    """
    if not rows:
        return
    with one_owner():
        if is_sqlite():
            _store_values(tenant, columns, rows)
        else:
            _store_json(tenant, columns, rows)


def _store_values(tenant: Tenant, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
    # The last row stands again and again until they are a power of two: so there are few statements to keep.
    count = 1 << (len(rows) - 1).bit_length()
    names = _places(count, len(columns) + 1)
    changing = statement(("lead_changes.values", columns, count), lambda: _from_values(columns, count))
    values = dict(zip(names, chain(chain.from_iterable(rows), chain.from_iterable(repeat(rows[-1]))), strict=False))
    changing.run({**values, "tenant": tenant.id})


def _from_values(columns: tuple[str, ...], count: int) -> ModelUpdate:
    width = len(columns) + 1
    slots = [slot(name) for name in _places(count, width)]
    new = ValuesList([slots[at : at + width] for at in range(0, len(slots), width)], alias="new")
    changed = {Lead._meta.fields[name]: SQL(f'"new"."column{at}"') for at, name in enumerate(columns, 2)}
    update: ModelUpdate = Lead.change(ANY_TENANT, changed).from_(new).where(Lead.number == SQL('"new"."column1"'))
    return update


@cache
def _places(count: int, width: int) -> list[str]:
    return [f"{row} {column}" for row in range(count) for column in range(width)]


def _store_json(tenant: Tenant, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
    # In PostgreSQL a single parameter is cheaper than hundreds.
    changing = statement(("lead_changes.json", columns), lambda: _from_json(columns))
    names = ("number", *columns)
    leads = [
        {name: msgspec.Raw(value.encode()) if name in _JSON else value for name, value in zip(names, row, strict=True)}
        for row in rows
    ]
    changing.run({"rows": _encode(leads).decode(), "tenant": tenant.id})


def _from_json(columns: tuple[str, ...]) -> ModelUpdate:
    new = NodeList((fn.json_populate_recordset(SQL("NULL::lead"), slot("rows")), SQL('AS "new"')))
    changed = {Lead._meta.fields[name]: SQL(f'"new"."{name}"') for name in columns}
    update: ModelUpdate = Lead.change(ANY_TENANT, changed).from_(new).where(Lead.number == SQL('"new"."number"'))
    return update
