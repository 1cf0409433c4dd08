"""Every place in the product where a query is kept inside a tenant, and a way to let go of one of them.

A site is found twice: in the source by its syntax, and at run time by the position of the call in the frame that makes
it. So a condition can be dropped for the queries of one place and for no other.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

from peewee import SQL, Expression, Field, ModelSelect

import storage
from storage import base, statements
from storage.base import AccountModel, TenantModel
from tests.support.live_server import ROOT

_PACKAGES = ("storage", "engine", "handlers", "server")
_METHODS = {"of", "change", "remove"}
_COLUMNS = {"tenant_id", "account_id", "environment", "owner", "webhook_token_hash"}
_BASE = str(ROOT / "storage" / "base.py")
_HERE = __file__

# Functions whose answer is a query that is already kept inside: their callers are the sites.
QUERIES = {
    ("storage/leads.py", "live"),
    ("storage/api_keys.py", "visible"),
    ("storage/conversations.py", "_of_lead"),
    ("storage/conversations.py", "_messages_of"),
    ("storage/imports.py", "_present"),
    ("storage/agent_versions.py", "_of_agent"),
}

Position = tuple[str, int, int]  # file, line, column of the call or comparison


@dataclass(frozen=True)
class Site:
    """One place: its file, its function, the source of its call, and the how manieth of these in that function."""

    file: str
    function: str
    source: str
    number: int
    line: int
    column: int

    @property
    def name(self) -> str:
        """What it is called in lists of sites; the same wherever in the file it stands."""
        again = f" #{self.number}" if self.number > 1 else ""
        return f"{self.file} {self.function}: {self.source}{again}"

    @property
    def position(self) -> Position:
        """Where a frame that calls from here stands."""
        return str(ROOT / self.file), self.line, self.column


def all_sites() -> list[Site]:
    """Every site of the product, in the order of the source."""
    for module in pkgutil.iter_modules(storage.__path__, "storage."):
        importlib.import_module(module.name)
    models = {model.__name__ for model in _below(TenantModel) | _below(AccountModel)}
    return [
        site
        for package in _PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if str(path) != _BASE
        for site in _sites_of(path, models)
    ]


def _below(model: type) -> set[type]:
    return {each for child in model.__subclasses__() for each in {child} | _below(child)}


def _sites_of(path: Path, models: set[str]) -> Iterator[Site]:
    file = str(path.relative_to(ROOT))
    seen: Counter[tuple[str, str]] = Counter()
    queries = {name for home, name in QUERIES if home == file or not name.startswith("_")}
    for function, node in _within(ast.parse(path.read_text()), ""):
        is_site = _is_comparison(node) or ((file, function) not in QUERIES and _is_query(node, models, queries))
        if not is_site:
            continue
        source = " ".join(ast.unparse(node).split())
        seen[function, source] += 1
        yield Site(file, function, source, seen[function, source], node.lineno, node.col_offset)


def _within(node: ast.AST, function: str) -> Iterator[tuple[str, ast.expr]]:
    for child in ast.iter_child_nodes(node):
        inner = function
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = f"{function}.{child.name}".lstrip(".")
        if isinstance(child, ast.expr):
            yield function, child
        yield from _within(child, inner)


def _is_query(node: ast.expr, models: set[str], queries: set[str]) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=model), attr=method)) if model in models:
            return method in _METHODS
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in queries
    return False


def _is_comparison(node: ast.expr) -> bool:
    """Whether a column that says whose a row is must equal something here."""
    match node:
        case ast.Compare(left=ast.Attribute(value=ast.Name(id=model), attr=column), ops=[ast.Eq()]):
            return column in _COLUMNS and model[:1].isupper()
    return False


class Reached:
    """The sites that queries come from, as they are made; and one site whose condition is dropped."""

    def __init__(self) -> None:
        self.positions: set[Position] = set()
        self.dropped: Position | None = None

    def keeps(self, position: Position) -> bool:
        """Note that a query is made here; False where its condition shall not be in it."""
        self.positions.add(position)
        return position != self.dropped


class _Forgetful(dict[Any, Any]):
    """Has statements built anew each time, so that each time their conditions are asked for."""

    def __setitem__(self, key: Any, value: Any) -> None: ...


@contextmanager
def watched() -> Iterator[Reached]:
    """Every tenant condition passes through here as long as this is open."""
    reached = Reached()
    owned, of_account, equals = base.owned, AccountModel.of.__func__, Field.__eq__  # type: ignore[attr-defined]

    def watched_owned(model: Any, tenant: Any) -> Any:
        return owned(model, tenant) if reached.keeps(_caller(sys._getframe(1))) else SQL("1 = 1")

    def watched_of_account(cls: Any, account_id: str) -> Any:
        if reached.keeps(_caller(sys._getframe(1))):
            return of_account(cls, account_id)
        return ModelSelect(cls, cls._meta.sorted_fields)

    def watched_equals(column: Any, value: Any) -> Expression | SQL:
        frame = sys._getframe(1)
        is_ours = column.name in _COLUMNS and frame.f_code.co_filename.startswith(str(ROOT / "storage"))
        if not is_ours or frame.f_code.co_filename == _BASE or reached.keeps(_position(frame)):
            return equals(column, value)
        return SQL("1 = 1")

    with (
        mock.patch.object(statements, "_built", _Forgetful()),
        mock.patch.object(base, "owned", watched_owned),
        mock.patch.object(AccountModel, "of", classmethod(watched_of_account)),
        mock.patch.object(Field, "__eq__", watched_equals),
    ):
        yield reached


def _caller(frame: FrameType) -> Position:
    """Where the query is made: outside storage/base.py and the functions whose answer is a query."""
    current: FrameType | None = frame
    while current is not None:
        file = current.f_code.co_filename
        if file not in (_BASE, _HERE) and (_relative(file), current.f_code.co_name) not in QUERIES:
            return _position(current)
        current = current.f_back
    raise AssertionError("a query comes from nowhere")


def _relative(file: str) -> str:
    return file.removeprefix(f"{ROOT}/")


def _position(frame: FrameType) -> Position:
    places: Any = list(frame.f_code.co_positions())
    line, _, column, _ = places[frame.f_lasti // 2]
    return frame.f_code.co_filename, line, column
