"""Lists as one parameter of a statement, so that its SQL is the same for one value and for thousands."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from peewee import SQL, NodeList, Value

from .database import is_sqlite

_encode = msgspec.json.Encoder().encode


def one_of(column: Any, listed: Value, *, lowered: bool = False) -> NodeList:
    """The condition that a column is one of the values that `listed` stands for, of which `as_parameter` is given.

    lowered: the database lowers them first, by the same rule as an index of it.
    """
    if is_sqlite():
        begin = "IN (SELECT LOWER(value) FROM json_each(" if lowered else "IN (SELECT value FROM json_each("
        return NodeList((column, SQL(begin), listed, SQL("))")))
    if lowered:
        begin, end = "= ANY (ARRAY (SELECT LOWER(value) FROM unnest(", "::text[]) AS value))"
        return NodeList((column, SQL(begin), listed, SQL(end)))
    return NodeList((column, SQL("= ANY ("), listed, SQL("::text[])")))


def as_parameter(values: Collection[str]) -> Any:
    """These texts as the value of one parameter."""
    return _encode(list(values)).decode() if is_sqlite() else list(values)
