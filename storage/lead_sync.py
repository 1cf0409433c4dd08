"""Lead sync: create or update many leads at once as a CRM has them, with a handful of statements instead of hundreds.

Each item is decided on in memory, in order, against the leads that were found for the whole batch; so a later item
sees what an earlier one made. Then everything is written at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from . import audit, clock
from .database import transaction
from .errors import Blocked, Conflict
from .leads import Lead, NewLead, build, change, enter, has_email, has_phone, live, locked, move_counter, write
from .sync_items import SyncItem, SyncRefusal
from .tenancy import Actor, Tenant

Verb = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True, slots=True)
class SyncOutcome:
    """What became of a good item; `number` is None for a lead that would have been created."""

    index: int
    lead_id: str | None
    verb: Verb
    number: int | None


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
        plan = _Plan(tenant, _candidates(tenant, items, take=not validate_only), source)
        decided = [plan.take(item) for item in items]
        if not validate_only:
            plan.carry_out()
            _audit(tenant, actor, source, decided)
    refused = [each for each in decided if isinstance(each, SyncRefusal)]
    done = [
        SyncOutcome(item.index, item.lead_id, each[0], each[1].number or None)
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

    def __init__(self, tenant: Tenant, known: list[Lead], source: str) -> None:
        self.tenant = tenant
        self.source = source
        self.moment = clock.stamp()
        self.leads = known
        self.phones_before = {lead.number: lead.phone for lead in known}
        self.by_external_id = {lead.external_id: lead for lead in known if lead.external_id}
        self.by_phone = {lead.phone: lead for lead in known if lead.phone}
        self.written: dict[int, Lead] = {}  # by identity: new leads have no number yet

    def take(self, item: SyncItem) -> tuple[Verb, Lead] | SyncRefusal:
        """Decide what becomes of an item."""
        try:
            lead = self._meant(item)
            if lead is None:
                return "created", self._create(item)
            return ("updated" if self._update(lead, item) else "unchanged"), lead
        except (Blocked, Conflict) as error:
            return SyncRefusal(item.index, item.lead_id, error.code, error.message)

    def carry_out(self) -> None:
        """Number the new leads and write all that changed."""
        new = [lead for lead in self.written.values() if not lead.number]
        if new:
            first = move_counter(self.tenant, numbers=len(new), leads=len(new)) - len(new) + 1
            for number, lead in enumerate(new, first):
                lead.number = number
        self._release_phones()
        write(self.tenant, list(self.written.values()))

    def _release_phones(self) -> None:
        """Let go of phones that move from lead to lead, for no moment may see one with two owners."""
        moved = [
            lead.number
            for lead in self.written.values()
            if self.phones_before.get(lead.number) not in (None, "", lead.phone)
        ]
        if moved:
            Lead.change(self.tenant, {Lead.phone: ""}).where(Lead.number.in_(moved)).execute()

    def _meant(self, item: SyncItem) -> Lead | None:
        holder = self.by_phone.get(item.says.get("phone", ""))
        if item.lead_id is None:
            return holder or self._by_email(item.says.get("email", ""))
        known = self.by_external_id.get(item.lead_id)
        if holder is not None and holder is not known and (known is not None or holder.external_id):
            raise Conflict("phone_conflict", "The phone belongs to another lead")
        return known or holder

    def _by_email(self, email: str) -> Lead | None:
        same = (lead for lead in self.leads if email and lead.email.casefold() == email.casefold())
        return next(same, None)

    def _create(self, item: SyncItem) -> Lead:
        lead = build(self.tenant, NewLead(source=self.source, external_id=item.lead_id), self.moment)
        change(lead, item.says, self.moment)
        self.leads.append(lead)
        self._note(lead)
        return lead

    def _update(self, lead: Lead, item: SyncItem) -> bool:
        phone = lead.phone
        says = item.says.copy()
        if item.lead_id is not None:
            says["external_id"] = item.lead_id
        if not change(lead, says, self.moment):
            return False
        self.by_phone.pop(phone, None)
        self._note(lead)
        return True

    def _note(self, lead: Lead) -> None:
        self.written[id(lead)] = lead
        if lead.phone:
            self.by_phone[lead.phone] = lead
        if lead.external_id:
            self.by_external_id[lead.external_id] = lead


def _candidates(tenant: Tenant, items: Sequence[SyncItem], *, take: bool) -> list[Lead]:
    """The leads that an item may mean, oldest first; with `take` nobody else changes them meanwhile.

    A query for each way to know a lead: of one that joins them SQLite would read the whole table.
    """
    external_ids = {item.lead_id for item in items if item.lead_id}
    phones = {item.says["phone"] for item in items if "phone" in item.says}
    emails = {item.says["email"] for item in items if "email" in item.says and item.lead_id is None}
    found: dict[int, Lead] = {}
    for keys, known in (
        (external_ids, Lead.external_id.in_(list(external_ids))),
        (phones, has_phone(phones)),
        (emails, has_email(emails)),
    ):
        if keys:
            query = live(tenant).where(known)
            found |= {lead.number: lead for lead in (locked(query) if take else query)}
    return [found[number] for number in sorted(found)]


def _audit(tenant: Tenant, actor: Actor, source: str, decided: Sequence[tuple[Verb, Lead] | SyncRefusal]) -> None:
    verbs = Counter("failed" if isinstance(each, SyncRefusal) else each[0] for each in decided)
    if verbs["created"] or verbs["updated"]:
        counts = {verb: verbs[verb] for verb in ("created", "updated", "unchanged", "failed")}
        audit.record(tenant, actor, "leads.synced", tenant.account_id, {"source": source, **counts})
