"""What becomes of the items of a sync, decided in memory against the leads that they may mean."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from tests.bench.references import texts

from .answers import Caller, decode, encode
from .leads import fields

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")

# What a sync reads of a lead, with the JSON columns as text.
COLUMNS = "number, name, phone, phone_valid, email, {tags}, {custom_fields}, external_id"


class Known(msgspec.Struct, gc=False):
    """A lead as it stands in the database, or as it will be; number 0 is a new one."""

    number: int
    name: str
    phone: str
    phone_valid: bool
    email: str
    tags: list[str]
    custom_fields: dict[str, str]
    external_id: str | None

    @classmethod
    def of(cls, row: Any) -> Known:
        """The lead of a row of COLUMNS."""
        return cls(row[0], row[1], row[2], bool(row[3]), row[4], decode(row[5]), decode(row[6]), row[7])

    def values(self, caller: Caller, source: str, moment: str) -> tuple[Any, ...]:
        """A new one in the order of `leads.STORED`."""
        return (
            *(caller.tenant_id, self.number, self.name, texts.key(self.name)[:100], self.phone, self.phone_valid),
            *(self.email, "new", source, encode(self.tags).decode(), None, "auto"),
            *(encode(self.custom_fields).decode(), self.external_id, None, "[]", self._searched(), moment, moment),
        )

    def changes(self, caller: Caller, moment: str) -> tuple[Any, ...]:
        """One that is known, in the order of UPDATE."""
        return (
            *(self.name, texts.key(self.name)[:100], self.phone, self.phone_valid, self.email),
            *(encode(self.tags).decode(), encode(self.custom_fields).decode(), self.external_id),
            *(self._searched(), moment, caller.tenant_id, self.number),
        )

    def _searched(self) -> str:
        return texts.searched([self.name, self.phone, self.email, self.external_id or "", *self.tags])


UPDATE = (
    "UPDATE lead SET name = {0}, name_key = {0}, phone = {0}, phone_valid = {0}, email = {0}, tags = {0}, "
    "custom_fields = {0}, external_id = {0}, search_text = {0}, updated_at = {0} WHERE tenant_id = {0} AND number = {0}"
)


class Item(msgspec.Struct, gc=False):
    """A good item, its phone read."""

    index: int
    lead_id: str | None
    phone: str
    phone_valid: bool
    email: str
    says: dict[str, Any]


class Refused(msgspec.Struct, gc=False):
    """What an item could not do, and why."""

    index: int
    code: str
    message: str
    lead_id: str | None = None


def read(raw_items: list[dict[str, Any]], region: str | None) -> tuple[list[Item], list[Refused]]:
    """The good items and the refused ones."""
    items, refused = [], []
    for index, raw in enumerate(raw_items):
        lead_id, email = raw.get("lead_id") or None, raw.get("email", "")
        try:
            phone, is_valid = texts.e164(raw["phone"], region) if raw.get("phone") else ("", True)
        except texts.BadPhone as error:
            refused.append(Refused(index, "invalid_phone", str(error), lead_id))
            continue
        problem = _problem(raw, lead_id, phone, email)
        if problem:
            refused.append(Refused(index, *problem, lead_id))
        else:
            items.append(Item(index, lead_id, phone, is_valid, email, raw))
    return items, refused


def _problem(raw: dict[str, Any], lead_id: str | None, phone: str, email: str) -> tuple[str, str] | None:
    if not (lead_id or phone or email):
        return "no_identity", "One of lead_id, phone and email must say which lead is meant"
    if lead_id and len(lead_id) > 200:
        return "lead_id_too_long", "lead_id has at most 200 characters"
    if len(raw.get("name", "")) > 200:
        return "name_too_long", "name has at most 200 characters"
    if email and (len(email) > 254 or not _EMAIL.fullmatch(email)):
        return "invalid_email", "email is no email address of at most 254 characters"
    tags, custom = raw.get("tags", ()), raw.get("customFields", {})
    if len(set(tags)) > 50:
        return "too_many_tags", "A lead has at most 50 tags"
    if any(not 1 <= len(tag) <= 50 for tag in tags):
        return "invalid_tag", "A tag has 1 to 50 characters"
    if len(custom) > 100:
        return "too_many_custom_fields", "A lead has at most 100 custom fields"
    if any(len(name) > 100 for name in custom):
        return "custom_field_name_too_long", "The name of a custom field has at most 100 characters"
    if any(isinstance(value, str) and len(value) > 2000 for value in custom.values()):
        return "custom_field_value_too_long", "The value of a custom field has at most 2000 characters"
    return None


def keys(items: list[Item]) -> tuple[list[str], list[str], list[str]]:
    """What the leads can be found by that the items may mean: external ids, phones, emails."""
    return (
        [item.lead_id for item in items if item.lead_id],
        [item.phone for item in items if item.phone],
        [item.email for item in items if item.email and not item.lead_id],
    )


class Plan:
    """The leads of a batch as they will be."""

    def __init__(self, known: list[Known]) -> None:
        self.by_external_id = {lead.external_id: lead for lead in known if lead.external_id}
        self.by_phone = {lead.phone: lead for lead in known if lead.phone}
        self.by_email = {lead.email.casefold(): lead for lead in reversed(known) if lead.email}
        self.new: list[Known] = []
        self.changed: dict[int, Known] = {}
        self.outcomes: list[tuple[Item, str, Known]] = []
        self.refused: list[Refused] = []

    def take(self, item: Item) -> None:
        """Decide what becomes of an item."""
        holder = self.by_phone.get(item.phone) if item.phone else None
        if item.lead_id is None:
            lead = holder or self.by_email.get(item.email.casefold())
        else:
            lead = self.by_external_id.get(item.lead_id)
            if holder is not None and holder is not lead and (lead is not None or holder.external_id):
                self.refused.append(
                    Refused(item.index, "phone_conflict", "The phone belongs to another lead", item.lead_id)
                )
                return
            lead = lead or holder
        if lead is None:
            lead = Known(0, "Unknown", "", True, "", [], {}, None)
            self.new.append(lead)
            self._say(lead, item)
            verb = "created"
        else:
            verb = "updated" if self._say(lead, item) else "unchanged"
            if verb == "updated" and lead.number:
                self.changed[lead.number] = lead
        self.outcomes.append((item, verb, lead))

    def _say(self, lead: Known, item: Item) -> bool:
        said: dict[str, Any] = {}
        if item.phone:
            said["phone"], said["phone_valid"] = item.phone, item.phone_valid
        if name := item.says.get("name", "").strip():
            said["name"] = name
        if item.email:
            said["email"] = item.email
        if "tags" in item.says:
            said["tags"] = list(dict.fromkeys(item.says["tags"]))
        if "customFields" in item.says:
            said["custom_fields"] = lead.custom_fields | fields(item.says["customFields"])
        if item.lead_id is not None:
            said["external_id"] = item.lead_id
        differs = False
        for column, value in said.items():
            if getattr(lead, column) != value:
                differs = True
                setattr(lead, column, value)
        if lead.phone:
            self.by_phone[lead.phone] = lead
        if lead.external_id:
            self.by_external_id[lead.external_id] = lead
        return differs

    def counts(self, source: str) -> dict[str, Any]:
        """What the audit log says of the sync."""
        verbs = [verb for _, verb, _ in self.outcomes]
        counted = {verb: verbs.count(verb) for verb in ("created", "updated", "unchanged")}
        return {"source": source, **counted, "failed": len(self.refused)}

    def answer(self, total: int, refused: list[Refused]) -> dict[str, Any]:
        """The body that tells of each item."""
        refused = sorted([*refused, *self.refused], key=lambda each: each.index)
        verbs = [verb for _, verb, _ in self.outcomes]
        return {
            "total": total,
            **{verb: verbs.count(verb) for verb in ("created", "updated", "unchanged")},
            "failed": len(refused),
            "errors": [_present(each) for each in map(msgspec.to_builtins, refused)],
            "results": [
                _present({"index": item.index, "lead_id": item.lead_id, "id": lead.number, "outcome": verb})
                for item, verb, lead in self.outcomes
            ],
        }


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
