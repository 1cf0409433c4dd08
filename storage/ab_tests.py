"""A/B tests: agents that are compared on leads of one kind, and the weights by which these are spread over them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from peewee import SQL, BigIntegerField, DoubleField, IntegerField, IntegrityError, TextField

from . import clock
from .base import TenantModel
from .errors import Conflict, NotFound
from .ids import new_id
from .leads import locked
from .paging import paginate
from .tenancy import Tenant

RUNNING = SQL("'running'")  # a literal, as in the index that lets a tenant have one of them


class AbTest(TenantModel):
    """draft → running ⇄ paused → completed; of a tenant's tests one at most is running."""

    oid = TextField()
    name = TextField()
    description = TextField(null=True)
    status = TextField(default="draft")
    started_at = TextField(null=True)
    completed_at = TextField(null=True)
    created_at = TextField()
    updated_at = TextField()


class AbVariant(TenantModel):
    """An agent in a test, with its name when it was put there: the agent may be gone when the test is looked at."""

    test_id = BigIntegerField()
    position = IntegerField()
    agent_config_id = TextField()
    agent_name = TextField()
    weight = DoubleField()


class NewVariant(NamedTuple):
    """What a variant is made of; weight is any positive number."""

    agent_config_id: str
    agent_name: str
    weight: float


def get(tenant: Tenant, oid: str) -> AbTest:
    """The test with this id. Raises NotFound, for another tenant's test too."""
    return _found(AbTest.of(tenant).where(AbTest.oid == oid).first())


def lock(tenant: Tenant, oid: str) -> AbTest:
    """The test with this id, held until the caller's transaction ends. Raises NotFound."""
    return _found(locked(AbTest.of(tenant).where(AbTest.oid == oid)).first())


def _found(test: AbTest | None) -> AbTest:
    if test is None:
        raise NotFound("ab_test_not_found", "A/B test not found")
    return test


def running(tenant: Tenant) -> AbTest | None:
    """The tenant's running test."""
    found: AbTest | None = AbTest.of(tenant).where(AbTest.status == RUNNING).first()
    return found


def page(
    tenant: Tenant, *, status: str | None = None, limit: int, skip: int = 0, cursor: str | None = None
) -> tuple[list[AbTest], int, str | None]:
    """A page of tests, the newest first: (tests, how many there are, cursor of the next page or None)."""
    query = AbTest.of(tenant)
    if status is not None:
        query = query.where(AbTest.status == status)
    keys = [AbTest.created_at, AbTest.oid]
    rows, following = paginate(query, keys, order="ab_tests", limit=limit, skip=skip, cursor=cursor)
    return rows, query.count(), following


def variants(tenant: Tenant, tests: Iterable[AbTest]) -> dict[int, list[AbVariant]]:
    """The variants of these tests in their order, by the test's row id: one query."""
    ids = [test.id for test in tests]
    query: Any = AbVariant.of(tenant).where(AbVariant.test_id.in_(ids)).order_by(AbVariant.position)
    by_test: dict[int, list[AbVariant]] = defaultdict(list)
    for variant in query if ids else ():
        by_test[variant.test_id].append(variant)
    return by_test


def add(tenant: Tenant, name: str, description: str | None, parts: Sequence[NewVariant]) -> AbTest:
    """Store a new draft with these variants."""
    moment = clock.stamp()
    test = AbTest.add(tenant, oid=new_id(), name=name, description=description, created_at=moment, updated_at=moment)
    _add_variants(tenant, test, parts)
    return test


def replace_variants(tenant: Tenant, test: AbTest, parts: Sequence[NewVariant]) -> None:
    """Give a held draft these variants instead of those that it has."""
    AbVariant.remove(tenant).where(AbVariant.test_id == test.id).execute()
    _add_variants(tenant, test, parts)


def _add_variants(tenant: Tenant, test: AbTest, parts: Sequence[NewVariant]) -> None:
    rows = [{"test_id": test.id, "position": place, **part._asdict()} for place, part in enumerate(parts)]
    columns = AbVariant._meta.fields
    AbVariant.add_all(tenant, [{columns[name]: value for name, value in row.items()} for row in rows]).execute()


def change(test: AbTest, columns: Mapping[str, Any]) -> None:
    """Store these columns of a held test."""
    test.store(**columns, updated_at=clock.stamp())


def set_status(test: AbTest, status: str) -> None:
    """Store the status of a held test, and when it began or ended. Raises Conflict where another one is running."""
    moment = clock.stamp()
    marks = {"running": {"started_at": test.started_at or moment}, "completed": {"completed_at": moment}}
    try:
        test.store(status=status, updated_at=moment, **marks.get(status, {}))
    except IntegrityError as error:  # somebody else was faster
        raise already_running(None) from error


def already_running(other: AbTest | None) -> Conflict:
    """The refusal of a second running test; its id in `details` where it is known."""
    message = "Another A/B test is running. Pause or complete it first."
    return Conflict("ab_test_running", message, details=None if other is None else other.oid)


def delete(tenant: Tenant, test: AbTest) -> None:
    """Remove a held test for good, with its variants, assignments and tallies."""
    AbTest.remove(tenant).where(AbTest.id == test.id).execute()


def are_using(tenant: Tenant, agent_config_id: str) -> bool:
    """Whether this agent is in a test that is not completed."""
    query = (
        AbVariant.of(tenant, AbVariant.id)
        .join(AbTest, on=(AbTest.id == AbVariant.test_id))
        .where((AbVariant.agent_config_id == agent_config_id) & (AbTest.status != "completed"))
    )
    return query.first() is not None
