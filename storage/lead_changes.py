"""Storing changes of many leads with one statement that names only the columns that differ.

An upsert of whole rows would rewrite all indexes of theirs; this way those of other columns are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import chain, repeat
from typing import Any

import msgspec
from peewee import SQL, JSONField, ModelUpdate, Node, NodeList, ValuesList, fn

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
    names = [f"column{at}" for at in range(1, len(columns) + 2)]  # as SQLite calls those of VALUES
    changing = statement(
        ("lead_changes.values", columns, count), lambda: _from(_values(count, len(names)), columns, names)
    )
    places = _places(count, len(names))
    values = dict(zip(places, chain(chain.from_iterable(rows), chain.from_iterable(repeat(rows[-1]))), strict=False))
    changing.run({**values, "tenant": tenant.id})


def _values(count: int, width: int) -> ValuesList:
    slots = [slot(name) for name in _places(count, width)]
    return ValuesList([slots[at : at + width] for at in range(0, len(slots), width)], alias="new")


@cache
def _places(count: int, width: int) -> list[str]:
    return [f"{row} {column}" for row in range(count) for column in range(width)]


def _store_json(tenant: Tenant, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
    # In PostgreSQL a single parameter is cheaper than hundreds.
    names = ("number", *columns)
    changing = statement(("lead_changes.json", columns), lambda: _from(_recordset(), columns, names))
    leads = [
        {name: msgspec.Raw(value.encode()) if name in _JSON else value for name, value in zip(names, row, strict=True)}
        for row in rows
    ]
    changing.run({"rows": _encode(leads).decode(), "tenant": tenant.id})


def _recordset() -> NodeList:
    return NodeList((fn.json_populate_recordset(SQL("NULL::lead"), slot("rows")), SQL('AS "new"')))


def _from(new: Node, columns: tuple[str, ...], names: Sequence[str]) -> ModelUpdate:
    """The change of these columns to what `new` has under those names; its first is that of the lead's number."""
    number, *values = (SQL(f'"new"."{name}"') for name in names)
    changed = {Lead._meta.fields[column]: value for column, value in zip(columns, values, strict=True)}
    update: ModelUpdate = Lead.change(ANY_TENANT, changed).from_(new).where(Lead.number == number)
    return update
