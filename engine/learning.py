"""What a conversation teaches about a lead: stored where nothing stood, and never over what the account knows.

A lead and a model word these facts, so they are bounded: plain names, short values, and never so many that the
account's own fields would find no room.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from engine.agents import Turn
from engine.agents.links import links_in
from storage import leads
from storage.leads import MAX_CUSTOM_FIELDS, Lead, LeadChanges
from storage.tenancy import SYSTEM, Tenant

UNNAMED = "Unknown"  # what a lead without a name is called
MOST_FIELDS = MAX_CUSTOM_FIELDS // 2
MAX_VALUE = 500
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+", re.ASCII)
_MAX_EMAIL = 254
_NAME = re.compile(r"[^\W\d_][^\d_<>{}\[\]@/\\|]{0,79}")
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_ -]{0,63}")
_NAMES = ("name", "full_name")


def learn(tenant: Tenant, lead: Lead, turn: Turn) -> None:
    """Store what a turn found out about a held lead, in the caller's transaction."""
    changes = learned(lead, turn.extracted, turn.language)
    if changes:
        leads.update(tenant, lead.number, changes, SYSTEM)


def learned(lead: Lead, extracted: Mapping[str, str], language: str = "") -> LeadChanges:
    """The changes that follow from extracted facts; empty where the lead has all of them, or they will not do."""
    changes: LeadChanges = {}
    email = extracted.get("email", "").strip()
    if not lead.email and len(email) <= _MAX_EMAIL and _EMAIL.fullmatch(email):
        changes["email"] = email
    name = next((" ".join(extracted[key].split()) for key in _NAMES if extracted.get(key)), "")
    if lead.name == UNNAMED and _NAME.fullmatch(name) and not links_in(name):
        changes["name"] = name
    fields = _new_fields(lead, {**extracted, "language": language})
    if fields:
        changes["custom_fields"] = fields
    return changes


def _new_fields(lead: Lead, facts: Mapping[str, str]) -> dict[str, str]:
    room = max(0, MOST_FIELDS - len(lead.custom_fields))
    present = {name.casefold() for name in lead.custom_fields}
    new = {
        name: value.strip()[:MAX_VALUE]
        for name, value in facts.items()
        if name not in ("email", *_NAMES)
        and _FIELD.fullmatch(name)
        and name.casefold() not in present
        and value.strip()
    }
    return dict(list(new.items())[:room])
