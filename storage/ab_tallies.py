"""Who was drawn for which variant of an A/B test, and what became of it.

A variant is tallied in the transactions that change the facts, so results never count history. Its tally may be spread
over several rows whose sum is meant: a transaction takes one that nobody holds, so writers neither wait nor deadlock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from peewee import BigIntegerField, IntegerField, ModelSelect, TextField, fn

from . import clock
from .ab_tests import AbTest, AbVariant, kept
from .base import TenantModel
from .database import is_sqlite
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


def of_lead(tenant: Tenant, test: AbTest, lead_number: int) -> AbAssignment | None:
    """What this lead was drawn for in this test, None if it was not drawn yet."""
    query = AbAssignment.of(tenant).where((AbAssignment.test_id == test.id) & (AbAssignment.lead_number == lead_number))
    found: AbAssignment | None = query.first()
    return found


def assign(tenant: Tenant, variant: AbVariant, lead_number: int) -> None:
    """Write down that a held lead was drawn for this variant and is exposed to it, in the caller's transaction."""
    AbAssignment.add(
        tenant,
        test_id=variant.test_id,
        variant_id=variant.id,
        lead_number=lead_number,
        created_at=clock.stamp(),
    )
    _count(tenant, variant.id, leads=1)


def note_conversation(tenant: Tenant, assignment: AbAssignment) -> None:
    """Count a conversation that the variant's agent opened with a lead that was drawn for it."""
    _count(tenant, assignment.variant_id, conversations=1)


def note_message(tenant: Tenant, assignment_id: int, duration_ms: int) -> None:
    """Count a message of such a conversation, which has lasted that much longer."""
    assignment = _held(tenant, assignment_id)
    if assignment is not None:
        _count(tenant, assignment.variant_id, messages=1, duration_ms=duration_ms)


def note_verdict(
    tenant: Tenant, assignment_id: int, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> None:
    """Count that the verdict on the lead of such a conversation changed; the caller holds the lead."""
    qualified = _says(after, qualified=True) - _says(before, qualified=True)
    disqualified = _says(after, qualified=False) - _says(before, qualified=False)
    assignment = _held(tenant, assignment_id) if qualified or disqualified else None
    if assignment is None:
        return
    earlier = assignment.qualified_conversations
    assignment.store(qualified_conversations=earlier + qualified)
    qualified_leads = (earlier + qualified > 0) - (earlier > 0)
    _count(
        tenant,
        assignment.variant_id,
        qualified=qualified,
        disqualified=disqualified,
        qualified_leads=qualified_leads,
    )


def _says(verdict: Mapping[str, Any] | None, *, qualified: bool) -> int:
    return int(verdict is not None and bool(verdict["qualified"]) is qualified)


def _held(tenant: Tenant, assignment_id: int) -> AbAssignment | None:
    """The assignment, which is not deleted before the caller's transaction ends; None if its test is gone."""
    found: AbAssignment | None = kept(AbAssignment.of(tenant).where(AbAssignment.id == assignment_id)).first()
    return found


def _count(tenant: Tenant, variant_id: int, **moved: int) -> None:
    free: Any = ModelSelect(AbTally, [AbTally.id]).where(AbTally.variant_id == variant_id).order_by(AbTally.id).limit(1)
    if not is_sqlite():
        free = free.for_update(skip_locked=True)
    columns = {AbTally._meta.fields[name]: amount for name, amount in moved.items()}
    sums = {column: column + amount for column, amount in columns.items()}
    if not AbTally.change(tenant, sums).where(AbTally.id == free).execute():
        AbTally.add(tenant, variant_id=variant_id, **moved)


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
