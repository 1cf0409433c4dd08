"""Text as people compare it: without regard to case, alike in Python, SQLite and PostgreSQL."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from typing import Any

from peewee import Database, Expression, SqliteDatabase, fn

from .database import database, is_sqlite

NAME_KEY_LENGTH = 100  # more decides no order anybody looks at, and it must fit into a cursor and an index


def fold(text: str) -> str:
    """The text without its case: "STRASSE", "Straße" and "strasse" become one."""
    return text.casefold()


def search_key(text: str) -> str:
    """What a search compares: folded, compatible forms of a character united, white space one space."""
    if text.isascii():  # most are, and nothing in them has another form
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKC", fold(unicodedata.normalize("NFKC", text)))
    return " ".join(folded.split())


def name_key(name: str) -> str:
    """What a name is sorted by."""
    return search_key(name)[:NAME_KEY_LENGTH]


def search_text(values: Iterable[str]) -> str:
    """All that can be searched of one lead: a line for each value, with a line break before and after each."""
    keys = filter(None, map(search_key, values))
    return "".join(f"\n{key}" for key in keys) + "\n"


def custom_text(value: Any) -> str:
    """A custom field's value as it is kept: text as it is, numbers and booleans as their JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def holds(text: Any, part: Any) -> Expression:
    """The SQL condition that `text` has `part` in it, case and all; no character of `part` is a wildcard."""
    position = fn.INSTR if is_sqlite() else fn.STRPOS
    found: Expression = position(text, part) > 0
    return found


def holds_folded(text: Any, part: str) -> Expression:
    """The SQL condition that `text` has `part` in it, whatever the case."""
    return holds(fn.newleaf_fold(text), fn.newleaf_fold(part))


def _teach(engine: Database | None) -> None:
    """SQLite folds only ASCII by itself; PostgreSQL has the function of this name from the migration."""
    if isinstance(engine, SqliteDatabase):
        engine.register_function(
            lambda text: None if text is None else fold(text), "newleaf_fold", 1, deterministic=True
        )


database.attach_callback(_teach)
_teach(database.obj)
