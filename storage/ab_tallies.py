"""Who was drawn for which variant of an A/B test, and what became of it.

A variant is tallied in the transactions that change the facts, so results never count history.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from peewee import JOIN, BigIntegerField, IntegerField, TextField, fn

from . import clock
from .ab_tests import RUNNING, AbTest, AbVariant
from .base import TenantModel
from .database import is_sqlite
from .leads import locked
from .statements import ANY_TENANT, slot, statement
from .tallies import move
from .tenancy import Tenant


class AbAssignment(TenantModel):
    """A lead that was drawn for a variant, and so is exposed to it: once and for all in this test."""

    test_id = BigIntegerField()
    variant_id = BigIntegerField()
    lead_number = IntegerField()
    qualified_conversations = IntegerField(default=0)
    created_at = TextField()


class AbTally(TenantModel):
    """A part of what became of a variant's leads and of the conversations that it led."""

    variant_id = BigIntegerField()
    leads = BigIntegerField(default=0)
    qualified_leads = BigIntegerField(default=0)  # qualified in one conversation at least
    conversations = BigIntegerField(default=0)
    qualified = BigIntegerField(default=0)
    disqualified = BigIntegerField(default=0)
    messages = BigIntegerField(default=0)
    duration_ms = BigIntegerField(default=0)  # from the start of each conversation to its last message


class Tally(NamedTuple):
    """All that became of a variant; `duration_ms` is the sum over its conversations, from start to last message."""

    leads: int = 0
    qualified_leads: int = 0
    conversations: int = 0
    qualified: int = 0
    disqualified: int = 0
    messages: int = 0
    duration_ms: int = 0


class Offer(NamedTuple):
    """A variant of the running test, and whether a certain lead was drawn for it already."""

    test_id: int
    test_oid: str
    variant_id: int
    agent_config_id: str
    weight: float
    is_taken: bool


def offers(tenant: Tenant, lead_number: int) -> list[Offer]:
    """The variants of the running test in their order, as this lead finds them; none where no test runs.

    The test cannot be deleted before the caller's transaction ends.
    """
    rows = statement("ab_tallies.offers", _offers).run({"tenant": tenant.id, "lead": lead_number})
    return [Offer._make((*columns, assignment_id is not None)) for *columns, assignment_id in rows.fetchall()]


def _offers() -> Any:
    of_variant = (AbAssignment.test_id == AbTest.id) & (AbAssignment.variant_id == AbVariant.id)
    query: Any = (
        AbVariant.of(
            ANY_TENANT,
            AbTest.id,
            AbTest.oid,
            AbVariant.id,
            AbVariant.agent_config_id,
            AbVariant.weight,
            AbAssignment.id,
        )
        .join(AbTest, on=(AbTest.id == AbVariant.test_id))
        .join(AbAssignment, JOIN.LEFT_OUTER, on=(of_variant & (AbAssignment.lead_number == slot("lead"))))
        .where(AbTest.status == RUNNING)
        .order_by(AbVariant.position)
    )
    return query if is_sqlite() else query.for_update("FOR KEY SHARE", of=AbTest)


def assign(tenant: Tenant, test_id: int, variant_id: int, lead_number: int) -> int:
    """Write down that a held lead was drawn for this variant and is exposed to it, in the caller's transaction.

    Returns the assignment's row id.
    """
    assignment = AbAssignment.add(
        tenant,
        test_id=test_id,
        variant_id=variant_id,
        lead_number=lead_number,
        created_at=clock.stamp(),
    )
    _count(tenant, variant_id, leads=1)
    return assignment.id


def note_conversation(tenant: Tenant, test_oid: str, lead_number: int) -> int | None:
    """Count a conversation that is opened with a held lead; the assignment that it belongs to.

    None, and nothing is counted, where that test does not run or the lead was not drawn for it.
    """
    values = {"tenant": tenant.id, "test": test_oid, "lead": lead_number}
    found = statement("ab_tallies.current", _current).run(values).fetchone()
    if found is None:
        return None
    assignment_id, variant_id = found
    _count(tenant, variant_id, conversations=1)
    return int(assignment_id)


def _current() -> Any:
    return (
        AbAssignment.of(ANY_TENANT, AbAssignment.id, AbAssignment.variant_id)
        .join(AbTest, on=(AbTest.id == AbAssignment.test_id))
        .where(
            AbTest.oid == slot("test"),
            AbTest.status == RUNNING,
            AbAssignment.lead_number == slot("lead"),
        )
    )


def note_message(tenant: Tenant, assignment_id: int, duration_ms: int) -> None:
    """Count a message of such a conversation, which has lasted that much longer; nothing if its test is gone."""
    found = statement("ab_tallies.held", _held).run({"tenant": tenant.id, "assignment": assignment_id}).fetchone()
    if found is not None:
        _count(tenant, found[0], messages=1, duration_ms=duration_ms)


def _held() -> Any:
    query: Any = AbAssignment.of(ANY_TENANT, AbAssignment.variant_id).where(AbAssignment.id == slot("assignment"))
    return query if is_sqlite() else query.for_update("FOR KEY SHARE")


def note_verdict(
    tenant: Tenant, assignment_id: int, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> None:
    """Count that the verdict on the lead of such a conversation changed; nothing if its test is gone."""
    qualified = _says(after, qualified=True) - _says(before, qualified=True)
    disqualified = _says(after, qualified=False) - _says(before, qualified=False)
    if not qualified and not disqualified:
        return
    values = {"tenant": tenant.id, "assignment": assignment_id, "moved": qualified}
    found = statement("ab_tallies.judged", _judged).run(values).fetchone()
    if found is not None:
        variant_id, now_qualified = found
        qualified_leads = (now_qualified > 0) - (now_qualified - qualified > 0)
        _count(tenant, variant_id, qualified=qualified, disqualified=disqualified, qualified_leads=qualified_leads)


def _says(verdict: Mapping[str, Any] | None, *, qualified: bool) -> int:
    return int(verdict is not None and bool(verdict["qualified"]) is qualified)


def _judged() -> Any:
    moved = {AbAssignment.qualified_conversations: AbAssignment.qualified_conversations + slot("moved")}
    judged = AbAssignment.change(ANY_TENANT, moved).where(AbAssignment.id == slot("assignment"))
    return judged.returning(AbAssignment.variant_id, AbAssignment.qualified_conversations)


def assignments(tenant: Tenant, lead_numbers: Collection[int]) -> list[AbAssignment]:
    """The variants for which these leads were drawn, in order; held until the caller's transaction ends."""
    query: Any = AbAssignment.of(tenant).where(AbAssignment.lead_number.in_(list(lead_numbers)))
    return list(locked(query.order_by(AbAssignment.id)))


def fold(tenant: Tenant, double: AbAssignment, own: AbAssignment) -> bool:
    """Remove a held assignment, whose lead is one with that of another in the same test from now on.

    Answers whether both are of one variant, so that conversations go over to the other assignment. What another variant
    has said stays counted for it.
    """
    is_same = double.variant_id == own.variant_id
    were_qualified = int(double.qualified_conversations > 0)
    if is_same:
        before = own.qualified_conversations
        own.store(qualified_conversations=before + double.qualified_conversations)
        were_qualified = int(were_qualified and before > 0)
    AbAssignment.remove(tenant).where(AbAssignment.id == double.id).execute()
    _count(tenant, double.variant_id, leads=-1, qualified_leads=-were_qualified)
    return is_same


def _count(tenant: Tenant, variant_id: int, **moved: int) -> None:
    move(tenant, AbTally, "variant_id", variant_id, moved)


def tallies(tenant: Tenant, test: AbTest) -> dict[int, Tally]:
    """What became of each variant of a test, by the variant's row id; a variant without a lead is absent."""
    sums = [fn.COALESCE(fn.SUM(AbTally._meta.fields[name]), 0) for name in Tally._fields]
    query: Any = (
        AbTally.of(tenant, AbTally.variant_id, *sums)
        .join(AbVariant, on=(AbVariant.id == AbTally.variant_id))
        .where(AbVariant.test_id == test.id)
        .group_by(AbTally.variant_id)
        .tuples()
    )
    return {variant_id: Tally(*map(int, found)) for variant_id, *found in query}
