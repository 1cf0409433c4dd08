"""The items of a lead sync: what a CRM sends of one lead, checked one by one so that a bad one costs only itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .lead_text import custom_text
from .leads import MAX_CUSTOM_FIELDS, MAX_CUSTOM_NAME_LENGTH, MAX_TAGS, LeadChanges

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


@dataclass(frozen=True, slots=True)
class SyncItem:
    """A good item: its place in the request, the CRM's id of the lead if it has one, and what it says of the lead."""

    index: int
    lead_id: str | None
    says: LeadChanges


@dataclass(frozen=True, slots=True)
class SyncRefusal:
    """A bad item: its place in the request, the CRM's id of the lead if it has one, and what is wrong."""

    index: int
    lead_id: str | None
    code: str
    message: str


def read(index: int, raw: Mapping[str, Any], phone: str, phone_valid: bool) -> SyncItem | SyncRefusal:
    """The item as it was sent, with its phone in E.164 or "". Empty texts say nothing: a sync blanks nothing."""
    lead_id = raw.get("lead_id") or None
    problem = _problem(raw, phone)
    if problem is not None:
        return SyncRefusal(index, lead_id, *problem)
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


def _problem(raw: Mapping[str, Any], phone: str) -> tuple[str, str] | None:
    """The first thing wrong with an item: code and message."""
    email, tags, fields = raw.get("email", ""), raw.get("tags", ()), raw.get("customFields", {})
    checks = (
        (
            bool(raw.get("lead_id") or phone or email),
            "no_identity",
            "One of lead_id, phone and email must say which lead is meant",
        ),
        (len(raw.get("lead_id", "")) <= 200, "lead_id_too_long", "lead_id has at most 200 characters"),
        (len(raw.get("name", "")) <= 200, "name_too_long", "name has at most 200 characters"),
        (
            not email or (len(email) <= 254 and _EMAIL.fullmatch(email) is not None),
            "invalid_email",
            "email is no email address of at most 254 characters",
        ),
        (len(dict.fromkeys(tags)) <= MAX_TAGS, "too_many_tags", f"A lead has at most {MAX_TAGS} tags"),
        (all(1 <= len(tag) <= 50 for tag in tags), "invalid_tag", "A tag has 1 to 50 characters"),
        (
            len(fields) <= MAX_CUSTOM_FIELDS,
            "too_many_custom_fields",
            f"A lead has at most {MAX_CUSTOM_FIELDS} custom fields",
        ),
        (
            all(len(name) <= MAX_CUSTOM_NAME_LENGTH for name in fields),
            "custom_field_name_too_long",
            f"The name of a custom field has at most {MAX_CUSTOM_NAME_LENGTH} characters",
        ),
        (
            all(len(custom_text(value)) <= 2000 for value in fields.values()),
            "custom_field_value_too_long",
            "The value of a custom field has at most 2000 characters",
        ),
    )
    return next(((code, message) for good, code, message in checks if not good), None)
