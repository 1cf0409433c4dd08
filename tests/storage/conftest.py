"""What looks at an audit chain as somebody does who can write into the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine import audit as chain
from storage import database as db
from storage.audit_chain import Broken
from storage.tenancy import Tenant


@pytest.fixture
def by_hand(database: Any) -> Callable[..., Any]:
    """Runs SQL behind newleaf's back."""

    def run(sql: str, *values: Any) -> list[Any]:
        done = database.execute_sql(sql.replace("?", database.param), values)
        return done.fetchall() if done.description else []

    return run


@pytest.fixture
def broken(tenant: Tenant) -> Callable[[], Broken | None]:
    """Where the account's chain is broken, None if it holds."""
    return lambda: chain.verify(tenant.account_id).first_broken


@pytest.fixture
def try_out(by_hand: Callable[..., Any], broken: Callable[[], Broken | None]) -> Callable[..., Broken | None]:
    """Where the chain is broken after this SQL, which is taken back."""

    def run(sql: str, *values: Any) -> Broken | None:
        with db.database.atomic() as trial:
            by_hand(sql, *values)
            found = broken()
            trial.rollback()
        return found

    return run
