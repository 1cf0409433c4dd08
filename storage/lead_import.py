"""Rows of an imported file as leads: some hundred at a time, with a handful of statements.

Every row is decided on in memory, in order, and sees what the rows before it made; so it makes no difference where a
chunk ends. A row means the lead with its phone; without a phone, the oldest one with its email; without either, the one
with its external id. A row that means nobody so, yet bears a known external id, means the lead of that id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import clock
from .database import transaction
from .errors import Blocked, Conflict
from .imports import ImportBatch, Outcome, RefusedRow
from .lead_bulk import write
from .leads import (
    Lead,
    LeadChanges,
    LeadCounter,
    NewLead,
    build,
    change,
    enter,
    has_email,
    has_phone,
    live,
    locked,
    move_counter,
)
from .tenancy import Tenant

SOURCE = "import"  # of a lead whose row names none


@dataclass(frozen=True, slots=True)
class ImportRow:
    """A row that can become a lead: its number, and what it says; what is empty in the file is not said."""

    row: int
    says: LeadChanges


def store(tenant: Tenant, batch: ImportBatch, rows: Sequence[ImportRow]) -> Outcome:
    """Create a lead for every row that means nobody yet; skip or update, as the batch says, for one that does."""
    outcome = Outcome()
    if rows:
        with transaction():
            enter(tenant)
            plan = _Plan(tenant, batch, _candidates(tenant, rows, take=batch.on_duplicate == "update"))
            for each in rows:
                plan.take(each, outcome)
            plan.carry_out()
    return outcome


class _Plan:
    """The leads that some rows mean, as they will be."""

    def __init__(self, tenant: Tenant, batch: ImportBatch, known: Sequence[Lead]) -> None:
        self.tenant = tenant
        self.batch = batch
        self.moment = clock.stamp()
        self.next_number = LeadCounter.get_by_id(tenant.id).last_number + 1  # nobody else counts on: we have entered
        self.before = {lead.number: (lead.phone, lead.external_id) for lead in known}
        self.by_phone: dict[str, Lead] = {}
        self.by_email: dict[str, list[Lead]] = {}
        self.by_external_id: dict[str, Lead] = {}
        self.written: dict[int, Lead] = {}
        for lead in known:
            self._enlist(lead)

    def take(self, item: ImportRow, outcome: Outcome) -> None:
        """Decide what becomes of a row."""
        try:
            lead = self._meant(item.says)
            if lead is None:
                self._create(item.says)
                outcome.imported += 1
            elif self.batch.on_duplicate == "skip":
                outcome.skipped += 1
            else:
                self._update(lead, item.says)
                outcome.updated += 1
        except (Blocked, Conflict) as error:
            outcome.refused.append(RefusedRow(item.row, error.message))

    def carry_out(self) -> None:
        """Count the new leads and write all that changed."""
        made = sum(lead.id is None for lead in self.written.values())
        if made:
            move_counter(self.tenant, numbers=made, leads=made)
        self._release()
        write(self.tenant, list(self.written.values()))

    def _meant(self, says: LeadChanges) -> Lead | None:
        namesake = self.by_external_id.get(says.get("external_id") or "")
        if "phone" in says:
            return self.by_phone.get(says["phone"]) or namesake
        alike = self.by_email.get(says.get("email", "").lower(), [])
        if namesake in alike:
            return namesake
        return min(alike, key=lambda lead: lead.number, default=namesake)

    def _create(self, says: LeadChanges) -> None:
        values: dict[str, Any] = {"source": SOURCE, **says, "tags": self._tags(says)}
        lead = build(self.tenant, NewLead(**values, import_batch_id=self.batch.oid), self.moment)
        lead.number = self.next_number
        self.next_number += 1
        self.written[lead.number] = lead
        self._enlist(lead)

    def _update(self, lead: Lead, says: LeadChanges) -> None:
        if self.by_external_id.get(says.get("external_id") or "", lead) is not lead:
            raise Conflict("duplicate_external_id", "The external id belongs to another lead than the row means")
        self._strike(lead)
        try:
            if change(lead, {**says, "tags": [*lead.tags, *self._tags(says)]}, self.moment):
                self.written[lead.number] = lead
        finally:
            self._enlist(lead)

    def _tags(self, says: LeadChanges) -> list[str]:
        return [*self.batch.tags, *says.get("tags", ())]

    def _enlist(self, lead: Lead) -> None:
        if lead.phone:
            self.by_phone[lead.phone] = lead
        if lead.email:
            self.by_email.setdefault(lead.email.lower(), []).append(lead)
        if lead.external_id:
            self.by_external_id[lead.external_id] = lead

    def _strike(self, lead: Lead) -> None:
        self.by_phone.pop(lead.phone, None)
        self.by_external_id.pop(lead.external_id or "", None)
        if lead.email:
            self.by_email[lead.email.lower()].remove(lead)

    def _release(self) -> None:
        """Let go of phones and ids that move from lead to lead, for no moment may see one with two owners."""
        moved = [
            number
            for number, lead in self.written.items()
            if number in self.before and self.before[number] != (lead.phone, lead.external_id)
        ]
        if moved:
            let_go = {Lead.phone: "", Lead.external_id: None}
            Lead.change(self.tenant, let_go).where(Lead.number.in_(moved)).execute()


def _candidates(tenant: Tenant, rows: Sequence[ImportRow], *, take: bool) -> list[Lead]:
    """The leads that a row may mean; with `take` nobody else changes them meanwhile.

    A query for each way to know a lead, each by its own index; only then are the rows taken, in one order.
    """
    says = [each.says for each in rows]
    phones = {each["phone"] for each in says if "phone" in each}
    emails = {each["email"] for each in says if "email" in each and "phone" not in each}
    external_ids = {each["external_id"] for each in says if each.get("external_id")}
    numbers: set[int] = set()
    for keys, known in (
        (phones, has_phone(phones)),
        (emails, has_email(emails)),
        (external_ids, Lead.external_id.in_(list(external_ids))),
    ):
        if keys:
            found: Any = live(tenant, Lead.number).where(known).tuples()
            numbers |= {number for (number,) in found}
    if not numbers:
        return []
    query = live(tenant).where(Lead.number.in_(sorted(numbers))).order_by(Lead.number)
    return list(locked(query) if take else query)
