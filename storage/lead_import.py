"""Rows of an imported file as leads: some thousand at a time, with a handful of statements.

Every row is decided on in memory, in order, and sees what the rows before it made; so it makes no difference where a
chunk ends. A row means the lead with its phone; without a phone, the oldest one with its email; without either, the one
with its external id. A row that means nobody so, yet bears a known external id, means the lead of that id.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from peewee import SQL, NodeList, Value, fn

from . import clock, lead_bulk, lead_rows, lead_text
from .database import is_sqlite, transaction
from .errors import Blocked, Conflict
from .imports import ImportBatch, Outcome, RefusedRow
from .leads import (
    MAX_CUSTOM_FIELDS,
    MAX_CUSTOM_NAME_LENGTH,
    MAX_TAGS,
    Lead,
    LeadChanges,
    LeadCounter,
    NewLead,
    build,
    change,
    enter,
    live,
    locked,
    move_counter,
)
from .tenancy import Tenant

SOURCE = "import"  # of a lead whose row names none

_UNEVEN = re.compile(r" \x00|\x00[ \x00]|\A\x00|\x00\Z")  # white space or nothing between what was joined by NUL
_PLACES = [column.name for column in lead_bulk.NEW]
_NUMBER, _CREATED_AT, _UPDATED_AT = map(_PLACES.index, ("number", "created_at", "updated_at"))


class ImportRow(msgspec.Struct, frozen=True):
    """A row that can become a lead: its number, and what it says; what is empty in the file is not said."""

    row: int
    says: LeadChanges
    values: list[Any] | None = None  # of the lead it makes if it means nobody


def prepared(batch: ImportBatch, row: int, says: LeadChanges) -> ImportRow:
    """A row of this batch, made out as far as it can be before the database is asked; to be stored once."""
    return ImportRow(row, says, _values(batch, says))


def store(tenant: Tenant, batch: ImportBatch, rows: Sequence[ImportRow]) -> Outcome:
    """Create a lead for every row that means nobody yet; skip or update, as the batch says, for one that does."""
    outcome = Outcome()
    if rows:
        with transaction(), lead_bulk.modest_memory():
            enter(tenant)
            plan = _Plan(tenant, batch, rows)
            for each in rows:
                plan.take(each, outcome)
            plan.carry_out()
    return outcome


class _Plan:
    """The leads that some rows mean, as they will be; leads are told by their numbers."""

    def __init__(self, tenant: Tenant, batch: ImportBatch, rows: Sequence[ImportRow]) -> None:
        self.tenant = tenant
        self.batch = batch
        self.moment = clock.stamp()
        self.next_number = LeadCounter.get_by_id(tenant.id).last_number + 1  # nobody else counts on: we have entered
        self.by_phone: dict[str, int] = {}
        self.by_email: dict[str, list[int]] = {}
        self.by_external_id: dict[str, int] = {}
        self.held: dict[int, Lead] = {}  # leads that rows change, or may change
        self.before: dict[int, tuple[str, str | None]] = {}
        self.made: dict[int, list[Any]] = {}  # new leads as values of lead_bulk.NEW, in order
        self.changed: dict[int, Lead] = {}
        self.judged: set[int] = set()  # of these, those whose status differs
        if batch.on_duplicate == "update":
            for lead in _taken(tenant, rows):
                self.held[lead.number] = lead
                self.before[lead.number] = (lead.phone, lead.external_id)
                self._enlist(lead.number, lead.phone, lead.email, lead.external_id)
        else:
            for number, phone, email, external_id in _candidates(tenant, rows):
                self._enlist(number, phone, email, external_id)

    def take(self, item: ImportRow, outcome: Outcome) -> None:
        """Decide what becomes of a row."""
        try:
            number = self._meant(item.says)
            if number is None:
                self._create(item)
                outcome.imported += 1
            elif self.batch.on_duplicate == "skip":
                outcome.skipped += 1
            else:
                self._update(number, item.says)
                outcome.updated += 1
        except (Blocked, Conflict) as error:
            outcome.refused.append(RefusedRow(item.row, error.message))

    def carry_out(self) -> None:
        """Count the new leads and write all that changed."""
        if self.made:
            move_counter(self.tenant, numbers=len(self.made), leads=len(self.made))
        self._release()
        lead_bulk.write(self.tenant, [lead for number, lead in self.changed.items() if number not in self.made])
        rows = [
            lead_bulk.values_of(self.changed[number], lead_bulk.NEW) if number in self.changed else values
            for number, values in self.made.items()
        ]
        lead_bulk.write_new(self.tenant, rows)
        made = self.made.keys()
        lead_rows.tell_all(self.tenant, made, self.changed.keys() - made, self.judged - made)

    def _meant(self, says: LeadChanges) -> int | None:
        namesake = self.by_external_id.get(says.get("external_id") or "")
        if "phone" in says:
            return self.by_phone.get(says["phone"]) or namesake
        alike = self.by_email.get(says.get("email", "").lower(), [])
        if namesake in alike:
            return namesake
        return min(alike, default=namesake)

    def _create(self, item: ImportRow) -> None:
        says, number = item.says, self.next_number
        values = item.values or _values(self.batch, says) or self._built(says)
        values[_NUMBER], values[_CREATED_AT], values[_UPDATED_AT] = number, self.moment, self.moment
        self.made[number] = values
        self.next_number += 1
        self._enlist(number, says.get("phone", ""), says.get("email", ""), says.get("external_id"))

    def _built(self, says: LeadChanges) -> list[Any]:
        values: dict[str, Any] = {"source": SOURCE, **says, "tags": _tags(self.batch, says)}
        lead = build(self.tenant, NewLead(**values, import_batch_id=self.batch.oid), self.moment)
        return lead_bulk.values_of(lead, lead_bulk.NEW)

    def _update(self, number: int, says: LeadChanges) -> None:
        if self.by_external_id.get(says.get("external_id") or "", number) != number:
            raise Conflict("duplicate_external_id", "The external id belongs to another lead than the row means")
        lead = self._hold(number)
        self._strike(lead)
        try:
            different = change(lead, {**says, "tags": [*lead.tags, *_tags(self.batch, says)]}, self.moment)
            if different:
                self.changed[number] = lead
            if "status" in different:
                self.judged.add(number)
        finally:
            self._enlist(number, lead.phone, lead.email, lead.external_id)

    def _hold(self, number: int) -> Lead:
        """The lead; one that an earlier row made becomes one now."""
        if number not in self.held:
            self.held[number] = lead_bulk.lead_of(self.made[number])
        return self.held[number]

    def _enlist(self, number: int, phone: str, email: str, external_id: str | None) -> None:
        if phone:
            self.by_phone[phone] = number
        if email:
            self.by_email.setdefault(email.lower(), []).append(number)
        if external_id:
            self.by_external_id[external_id] = number

    def _strike(self, lead: Lead) -> None:
        self.by_phone.pop(lead.phone, None)
        self.by_external_id.pop(lead.external_id or "", None)
        if lead.email:
            self.by_email[lead.email.lower()].remove(lead.number)

    def _release(self) -> None:
        """Let go of phones and ids that move from lead to lead, for no moment may see one with two owners."""
        moved = [
            number
            for number, lead in self.changed.items()
            if number in self.before and self.before[number] != (lead.phone, lead.external_id)
        ]
        if moved:
            let_go = {Lead.phone: "", Lead.external_id: None}
            Lead.change(self.tenant, let_go).where(Lead.number.in_(moved)).execute()


def _values(batch: ImportBatch, says: LeadChanges) -> list[Any] | None:
    """What `build` makes of a row, but for number and time; None where it says anything out of the ordinary."""
    tags, fields = _tags(batch, says), says.get("custom_fields", {})
    if len(tags) > MAX_TAGS or not _is_plain(fields):
        return None
    name = says.get("name", "").strip() or "Unknown"
    phone, email, external_id = says.get("phone", ""), says.get("email", ""), says.get("external_id")
    name_key, search_text = _keys([name, phone, email, external_id or "", *tags])
    return [
        0,
        name,
        name_key,
        phone,
        says.get("phone_valid", True),
        email,
        says.get("status", "new"),
        says.get("source", SOURCE),
        lead_bulk.json_text(tags),
        "auto",
        lead_bulk.json_text(fields),
        external_id,
        says.get("timezone"),
        "[]",
        batch.oid,
        search_text,
        "",
        "",
    ]


def _keys(values: list[str]) -> tuple[str, str]:
    """`name_key` of the first value and `search_text` of all: the same as one by one, in a third of the time."""
    key = lead_text.search_key("\x00".join(filter(None, values)))
    if _UNEVEN.search(key):
        return lead_text.name_key(values[0]), lead_text.search_text(values)
    return key.partition("\x00")[0][: lead_text.NAME_KEY_LENGTH], "\n" + key.replace("\x00", "\n") + "\n"


def _tags(batch: ImportBatch, says: LeadChanges) -> list[str]:
    return list(dict.fromkeys([*batch.tags, *says.get("tags", ())]))


def _is_plain(fields: Mapping[str, Any]) -> bool:
    """Whether these custom fields are texts, and neither too many nor of names too long."""
    for name, value in fields.items():
        if not isinstance(value, str) or len(name) > MAX_CUSTOM_NAME_LENGTH:
            return False
    return len(fields) <= MAX_CUSTOM_FIELDS


def _taken(tenant: Tenant, rows: Sequence[ImportRow]) -> list[Lead]:
    """The leads that a row may mean, in order; nobody else changes them meanwhile."""
    numbers = sorted({number for number, *_ in _candidates(tenant, rows)})
    if not numbers:
        return []
    return list(locked(live(tenant).where(_one_of(Lead.number, numbers)).order_by(Lead.number)))


def _candidates(tenant: Tenant, rows: Sequence[ImportRow]) -> set[tuple[int, str, str, str | None]]:
    """Number, phone, email and external id of the leads that a row may mean.

    A query for each way to know a lead, each by its own index.
    """
    says = [each.says for each in rows]
    found: set[tuple[int, str, str, str | None]] = set()
    for keys, known in (
        ({each["phone"] for each in says if "phone" in each}, _has_phone),
        ({each["email"].lower() for each in says if "email" in each and "phone" not in each}, _has_email),
        ({each["external_id"] or "" for each in says if each.get("external_id")}, _has_external_id),
    ):
        if keys:
            query: Any = live(tenant, Lead.number, Lead.phone, Lead.email, Lead.external_id).where(known(keys))
            found.update(query.tuples())
    return found


def _has_phone(phones: Collection[str]) -> Any:
    return _one_of(Lead.phone, phones) & (Lead.phone != SQL("''"))  # in the words of the unique index


def _has_email(emails: Collection[str]) -> Any:
    return _one_of(fn.LOWER(Lead.email), emails, lowered=True)  # by the database, as its index has them


def _has_external_id(external_ids: Collection[str]) -> Any:
    return _one_of(Lead.external_id, external_ids)


def _one_of(column: Any, keys: Collection[Any], *, lowered: bool = False) -> NodeList:
    """The condition that a column is one of thousands of values, which are a single parameter of the statement."""
    if is_sqlite():
        begin = "IN (SELECT LOWER(value) FROM json_each(" if lowered else "IN (SELECT value FROM json_each("
        listed = Value(lead_bulk.json_text(list(keys)), converter=False)
        return NodeList((column, SQL(begin), listed, SQL("))")))
    listed = Value(list(keys), converter=False, unpack=False)
    if lowered:
        return NodeList(
            (column, SQL("= ANY (ARRAY (SELECT LOWER(value) FROM unnest("), listed, SQL("::text[]) AS value))"))
        )
    return NodeList((column, SQL("= ANY ("), listed, SQL(")")))
