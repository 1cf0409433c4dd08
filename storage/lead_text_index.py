"""SQLite's index of what leads can be searched by: which leads may have some text, newest first.

It lags: leads with an id above a mark are not in it yet and have to be looked at one by one, which are few (see the
migration that creates it). What it finds still has to be compared, for a tenant's own words could look like its mark.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from peewee import SQL, Expression, Table, fn

from .leads import Lead
from .statements import ANY_TENANT, slot, statement
from .tenancy import Tenant

_LEAST = 3  # characters that the index knows of
_TENANT_PLANE = 0xF0000

TEXT: Any = Table("lead_text", ("rowid", "lead_text"))
_MARK = SQL("(SELECT indexed_to FROM lead_text_mark)")


def phrase(text: str) -> str | None:
    """The expression that a lead has this text, None where it is too short to be looked up."""
    if len(text) < _LEAST:
        return None
    quoted = text.replace('"', '""')
    return f'"{quoted}"'


def all_of(expressions: Iterable[str | None]) -> str | None:
    """The expression that all hold; those that cannot be looked up are left out, and None is left of none."""
    known = [each for each in expressions if each is not None]
    return f"({' AND '.join(known)})" if known else None


def any_of(expressions: Iterable[str | None]) -> str | None:
    """The expression that some hold, None if one of them cannot be looked up or there are none."""
    each = list(expressions)
    return None if None in each or not each else f"({' OR '.join(map(str, each))})"


def of_tenant(tenant: Tenant, expression: str) -> str:
    """The expression, for leads of this tenant."""
    marks = "".join(chr(_TENANT_PLANE + (tenant.id >> shift & 0xFFFF)) for shift in (32, 16, 0))
    return f'"{marks}" AND {expression}'


def not_indexed() -> Any:
    """The condition that a lead is not in the index yet; SQLite is told how few these are."""
    above = Lead.id > _MARK
    return fn.likelihood(above, SQL("0.0000001"))


def found(query: Any) -> Any:
    """The query over leads, of those that the index finds by the expression in the slot `match`, newest first."""
    matching = Expression(TEXT.lead_text, "MATCH", slot("match"))
    return query.join(TEXT, on=(Lead.id == _negated(TEXT.rowid))).where(matching).order_by(TEXT.rowid)


def _negated(column: Any) -> Expression:
    return Expression(SQL("0"), "-", column)


def after(number: Any) -> Expression:
    """The condition that the index comes to a lead after the one with this number."""
    above: Any = Lead.of(ANY_TENANT, _negated(Lead.id)).where(Lead.number >= number).order_by(Lead.number).limit(1)
    reached: Expression = TEXT.rowid > fn.COALESCE(above, SQL("-9223372036854775807"))
    return reached


def finds_at_most(most: int, match: str) -> bool:
    """Whether the index finds no more than so many leads by this expression."""
    some = TEXT.select(SQL("1")).where(Expression(TEXT.lead_text, "MATCH", slot("match"))).limit(slot("limit"))
    probing = statement("lead_text_index.probe", lambda: some)
    return len(probing.run({"match": match, "limit": most + 1}).fetchall()) <= most
