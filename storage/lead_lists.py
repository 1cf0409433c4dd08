"""Lists of leads: the simple filters, the orders and the pages.

Leads are created in the order of their numbers, so that is the order of `createdAt`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peewee import SQL, fn

from . import lead_text_index, leads
from .database import is_sqlite
from .lead_conditions import Condition, filling, shapes, with_slots
from .lead_filters import has_tags
from .lead_newest import newest
from .lead_rows import LeadRow, columns, decoded
from .lead_search import expression_of, found_by
from .lead_tallies import tallied
from .lead_text import search_key
from .leads import Lead, live
from .paging import decode_cursor, encode_cursor
from .statements import ANY_TENANT, slot, statement
from .tenancy import Tenant

ORDERS: dict[str, Any] = {
    "createdAt": Lead.number,
    "updatedAt": Lead.updated_at,
    "name": Lead.name_key,
    "lastContactedAt": fn.COALESCE(Lead.last_contacted_at, SQL("''")),  # as in the index; never contacted is oldest
}
NEWEST_FIRST = "-createdAt"
_COUNTED_BY_TEXT = 20_000  # of more leads that may match by their text, it is faster to look at all
_RARE = 20  # leads that PostgreSQL looks through take as long as one that its index of text finds
_LOOKUPS = 2  # a lead that the text index finds costs as much as so many that an index of statuses does


@dataclass(frozen=True, slots=True)
class LeadFilter:
    """What a lead must be to stand in a list; a member that is None asks nothing.

    tags: at least one of them. channel: the lead can be reached on it. q, phones: as in `lead_search.found_by`.
    conditions: those of `lead_filters.matching`.
    """

    statuses: Sequence[str] | None = None
    tags: Sequence[str] | None = None
    channel: str | None = None
    import_batch_id: str | None = None
    external_id: str | None = None
    q: str | None = None
    phones: Sequence[str] = ()
    conditions: Sequence[Condition] = ()

    def all_conditions(self) -> list[Condition]:
        """The conditions to AND, none if the filter asks nothing."""
        given = list(self.conditions)
        if self.statuses is not None:
            statuses = list(self.statuses)
            given.append(Condition(("statuses", len(statuses)), statuses, Lead.status.in_, statuses=statuses))
        if self.tags is not None:
            given.append(has_tags(self.tags))
        if self.channel is not None:
            way = Lead.email if self.channel == "email" else Lead.phone
            given.append(Condition(("channel", way.name), (), lambda _: way != SQL("''")))
        if self.import_batch_id is not None:
            given.append(_is("import batch", Lead.import_batch_id, self.import_batch_id))
        if self.external_id is not None:
            given.append(_is("external id", Lead.external_id, self.external_id))
        if self.q is not None:
            given.append(found_by(self.q, self.phones))
        return given

    def expression(self) -> str | None:
        """What SQLite's index of text finds the leads by; None where it has no part in it, or is not the best way."""
        given = self.all_conditions()
        if any(condition.selective for condition in given):
            return None
        by_tags = [
            lead_text_index.any_of(lead_text_index.phrase(f"\n{search_key(tag)}\n") for tag in condition.tags)
            for condition in given
            if condition.tags is not None
        ]
        by_words = None if self.q is None else expression_of(self.q, self.phones)
        return lead_text_index.all_of([*by_tags, by_words])


def _is(name: str, column: Any, value: str) -> Condition:
    return Condition(name, [value], lambda given: column == given[0], selective=True)


def count(tenant: Tenant, wanted: LeadFilter) -> int:
    """How many leads match. All, those of some statuses and those with one tag are tallied, others are counted."""
    conditions = wanted.all_conditions()
    if not conditions:
        return leads.count(tenant)
    if len(conditions) == 1:
        [only] = conditions
        if only.statuses is not None:
            return tallied(tenant, "status", only.statuses)
        if only.tags is not None and len(set(only.tags)) == 1:
            return tallied(tenant, "tag", only.tags)
    return _counted(tenant, wanted, _led(tenant, conditions))


def page(
    tenant: Tenant,
    wanted: LeadFilter,
    *,
    limit: int,
    skip: int = 0,
    cursor: str | None = None,
    sort: str = NEWEST_FIRST,
) -> tuple[list[LeadRow], str | None]:
    """A page of the leads that match, and the cursor of the next page or None on the last.

    sort: a key of ORDERS, with "-" in front for descending. Raises Blocked: a cursor that is not of this order.
    """
    keys = _keys(sort)
    reached = [] if cursor is None else decode_cursor(cursor, sort, keys)
    conditions = _led(tenant, wanted.all_conditions())
    if sort == NEWEST_FIRST:
        below = reached[0] if reached else None
        text = _expression(tenant, wanted, conditions)
        rows = newest(tenant, conditions, most=limit + 1, skip=skip, below=below, expression=text)
    else:
        rows = _in_order(tenant, conditions, sort, reached, limit + 1, skip)
    if len(rows) <= limit:
        return decoded(tenant, rows), None
    return decoded(tenant, rows[:limit]), encode_cursor(sort, rows[limit - 1][-len(keys) :])


def _led(tenant: Tenant, conditions: Sequence[Condition]) -> Sequence[Condition]:
    """The conditions, those on rare tags in words that lead PostgreSQL to its index of text."""
    if not any(condition.by_text for condition in conditions):
        return conditions
    statuses = [tallied(tenant, "status", each.statuses) for each in conditions if each.statuses is not None]
    among = min(statuses) if statuses else leads.count(tenant)
    return [
        each.by_text
        if each.by_text is not None and each.tags is not None and tallied(tenant, "tag", each.tags) * _RARE < among
        else each
        for each in conditions
    ]


def _expression(tenant: Tenant, wanted: LeadFilter, conditions: Sequence[Condition]) -> str | None:
    """What SQLite's index of text shall find the leads by; None where fewer leads have the status than a tag."""
    expression = wanted.expression() if is_sqlite() else None
    if expression is not None and wanted.q is None:
        for_status = [tallied(tenant, "status", each.statuses) for each in conditions if each.statuses is not None]
        if for_status and min(for_status) < _LOOKUPS * min(_with_tags(tenant, conditions)):
            return None
    return expression


def _keys(sort: str) -> list[Any]:
    key = ORDERS[sort.removeprefix("-")]
    return [key] if key is Lead.number else [key, Lead.number]


def _in_order(
    tenant: Tenant, conditions: Sequence[Condition], sort: str, reached: Sequence[Any], most: int, skip: int
) -> list[Any]:
    """At most `most` rows in this order, after the one whose sort values were reached.

    Those with the same first value as that one are read by themselves: together an index would not lead to the place.
    """
    values = {"tenant": tenant.id, **filling(conditions)}
    values |= {f"after {index}": value for index, value in enumerate(reached)}
    if len(reached) < 2:
        return _run("beyond" if reached else "from the start", conditions, sort, values | {"limit": most, "skip": skip})
    same = _run("same", conditions, sort, values | {"limit": skip + most, "skip": 0})
    rows = same[skip:]
    if len(rows) < most:
        rest = {"limit": most - len(rows), "skip": max(0, skip - len(same))}
        rows += _run("beyond", conditions, sort, values | rest)
    return rows


def _run(way: str, conditions: Sequence[Condition], sort: str, values: dict[str, Any]) -> list[Any]:
    def build() -> Any:
        keys, is_descending = _keys(sort), sort.startswith("-")
        query = live(ANY_TENANT, *columns(), *keys)
        if conditions:
            query = query.where(*with_slots(conditions))
        if way == "same":
            query = query.where(keys[0] == slot("after 0"), _past(keys[1], slot("after 1"), is_descending))
        elif way == "beyond":
            query = query.where(_past(keys[0], slot("after 0"), is_descending))
        order = [key.desc() if is_descending else key.asc() for key in (keys[1:] if way == "same" else keys)]
        return query.order_by(*order).limit(slot("limit")).offset(slot("skip"))

    reading = statement(("lead_lists.page", sort, way, shapes(conditions)), build, is_fickle=bool(conditions))
    rows: list[Any] = reading.run(values).fetchall()
    return rows


def _past(key: Any, value: Any, is_descending: bool) -> Any:
    return key < value if is_descending else key > value


def _counted(tenant: Tenant, wanted: LeadFilter, conditions: Sequence[Condition]) -> int:
    values = {"tenant": tenant.id, **filling(conditions)}
    expression = _expression(tenant, wanted, conditions)
    if expression is not None:
        values["match"] = lead_text_index.of_tenant(tenant, expression)
        if _are_few(tenant, wanted, conditions, values["match"]):
            return sum(_counted_by(conditions, values, is_tail) for is_tail in (True, False))
    return _counted_by(conditions, values, None)


def _are_few(tenant: Tenant, wanted: LeadFilter, conditions: Sequence[Condition], match: str) -> bool:
    """Whether so few leads may match by their text that they are best counted one by one; tags are tallied already."""
    if wanted.q is None:
        return min(_with_tags(tenant, conditions)) <= _COUNTED_BY_TEXT
    return lead_text_index.finds_at_most(_COUNTED_BY_TEXT, match)


def _with_tags(tenant: Tenant, conditions: Sequence[Condition]) -> list[int]:
    """How many leads at most each of the conditions on tags lets through."""
    return [tallied(tenant, "tag", each.tags) for each in conditions if each.tags is not None]


def _counted_by(conditions: Sequence[Condition], values: dict[str, Any], is_tail: bool | None) -> int:
    """How many match: of all leads, of those that the text index does not know yet, or of those that it finds."""

    def build() -> Any:
        query = live(ANY_TENANT, fn.COUNT(Lead.id)).where(*with_slots(conditions))
        if is_tail is None:
            return query
        return query.where(lead_text_index.not_indexed()) if is_tail else lead_text_index.found(query).order_by()

    counting = statement(("lead_lists.count", is_tail, shapes(conditions)), build, is_fickle=True)
    [(number,)] = counting.run(values).fetchall()
    return int(number)
