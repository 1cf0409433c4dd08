"""The items of a lead sync: what a CRM sends of one lead, checked one by one so that a bad one costs only itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from .lead_text import custom_text
from .leads import MAX_CUSTOM_FIELDS, MAX_CUSTOM_NAME_LENGTH, MAX_TAGS, LeadChanges

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


class SyncItem(Struct, frozen=True, gc=False):
    """A good item: its place in the request, the CRM's id of the lead if it has one, and what it says of the lead."""

    index: int
    lead_id: str | None
    says: LeadChanges


class SyncRefusal(Struct, frozen=True, gc=False, omit_defaults=True):
    """A bad item, as it is answered: its place, what is wrong, and the CRM's id of the lead if it has one."""

    index: int
    code: str
    message: str
    lead_id: str | None = None


def read(index: int, raw: Mapping[str, Any], phone: str, phone_valid: bool) -> SyncItem | SyncRefusal:
    """The item as it was sent, with its phone in E.164 or "". Empty texts say nothing: a sync blanks nothing."""
    lead_id = raw.get("lead_id") or None
    problem = next(_problems(raw, phone), None)
    if problem is not None:
        return SyncRefusal(index, *problem, lead_id)
    says: LeadChanges = {}
    if phone:
        says["phone"], says["phone_valid"] = phone, phone_valid
    if raw.get("name", "").strip():
        says["name"] = raw["name"]
    if raw.get("email"):
        says["email"] = raw["email"]
    if "tags" in raw:
        says["tags"] = raw["tags"]
    if "customFields" in raw:
        says["custom_fields"] = raw["customFields"]
    return SyncItem(index, lead_id, says)


def _problems(raw: Mapping[str, Any], phone: str) -> Iterator[tuple[str, str]]:
    """What is wrong with an item, thing by thing: code and message."""
    email, tags, fields = raw.get("email", ""), raw.get("tags", ()), raw.get("customFields", {})
    if not (raw.get("lead_id") or phone or email):
        yield "no_identity", "One of lead_id, phone and email must say which lead is meant"
    if len(raw.get("lead_id", "")) > 200:
        yield "lead_id_too_long", "lead_id has at most 200 characters"
    if len(raw.get("name", "")) > 200:
        yield "name_too_long", "name has at most 200 characters"
    if email and (len(email) > 254 or not _EMAIL.fullmatch(email)):
        yield "invalid_email", "email is no email address of at most 254 characters"
    if len(dict.fromkeys(tags)) > MAX_TAGS:
        yield "too_many_tags", f"A lead has at most {MAX_TAGS} tags"
    if not all(1 <= len(tag) <= 50 for tag in tags):
        yield "invalid_tag", "A tag has 1 to 50 characters"
    if len(fields) > MAX_CUSTOM_FIELDS:
        yield "too_many_custom_fields", f"A lead has at most {MAX_CUSTOM_FIELDS} custom fields"
    if any(len(name) > MAX_CUSTOM_NAME_LENGTH for name in fields):
        limit = f"The name of a custom field has at most {MAX_CUSTOM_NAME_LENGTH} characters"
        yield "custom_field_name_too_long", limit
    if any(len(custom_text(value)) > 2000 for value in fields.values()):
        yield "custom_field_value_too_long", "The value of a custom field has at most 2000 characters"
