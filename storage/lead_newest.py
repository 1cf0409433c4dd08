"""The newest leads that have some conditions, found by SQLite's index of text where that helps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peewee import SQL

from . import lead_text_index
from .database import is_sqlite
from .lead_conditions import Condition, filling, shapes, with_slots
from .lead_rows import columns
from .leads import Lead, live
from .statements import ANY_TENANT, slot, statement
from .tenancy import Tenant

Rows = list[tuple[Any, ...]]


def newest(
    tenant: Tenant,
    conditions: Sequence[Condition],
    *,
    most: int,
    skip: int = 0,
    below: int | None = None,
    expression: str | None = None,
    saying: Sequence[Condition] = (),
) -> Rows:
    """At most `most` rows: the columns of `lead_rows.columns`, what is asked in `saying`, and the lead's number.

    below: only leads with a lower number. expression: of `lead_text_index`, by which SQLite finds them.
    """
    reading = _Reading(conditions, saying, below is not None)
    values = {"tenant": tenant.id, "below": below, **filling([*saying, *conditions])}
    if expression is None or not is_sqlite():
        return reading.run("any", values, most, skip)
    values["match"] = lead_text_index.of_tenant(tenant, expression)
    tail = reading.run("tail", values, skip + most, 0)
    if len(tail) >= skip + most:
        return tail[skip:]
    return tail[skip:] + reading.run("found", values, most - len(tail[skip:]), max(0, skip - len(tail)))


class _Reading:
    """The statements that read such rows: of any leads, of those found by the text index, of its tail."""

    def __init__(self, conditions: Sequence[Condition], saying: Sequence[Condition], is_continued: bool) -> None:
        self.conditions = conditions
        self.saying = saying
        self.is_continued = is_continued
        self.shape = (shapes(conditions), shapes(saying), is_continued)

    def run(self, way: str, values: dict[str, Any], limit: int, skip: int) -> Rows:
        """The rows of the leads that are read this way."""
        is_fickle = bool(self.conditions)
        reading = statement(("lead_newest", way, self.shape), lambda: self._query(way), is_fickle=is_fickle)
        rows: Rows = reading.run(values | {"limit": limit, "skip": skip}).fetchall()
        return rows

    def _query(self, way: str) -> Any:
        asked = list(with_slots([*self.saying, *self.conditions]))
        said, conditions = asked[: len(self.saying)], asked[len(self.saying) :]
        query = live(ANY_TENANT, *columns(), *said, Lead.number).order_by(Lead.number.desc())
        if self.is_continued:
            conditions.append(Lead.number < slot("below"))
        if way == "tail":
            conditions.append(lead_text_index.not_indexed())
            query = query.order_by(SQL("+number DESC"))  # of few leads: no index shall help to sort them
        elif way == "found":
            query = lead_text_index.found(query)
            if self.is_continued:
                conditions.append(lead_text_index.after(slot("below")))
        if conditions:
            query = query.where(*conditions)
        return query.limit(slot("limit")).offset(slot("skip"))
