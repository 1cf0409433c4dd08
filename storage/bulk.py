"""Many rows in few statements: inserts that are built once for a number of rows, and lists of ids in one parameter."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
from peewee import SQL, ModelInsert, NodeList, Value

from .base import Row, TenantModel, stored
from .database import is_sqlite
from .statements import slot, statement

_encode = msgspec.json.Encoder().encode
_SIZES = (50, 10, 1)  # rows in a statement
_Row = TypeVar("_Row", bound=Row)
_Owned = TypeVar("_Owned", bound=TenantModel)


def insert_all(rows: Sequence[Row]) -> None:
    """Insert rows of one model, which name the same columns, as they stand in memory; their ids stay unknown."""
    for part in _parts(rows):
        _insert(part, None)


def insert_named(rows: Sequence[_Owned], name: str = "oid") -> None:
    """The same, and each row learns its `id`; by `name`, a column that tells them apart."""
    for part in _parts(rows):
        ids = {key: row_id for row_id, key in _insert(part, name).fetchall()}
        for row in part:
            row.id = ids[getattr(row, name)]


def _parts(rows: Sequence[_Row]) -> Iterator[Sequence[_Row]]:
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


def _insert(rows: Sequence[Row], name: str | None) -> Any:
    model, names = type(rows[0]), tuple(rows[0].__data__)
    fields = model._meta.fields

    def build() -> Any:
        made = [{fields[each]: slot(f"{place}.{each}") for each in names} for place in range(len(rows))]
        inserting = ModelInsert(model, made)
        return inserting.returning() if name is None else inserting.returning(fields["id"], fields[name])

    values = {
        f"{place}.{each}": stored(fields[each], row.__data__[each]) for place, row in enumerate(rows) for each in names
    }
    return statement(("bulk.insert", model, names, len(rows), name), build).run(values)


def any_id(column: Any, ids: Value) -> NodeList:
    """The condition that a whole number is one of those that `ids` stands for, of which `as_ids` is given."""
    if is_sqlite():
        return NodeList((column, SQL("IN (SELECT value FROM json_each("), ids, SQL("))")))
    return NodeList((column, SQL("= ANY ("), ids, SQL("::bigint[])")))


def as_ids(ids: Collection[int]) -> Any:
    """These numbers as the value of one parameter."""
    return _encode(list(ids)).decode() if is_sqlite() else list(ids)
