"""Finding leads by what people type: text of name, email, tags and external id, or a phone in any notation.

A lead is found if it has every word of the query somewhere, or the digits of the query in its phone. The best match
stands first: a value equal to the query, then one that starts with it, one with a word that starts with it, one that
has it anywhere, and last those that only have its words apart; among equals the newest lead.

Nobody sorts a million leads for that. The newest that match are read first; if there are more, one kind of match after
the other is read newest first, until there are enough. Words of one or two characters are in no index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, itemgetter, or_
from typing import Any

from peewee import SQL, Case

from .lead_conditions import Condition, holding, joined
from .lead_newest import newest
from .lead_rows import WIDTH, LeadRow, decoded
from .lead_text import holds, search_key
from .lead_text_index import all_of, any_of, phrase
from .leads import Lead
from .tenancy import Tenant

MAX_WORDS = 10
_BEFORE_A_WORD = " -_.,:/@+#('\""
_RANKED_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of match: one of these texts in what is searched, or one of these in the phone."""

    texts: Sequence[str]
    in_phone: Sequence[str]

    @property
    def condition(self) -> Condition:
        """The condition of such a match."""
        return _some([*map(holding, self.texts), *map(_phone_holding, self.in_phone)])

    @property
    def expression(self) -> str | None:
        """What SQLite's text index finds such matches by: a phone is a line of the text, too."""
        return any_of(map(phrase, [*self.texts, *self.in_phone]))


def found_by(q: str, phones: Sequence[str] = ()) -> Condition:
    """The condition that a lead is found by this query; blank text finds none.

    phones: the digits, if the query may be meant as a phone, in each way they can be read.
    """
    words = [holding(word) for word in _words(q)]
    by_text = joined(words, lambda nodes: reduce(and_, nodes) if nodes else SQL("1 = 0"), "words")
    return _some([by_text, *map(_phone_holding, phones)])


def expression_of(q: str, phones: Sequence[str] = ()) -> str | None:
    """What SQLite's index of text finds these leads by, maybe with others; None where it knows nothing of the query."""
    return any_of([all_of(map(phrase, _words(q))), *map(phrase, phones)])


def search(tenant: Tenant, q: str, phones: Sequence[str] = (), *, limit: int) -> list[LeadRow]:
    """At most `limit` leads that are found by this query, best match first. `phones` as for `found_by`."""
    kinds = _kinds(search_key(q), phones)
    if not any(kind.texts or kind.in_phone for kind in kinds):
        return []
    found, text = found_by(q, phones), expression_of(q, phones)
    enough = max(limit, _RANKED_AT_ONCE)
    rows = newest(tenant, [found], most=enough, expression=text, saying=[_rank(kinds)])
    best = sorted(rows, key=itemgetter(WIDTH))
    if len(rows) == enough:
        best = _best(tenant, kinds, rows, limit)
    return decoded(tenant, best[:limit])


def _best(tenant: Tenant, kinds: Sequence[_Kind], known: Sequence[Any], limit: int) -> list[Any]:
    """The best rows, one kind of match after the other; `known` are the newest of all, and so of each kind."""
    best: dict[int, Any] = {}
    for place, kind in enumerate(kinds):
        rows = [row for row in known if row[WIDTH] == place]
        if len(best) + len(rows) < limit and (kind.texts or kind.in_phone):
            rows = newest(tenant, [kind.condition], most=limit, expression=kind.expression)
        for row in rows:
            best.setdefault(row[-1], row)
        if len(best) >= limit:
            return list(best.values())
    return list({**best, **{row[-1]: row for row in known if row[-1] not in best}}.values())


def _kinds(key: str, phones: Sequence[str]) -> list[_Kind]:
    keys = [key] if key else []
    return [
        _Kind([f"\n{key}\n" for key in keys], [f"\n+{digits}\n" for digits in phones]),
        _Kind([f"\n{key}" for key in keys], [f"\n+{digits}" for digits in phones]),
        _Kind([f"{before}{key}" for key in keys for before in _BEFORE_A_WORD], []),
        _Kind(keys, phones),
    ]


def _rank(kinds: Sequence[_Kind]) -> Condition:
    """Says of which kind a match is, the best if of several, and one more than there are if of none."""

    def make(given: Sequence[Any]) -> Any:
        values = iter(given)
        ways = [
            [holds(Lead.search_text, next(values)) for _ in kind.texts]
            + [_in_phone(part, next(values)) for part in kind.in_phone]
            for kind in kinds
        ]
        return Case(None, [(reduce(or_, nodes), place) for place, nodes in enumerate(ways) if nodes], len(kinds))

    values = [value for kind in kinds for value in (*kind.texts, *(part.strip("\n") for part in kind.in_phone))]
    return Condition(("rank", *((len(kind.texts), len(kind.in_phone)) for kind in kinds)), values, make)


def _in_phone(part: str, value: Any) -> Any:
    """The condition that a phone has this part: a whole line, or the beginning of one, or anything in it."""
    return Lead.phone == value if part.endswith("\n") else holds(Lead.phone, value)


def _phone_holding(part: str) -> Condition:
    """The same, in words that PostgreSQL's index of text has an answer to: a phone is a line of that text."""
    exact = Condition(("phone", part.endswith("\n")), [part.strip("\n")], lambda given: _in_phone(part, given[0]))
    return joined([holding(part), exact], lambda nodes: nodes[0] & nodes[1], "all")


def _some(parts: Sequence[Condition]) -> Condition:
    return joined(parts, lambda nodes: reduce(or_, nodes) if nodes else SQL("1 = 0"), "any")


def _words(q: str) -> list[str]:
    return search_key(q).split()[:MAX_WORDS]
