"""Keyset paging: an opaque cursor holds the sort values of the last row, so a deep page costs what the first does."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

import msgspec
from peewee import IntegerField, ModelSelect, Tuple

from .errors import Blocked


def encode_cursor(order: str, values: Sequence[Any]) -> str:
    """The cursor of the page after a row with these sort values."""
    packed = msgspec.json.encode([order, *values])
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _fits(value: Any, key: Any) -> bool:
    if isinstance(key, IntegerField):
        return type(value) is int and 0 <= value < 1 << 31
    return isinstance(value, str) and "\0" not in value


def decode_cursor(cursor: str, order: str, keys: Sequence[Any]) -> list[Any]:
    """The sort values that a cursor of this order holds. Raises Blocked (`invalid_cursor`)."""
    try:
        packed = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        packed = None
    if isinstance(packed, list) and len(packed) == len(keys) + 1 and packed[0] == order:
        values: list[Any] = packed[1:]
        if all(map(_fits, values, keys)):
            return values
    raise Blocked("invalid_cursor", "The cursor is not one of this list; take it from the Link header")


def paginate(
    query: ModelSelect,
    keys: Sequence[Any],
    *,
    order: str,
    limit: int,
    skip: int = 0,
    cursor: str | None = None,
    descending: bool = True,
) -> tuple[list[Any], str | None]:
    """One page of `query` sorted by `keys`, and the cursor of the next page or None on the last.

    keys: columns or expressions, the last of them unique; all run the same way. order: a word that names the sort, so
    that a cursor of one order is refused in another. Raises Blocked (`invalid_cursor`).
    """
    columns = [key.alias(f"sort_{index}") for index, key in enumerate(keys)]
    query = query.select_extend(*columns).order_by(*[key.desc() if descending else key.asc() for key in keys])
    if cursor is not None:
        after = Tuple(*decode_cursor(cursor, order, keys))
        query = query.where(Tuple(*keys) < after if descending else Tuple(*keys) > after)
    rows = list(query.limit(limit + 1).offset(skip or None).objects())
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], encode_cursor(order, [getattr(last, f"sort_{index}") for index in range(len(keys))])
