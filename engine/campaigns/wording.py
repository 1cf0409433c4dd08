"""What a campaign says to one lead: its message with the places filled."""

from __future__ import annotations

import re
from collections.abc import Callable

from engine.message_templates import UNNAMED
from storage.leads import Lead

_PLACE = re.compile(r"\{\{([^{}]{1,120})\}\}")  # spaces are stripped later: matching them twice takes too long
_CUSTOM = "customFields."
LONGEST = 4096

_FIELDS: dict[str, Callable[[Lead], str]] = {
    "name": lambda lead: "" if lead.name == UNNAMED else lead.name,
    "firstName": lambda lead: "" if lead.name == UNNAMED else lead.name.split()[0],
    "email": lambda lead: lead.email,
    "phone": lambda lead: lead.phone,
}


def places(text: str) -> list[str]:
    """The names that stand in the places of a text."""
    return [name.strip() for name in _PLACE.findall(text)]


def unknown_places(text: str) -> list[str]:
    """Those names of places that stand for nothing of a lead's."""
    return [name for name in places(text) if name not in _FIELDS and not name.startswith(_CUSTOM)]


def worded(text: str, lead: Lead) -> str:
    """The text as this lead reads it; a place for what the lead does not have is left empty."""
    if "{{" not in text:
        return text

    def fill(place: re.Match[str]) -> str:
        name = place[1].strip()
        if name.startswith(_CUSTOM):
            return str(lead.custom_fields.get(name.removeprefix(_CUSTOM), ""))
        field = _FIELDS.get(name)
        return place[0] if field is None else field(lead)

    return _PLACE.sub(fill, text)[:LONGEST]
