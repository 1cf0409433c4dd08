"""Many rows in few statements, each of them built once for a number of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from peewee import ModelInsert

from .base import Row, stored
from .statements import slot, statement

_SIZES = (50, 10, 1)  # rows in a statement
_Row = TypeVar("_Row", bound=Row)


def insert_all(rows: Sequence[Row]) -> None:
    """Insert rows of one model, which name the same columns, as they stand in memory; their ids stay unknown."""
    for part in _parts(rows):
        _insert(part, None)


def insert_named(rows: Sequence[_Row], name: str = "oid") -> None:
    """The same, and each row learns its `id`; by `name`, a column that tells them apart."""
    for part in _parts(rows):
        ids = {key: row_id for row_id, key in _insert(part, name).fetchall()}
        for row in part:
            row.id = ids[getattr(row, name)]  # type: ignore[attr-defined]


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
