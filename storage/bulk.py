"""Many rows in one statement, which is built once for any number of them: all their values are one parameter of JSON.

Rows as parameters of their own cost a driver, and a database, several times what the rows themselves cost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from peewee import SQL, Field, JSONField, ModelInsert, NodeList, Select, Value

from .base import Row, TenantModel, stored
from .database import is_sqlite
from .statements import slot, statement

_encode = msgspec.json.Encoder().encode
_CASTS = {"TEXT": "text", "INT": "bigint", "BIGINT": "bigint", "BOOL": "boolean", "JSON": "jsonb"}
_Owned = TypeVar("_Owned", bound=TenantModel)


def insert_all(model: type[Row], columns: Mapping[str, Sequence[Any]], **shared: Any) -> None:
    """Insert rows that differ in these columns and share those values; their ids stay unknown.

    Columns that are not named get the default of the model. Values are text, numbers, booleans, None, and anything
    that JSON can say for a column of JSON.
    """
    _insert(model, columns, shared, None)


def insert_named(rows: Sequence[_Owned], name: str = "oid") -> None:
    """Insert rows of one model as they stand in memory, and each learns its `id`; by `name`, which tells them apart."""
    if not rows:
        return
    columns = {column: [row.__data__[column] for row in rows] for column in rows[0].__data__}
    ids = {key: row_id for row_id, key in _insert(type(rows[0]), columns, {}, name).fetchall()}
    for row in rows:
        row.id = ids[getattr(row, name)]


def _insert(model: type[Row], columns: Mapping[str, Sequence[Any]], shared: Mapping[str, Any], name: str | None) -> Any:
    fields = model._meta.fields
    inserting = statement(
        ("bulk.insert", model, *columns, None, *shared, name), lambda: _inserting(model, list(columns), shared, name)
    )
    lists = [
        [stored(fields[column], value) for value in values] if isinstance(fields[column], JSONField) else values
        for column, values in columns.items()
    ]
    values = {column: stored(fields[column], value) for column, value in shared.items()}
    return inserting.run({**values, "rows": _encode(list(zip(*lists, strict=True))).decode()})


def _inserting(model: type[Row], columns: Sequence[str], shared: Collection[str], name: str | None) -> Any:
    fields: dict[str, Field] = model._meta.fields
    values: dict[str, Any] = {
        column: Value(stored(fields[column], default), converter=False)
        for column, default in model._meta.get_default_dict().items()
    }
    values |= {column: slot(column) for column in shared}
    values |= {column: _given(place) for place, column in enumerate(columns)}
    typed = [_typed(value, fields[column]) for column, value in values.items()]
    start, end = ("json_each(", ") AS given") if is_sqlite() else ("jsonb_array_elements(", "::jsonb) AS given(value)")
    chosen = Select([NodeList((SQL(start), slot("rows"), SQL(end)))], typed)
    inserting = ModelInsert(model, chosen, columns=[fields[column] for column in values])
    return inserting.returning() if name is None else inserting.returning(fields["id"], fields[name])


def _given(place: int) -> Any:
    """A value of one of the rows; JSON stands there as the text that it is."""
    return SQL(f"json_extract(given.value, '$[{place}]')" if is_sqlite() else f"(given.value ->> {place})")


def _typed(value: Any, column: Field) -> Any:
    return value if is_sqlite() else NodeList((value, SQL(f"::{_CASTS[column.field_type]}")))


def any_id(column: Any, ids: Value) -> NodeList:
    """The condition that a whole number is one of those that `ids` stands for, of which `as_ids` is given."""
    if is_sqlite():
        return NodeList((column, SQL("IN (SELECT value FROM json_each("), ids, SQL("))")))
    return NodeList((column, SQL("= ANY ("), ids, SQL("::bigint[])")))


def as_ids(ids: Collection[int]) -> Any:
    """These numbers as the value of one parameter."""
    return _encode(list(ids)).decode() if is_sqlite() else list(ids)
