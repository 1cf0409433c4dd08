"""Whether the database can serve: it answers, and its schema is the one that this code was written for."""

from __future__ import annotations

from peewee import PeeweeException
from playhouse.pool import MaxConnectionsExceeded

from . import migrate

AWAY = (PeeweeException, MaxConnectionsExceeded)  # what a database that does not answer raises


def failures() -> dict[str, str]:
    """What is wrong, by the name of the check: `database`, `migrations`; empty where all is well."""
    try:
        pending = migrate.pending()
    except AWAY:
        return {"database": "does not answer"}
    return {"migrations": f"{len(pending)} pending"} if pending else {}
