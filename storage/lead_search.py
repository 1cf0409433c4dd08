"""Finding leads by what people type: text of name, email, tags and external id, or a phone in any notation.

A lead is found if it has every word of the query somewhere, or the digits of the query in its phone. The best match
stands first: a value equal to the query, then one that starts with it, one with a word that starts with it, one that
has it anywhere, and last those that only have its words apart; among equals the newest lead.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_, or_
from typing import Any

from peewee import SQL, Case

from .lead_text import holds, search_key
from .leads import Lead, live
from .tenancy import Tenant

MAX_WORDS = 10
_BEFORE_A_WORD = " -_.,:/@+#('\""


def found_by(q: str, phones: Sequence[str] = ()) -> Any:
    """The condition that a lead is found by this query; blank text finds none.

    phones: the digits, if the query may be meant as a phone, in each way they can be read.
    """
    words = search_key(q).split()[:MAX_WORDS]
    by_text = reduce(and_, (holds(Lead.search_text, word) for word in words)) if words else SQL("1 = 0")
    return reduce(or_, (holds(Lead.phone, digits) for digits in phones), by_text)


def search(tenant: Tenant, q: str, phones: Sequence[str] = (), *, limit: int) -> list[Lead]:
    """At most `limit` leads that are found by this query, best match first. `phones` as for `found_by`."""
    ranked = (
        live(tenant)
        .where(found_by(q, phones))
        .order_by(_rank(search_key(q), phones), Lead.created_at.desc(), Lead.number.desc())
    )
    return list(ranked.limit(limit))


def _rank(key: str, phones: Sequence[str]) -> Any:
    text = Lead.search_text
    exact = [holds(text, f"\n{key}\n"), *(Lead.phone == f"+{digits}" for digits in phones)]
    first = [holds(text, f"\n{key}"), *(holds(Lead.phone, f"+{digits}") for digits in phones)]
    word = [holds(text, f"{before}{key}") for before in _BEFORE_A_WORD]
    within = [holds(text, key), *(holds(Lead.phone, digits) for digits in phones)]
    return Case(None, [(reduce(or_, ways), rank) for rank, ways in enumerate((exact, first, word, within))], 4)
