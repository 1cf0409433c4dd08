"""Lead sync: create or update many leads at once as a CRM has them, with a handful of statements instead of hundreds.

Each item is decided on in memory, in order, against the leads that were found for the whole batch; so a later item
sees what an earlier one made. Then everything is written at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any, Literal

from msgspec import Struct
from peewee import SQL, fn

from . import audit, clock, lead_aliases, lead_bulk, lead_changes, lead_rows
from .database import transaction
from .errors import Blocked, Conflict
from .lead_drafts import LeadDraft, of_row, selected, stored_columns
from .leads import Lead, differing, enter, live, locked, move_counter
from .lists import as_parameter, one_of
from .statements import ANY_TENANT, slot, statement
from .sync_items import SyncItem, SyncRefusal
from .tenancy import Actor, Tenant

Verb = Literal["created", "updated", "unchanged"]


class SyncOutcome(Struct, frozen=True, gc=False, omit_defaults=True, rename={"verb": "outcome", "number": "id"}):
    """What became of a good item, as it is answered; `number` is None for a lead that would have been created."""

    index: int
    verb: Verb
    lead_id: str | None = None
    number: int | None = None


def sync(
    tenant: Tenant, items: Sequence[SyncItem], *, source: str, actor: Actor, validate_only: bool = False
) -> tuple[list[SyncOutcome], list[SyncRefusal]]:
    """Create or update a lead for each item; what became of the good ones, and the refused ones.

    Matched by `lead_id` (the external id), without one by phone, then by email. A phone whose lead has no external id
    is adopted, another's is refused (`phone_conflict`). source: of the leads created. validate_only: write nothing.
    """
    with transaction():
        if not validate_only:
            enter(tenant)
        aliases = lead_aliases.by_external_id(tenant, [item.lead_id for item in items if item.lead_id])
        plan = _Plan(_candidates(tenant, items, take=not validate_only), aliases)
        decided = [plan.take(item) for item in items]
        if not validate_only:
            plan.carry_out(tenant, source)
            _audit(tenant, actor, source, decided)
            lead_rows.tell_all(tenant, [lead.number for lead in plan.new], plan.changed, plan.judged)
    refused = [each for each in decided if isinstance(each, SyncRefusal)]
    done = [
        SyncOutcome(item.index, each[0], item.lead_id, each[1].number or None)
        for item, each in zip(items, decided, strict=True)
        if not isinstance(each, SyncRefusal)
    ]
    return done, refused


def delete(tenant: Tenant, lead_ids: Iterable[str], actor: Actor) -> int:
    """Hide the leads with these external ids, as `leads.delete` does one; returns how many there were."""
    with transaction():
        enter(tenant)
        chosen = (Lead.external_id.in_(list(set(lead_ids)))) & Lead.deleted_at.is_null()
        deleted = Lead.change(tenant, {Lead.deleted_at: clock.stamp()}).where(chosen).execute()
        if deleted:
            move_counter(tenant, leads=-deleted)
            audit.record(tenant, actor, "leads.deleted", tenant.account_id, {"deleted": deleted})
    return int(deleted)


class _Plan:
    """The leads of a batch as they will be."""

    def __init__(self, known: list[LeadDraft], aliases: Mapping[str, int]) -> None:
        self.leads = known
        self.phones_before = {lead.number: lead.phone for lead in known}
        by_number = {lead.number: lead for lead in known}
        self.by_external_id = {name: by_number[number] for name, number in aliases.items() if number in by_number}
        self.by_external_id |= {lead.external_id: lead for lead in known if lead.external_id}
        self.by_phone = {lead.phone: lead for lead in known if lead.phone}
        self.by_email: dict[str, LeadDraft] | None = None
        self.new: list[LeadDraft] = []
        self.changed: dict[int, LeadDraft] = {}
        self.judged: set[int] = set()  # of these, those whose status differs
        self.columns: set[str] = set()  # that differ in any of those that are changed

    def take(self, item: SyncItem) -> tuple[Verb, LeadDraft] | SyncRefusal:
        """Decide what becomes of an item."""
        try:
            lead = self._meant(item)
            if lead is None:
                return "created", self._create(item)
            return ("updated" if self._update(lead, item) else "unchanged"), lead
        except (Blocked, Conflict) as refusal:
            return SyncRefusal(item.index, refusal.code, refusal.message, item.lead_id)

    def carry_out(self, tenant: Tenant, source: str) -> None:
        """Write what was decided. Raises Conflict."""
        moment = clock.stamp()
        if self.changed:
            self._release_phones(tenant)
            columns = stored_columns(self.columns)
            lead_changes.store(
                tenant, columns, [(lead.number, *lead.values(columns, moment)) for lead in self.changed.values()]
            )
        if self.new:
            count = len(self.new)
            first = move_counter(tenant, numbers=count, leads=count) - count + 1
            for number, lead in enumerate(self.new, first):
                lead.number = number
            lead_bulk.write_new(tenant, [lead.as_new(source, moment) for lead in self.new])

    def _release_phones(self, tenant: Tenant) -> None:
        """Let go of phones that move from lead to lead, for no moment may see one with two owners."""
        moved = [number for number, lead in self.changed.items() if self.phones_before[number] not in ("", lead.phone)]
        if moved:
            Lead.change(tenant, {Lead.phone: ""}).where(Lead.number.in_(moved)).execute()

    def _meant(self, item: SyncItem) -> LeadDraft | None:
        holder = self.by_phone.get(item.says.get("phone", ""))
        if item.lead_id is None:
            return holder or self._by_email(item.says.get("email", ""))
        known = self.by_external_id.get(item.lead_id)
        if holder is not None and holder is not known and (known is not None or holder.external_id):
            raise Conflict("phone_conflict", "The phone belongs to another lead")
        return known or holder

    def _by_email(self, email: str) -> LeadDraft | None:
        """The first of the leads with this email."""
        if self.by_email is None:
            self.by_email = {lead.email.casefold(): lead for lead in reversed(self.leads)}
        return self.by_email.get(email.casefold()) if email else None

    def _create(self, item: SyncItem) -> LeadDraft:
        lead = LeadDraft(external_id=item.lead_id)
        self._say(lead, differing(lead, item.says))
        self.leads.append(lead)
        self.new.append(lead)
        return lead

    def _update(self, lead: LeadDraft, item: SyncItem) -> bool:
        is_new = item.lead_id is not None and not lead.external_id  # another than its own is of a lead merged into it
        says = {**item.says, "external_id": item.lead_id} if is_new else item.says
        different = differing(lead, says)
        if not different:
            return False
        self._say(lead, different)
        if lead.number:
            self.changed[lead.number] = lead
            self.columns.update(different)
            if "status" in different:
                self.judged.add(lead.number)
        return True

    def _say(self, lead: LeadDraft, different: dict[str, Any]) -> None:
        if "phone" in different:
            self.by_phone.pop(lead.phone, None)
        for column, value in different.items():
            setattr(lead, column, value)
        if lead.phone:
            self.by_phone[lead.phone] = lead
        if lead.external_id:
            self.by_external_id[lead.external_id] = lead
        if "email" in different:
            self.by_email = None


def _candidates(tenant: Tenant, items: Sequence[SyncItem], *, take: bool) -> list[LeadDraft]:
    """The leads that an item may mean, oldest first; with `take` nobody else changes them meanwhile."""
    finding = statement(("lead_sync.candidates", take), lambda: locked(_meant()) if take else _meant())
    found = finding.run(
        {
            "tenant": tenant.id,
            "external_ids": as_parameter([item.lead_id for item in items if item.lead_id]),
            "phones": as_parameter([item.says["phone"] for item in items if "phone" in item.says]),
            "emails": as_parameter(
                [item.says["email"] for item in items if item.lead_id is None and "email" in item.says]
            ),
        }
    )
    return [of_row(row) for row in found.fetchall()]


def _meant() -> Any:
    ways = (
        one_of(Lead.external_id, slot("external_ids")),
        one_of(Lead.phone, slot("phones")) & (Lead.phone != SQL("''")),  # in the words of the unique index
        one_of(fn.LOWER(Lead.email), slot("emails"), lowered=True),
    )
    numbers = reduce(add, [live(ANY_TENANT, Lead.number).where(way) for way in ways])  # each by its own index
    numbers += lead_aliases.numbers_by(slot("external_ids"))
    return live(ANY_TENANT, *selected()).where(Lead.number.in_(numbers)).order_by(Lead.number)


def _audit(tenant: Tenant, actor: Actor, source: str, decided: Sequence[tuple[Verb, LeadDraft] | SyncRefusal]) -> None:
    verbs = Counter("failed" if isinstance(each, SyncRefusal) else each[0] for each in decided)
    if verbs["created"] or verbs["updated"]:
        counts = {verb: verbs[verb] for verb in ("created", "updated", "unchanged", "failed")}
        audit.record(tenant, actor, "leads.synced", tenant.account_id, {"source": source, **counts})
