"""Conditions on leads with their values kept apart, so that a statement is built once for all that are shaped alike."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from peewee import SQL, Expression, fn

from .database import is_sqlite
from .lead_text import holds
from .leads import Lead
from .statements import slot

# What PostgreSQL's index of trigrams is over, in its very words: "q" stands for line breaks, "z" for other gaps.
_GAPS = " -_.,:/@+#(\"'"
_INDEXED = fn.translate(Lead.search_text, SQL("E'\\n -_.,:/@+#(\"\\''"), SQL("'qzzzzzzzzzzzzz'"))
_PATTERN = str.maketrans({"\\": "\\\\", "%": "\\%", "\n": "q", **dict.fromkeys(_GAPS, "z")})


@dataclass(frozen=True, slots=True)
class Condition:
    """What is asked, and of which values; `make` builds the Peewee condition from the values, or from their slots.

    shape: alike for conditions that differ only in their values. selective: so few leads have it that it leads to
    them fastest. statuses, tags: what makes it true, where it is that a lead has one of these. by_text: the same in
    words that PostgreSQL's index of text can answer.
    """

    shape: Hashable
    values: Sequence[Any]
    make: Callable[[Sequence[Any]], Any]
    selective: bool = False
    statuses: Sequence[str] | None = None
    tags: Sequence[str] | None = None
    by_text: Condition | None = None

    @property
    def node(self) -> Any:
        """The condition with its values in it."""
        return self.make(self.values)


def has(column: Any, part: str) -> Condition:
    """The condition that a column has this in it; no character is a wildcard."""
    return Condition(("has", column.name), [part], lambda given: holds(column, given[0]))


def holding(part: str) -> Condition:
    """The condition that a lead's search text has this in it, in words that PostgreSQL's index of it can answer."""
    if is_sqlite():
        return has(Lead.search_text, part)

    def make(given: Sequence[Any]) -> Any:
        # The second is for the index; where there is nothing to look up, the first alone says no, and much faster.
        return holds(Lead.search_text, given[1]) & Expression(_INDEXED, "LIKE", given[0])

    return Condition("holding", [f"%{part.translate(_PATTERN)}%", part], make)


def joined(parts: Sequence[Condition], combine: Callable[[list[Any]], Any], shape: Hashable) -> Condition:
    """One condition of several; `combine` makes it of theirs, `shape` tells how."""
    values = [value for part in parts for value in part.values]

    def make(given: Sequence[Any]) -> Any:
        remaining = iter(given)
        return combine([part.make(list(islice(remaining, len(part.values)))) for part in parts])

    return Condition((shape, *(part.shape for part in parts)), values, make)


def shapes(conditions: Sequence[Condition]) -> Hashable:
    """What a statement with these conditions is kept by."""
    return tuple(condition.shape for condition in conditions)


def with_slots(conditions: Sequence[Condition]) -> Iterator[Any]:
    """The conditions of a statement, to be filled with `filling`."""
    for place, condition in enumerate(conditions):
        yield condition.make([slot(f"{place}.{index}") for index in range(len(condition.values))])


def filling(conditions: Sequence[Condition]) -> dict[str, Any]:
    """What their slots stand for."""
    return {
        f"{place}.{index}": value
        for place, condition in enumerate(conditions)
        for index, value in enumerate(condition.values)
    }
