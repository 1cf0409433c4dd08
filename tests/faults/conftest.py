"""Servers to kill, each over a database of its own, and what the storms did to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from storage import accounts, api_keys, database, roles
from storage.tenancy import SYSTEM, Environment
from tests.conftest import SECRET_KEY, migrated, own_database
from tests.faults.house import House
from tests.faults.nursery import MortalServer, MortalWorker, Nursery

_TOLLS: list[tuple[str, Any]] = []


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    born = Nursery()
    yield born
    born.close()


@pytest.fixture
def make_house(
    nursery: Nursery, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., House]]:
    """Sets up an account on a running server over an empty database of this engine; this process is connected to it.

    workers: so many `newleaf worker` run beside the server. serves_only: and none inside it.
    """
    with ExitStack() as stack:

        def make(
            engine: str,
            *,
            environment: Environment = "test",
            workers: int = 0,
            serves_only: bool = False,
            **settings: str,
        ) -> House:
            folder = tmp_path_factory.mktemp("house")
            url = f"sqlite:///{folder}/newleaf.db"
            if engine == "postgres":
                url = own_database(request.getfixturevalue("postgres_url"), "newleaf_faults")
            migrated(url)
            opened = database.connect(url)
            stack.callback(opened.close_all)
            with database.transaction():
                tenant = accounts.tenant_row(accounts.create("Example").id, environment).tenant
                granted = roles.scopes_of(["owner"])
                key = api_keys.issue(tenant, SYSTEM, name="storm", scopes=granted, roles=["owner"]).full_key
            own = {"NEWLEAF_DATABASE_URL": url, "NEWLEAF_RATE_LIMITS": "off", "NEWLEAF_LOG_LEVEL": "error"}
            own["NEWLEAF_SECRET_KEY"] = SECRET_KEY
            mortal = MortalServer(nursery, {**own, **settings}, folder, with_worker=not serves_only)
            server = stack.enter_context(mortal)
            beside = [MortalWorker(nursery, server.settings, folder) for _ in range(workers)]
            return House(server, tenant, key, [stack.enter_context(each) for each in beside])

        yield make


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Has the summary of the run show what a storm did."""

    def add(toll: Any) -> None:
        _TOLLS.append((request.node.name, toll))

    return add


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _TOLLS:
        terminalreporter.section("storms")
        for name, toll in _TOLLS:
            terminalreporter.write_line(f"{name}: {toll}")
