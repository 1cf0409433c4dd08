"""What every command does first: read the settings and connect, and say in one line what is wrong with either."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .settings import Settings

_CONNECT_TIMEOUT_S = "10"  # libpq would wait for minutes


class SettingsWrong(click.ClickException):
    """A setting cannot be used as it is; the message names it, never its value."""

    exit_code = 2


def read() -> Settings:
    """The settings of this process. Raises SettingsWrong, which names every setting that cannot be read."""
    from pydantic import ValidationError

    from .settings import settings

    try:
        return settings()
    except ValidationError as error:
        problems = [f"NEWLEAF_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors()]
        raise SettingsWrong("; ".join(problems)) from None


@contextlib.contextmanager
def said_plainly() -> Iterator[None]:
    """Raises ClickException in place of what the settings, the database and the queue raise inside."""
    import sqlite3

    import psycopg
    from peewee import PeeweeException

    try:
        yield
    except ValueError as error:
        raise SettingsWrong(_line(error)) from None
    except (PeeweeException, sqlite3.Error, psycopg.Error) as error:
        raise click.ClickException(f"The database cannot be used: {_line(error)}") from None


def connect() -> Settings:
    """The settings, with this process connected to their database, whatever its schema. Raises ClickException."""
    from storage import database

    chosen = read()
    os.environ.setdefault("PGCONNECT_TIMEOUT", _CONNECT_TIMEOUT_S)
    with said_plainly():
        database.connect(chosen.database_url, pool_size=chosen.database_pool)
    return chosen


def migrated() -> Settings:
    """The same, once its schema is known to be the one that this code was written for. Raises ClickException."""
    from storage import migrate

    chosen = connect()
    with said_plainly():
        missing = migrate.pending()
    if missing:
        raise click.ClickException(f"The database lacks {', '.join(missing)}: run `newleaf migrate`")
    return chosen


def ready() -> Settings:
    """The same, with queue and models at hand too: this process can work. Raises ClickException."""
    chosen = migrated()  # first: it fails fast, the application takes a while to load
    from storage import database

    from . import app

    database.database.close_all()
    with said_plainly():
        app.prepare(chosen)
    return chosen


def release() -> None:
    """Let go of database and queue, for a process that was only to see whether they are there."""
    from engine.jobs import doorbell
    from storage import database

    doorbell.close()
    database.database.close_all()


def _line(error: Exception) -> str:
    text = str(error.args[0]) if error.args else type(error).__name__
    return " ".join(text.split())[:500]
