"""Statements that Peewee builds once and that run many times with other values.

Building the SQL of a page of leads takes longer than running it. So a query is built with a slot for each value that
changes, its SQL is kept for each engine, and running it only fills the slots.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from peewee import Value
from peewee import __exception_wrapper__ as _as_peewee_errors  # type: ignore[attr-defined]

from .database import database, is_sqlite
from .tenancy import Tenant

_MOST = 1000  # statements kept: more shapes than an application asks for

_built: dict[Hashable, Statement] = {}


@dataclass(frozen=True, slots=True)
class _Slot:
    name: str


def slot(name: str) -> Value:
    """Stands in a query for the value that `Statement.run` is given under this name, in the database's own type."""
    return Value(_Slot(name), converter=False)


ANY_TENANT: Any = Tenant(slot("tenant"), "", "live")  # type: ignore[arg-type]  # of a statement; its id is a slot


class Statement:
    """SQL of one engine and what its placeholders stand for.

    is_fickle: which plan is best depends on the values, so PostgreSQL plans it each time.
    """

    __slots__ = ("_is_fickle", "_parameters", "sql")

    def __init__(self, query: Any, *, is_fickle: bool = False) -> None:
        self._is_fickle = is_fickle and not is_sqlite()
        self.sql: str
        self.sql, parameters = query.sql()
        self._parameters = [(each.name, None) if isinstance(each, _Slot) else (None, each) for each in parameters]

    def run(self, values: dict[str, Any]) -> Any:
        """The cursor of its rows as tuples, its slots filled from `values`."""
        parameters = self._filled(values)
        if not self._is_fickle:
            return database.execute_sql(self.sql, parameters)
        with _as_peewee_errors:
            return database.cursor().execute(self.sql, parameters, prepare=False)

    def run_many(self, rows: Iterable[dict[str, Any]]) -> None:
        """Run it once for each of these, in one go, in the caller's transaction."""
        with _as_peewee_errors:
            database.cursor().executemany(self.sql, [self._filled(values) for values in rows])

    def _filled(self, values: dict[str, Any]) -> list[Any]:
        return [fixed if name is None else values[name] for name, fixed in self._parameters]


def statement(key: Hashable, build: Callable[[], Any], *, is_fickle: bool = False) -> Statement:
    """The statement of this key, from the query that `build` answers when it is asked for the first time."""
    kind = (type(database.obj), key)
    kept = _built.get(kind)
    if kept is None:
        if len(_built) >= _MOST:
            _built.clear()
        kept = _built[kind] = Statement(build(), is_fickle=is_fickle)
    return kept
