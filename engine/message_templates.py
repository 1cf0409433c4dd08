"""What a provider's message template says to this lead: its text with its places filled."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from storage import integrations
from storage.errors import Blocked
from storage.leads import Lead
from storage.tenancy import Tenant

DEFAULT_LANGUAGE = "en"
UNNAMED = "Unknown"  # what a lead without a name is called


@dataclass(frozen=True, slots=True)
class Choice:
    """The template somebody wants: its language is the provider's first of that name where it is not given."""

    name: str
    language: str | None = None
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Worded:
    """text: as the lead will read it, as far as it is known. template: as the message stores it."""

    text: str
    template: dict[str, Any]


def default(tenant: Tenant, channel: str) -> Choice | None:
    """The template that the integration opens conversations with where free text may not be sent."""
    integration = integrations.find(tenant, channel)
    chosen = None if integration is None else integration.settings.get("defaultTemplate")
    return Choice(chosen["name"], chosen["language"]) if chosen else None


def word(tenant: Tenant, channel: str, choice: Choice, lead: Lead, message: str | None = None) -> Worded:
    """The template filled for this lead. A place without a parameter takes the lead's name, the last one `message`.

    Raises Blocked: `template_unknown`, `template_not_approved`, `template_parameters` once templates were synced;
    before that only the provider can say.
    """
    integration = integrations.find(tenant, channel)
    known = [each for each in (integration.templates if integration else None) or () if each["name"] == choice.name]
    if integration is None or integration.templates is None:
        language = choice.language or DEFAULT_LANGUAGE
        given = list(choice.parameters) or ([message] if message else [])
        said = " ".join([f"[template {choice.name}]", *given])
        return Worded(said, {"name": choice.name, "language": language, "parameters": given})
    found = _approved(known, choice)
    places = found["parameters"]
    values = _values(places, choice.parameters, lead, message)
    text = _filled(found, dict(zip(places, values, strict=True)))
    return Worded(text, {"name": found["name"], "language": found["language"], "parameters": values, "places": places})


def _approved(known: Sequence[dict[str, Any]], choice: Choice) -> dict[str, Any]:
    fitting = [each for each in known if choice.language in (None, each["language"])]
    if not fitting:
        advice = "The integration has no such template in this language. Sync its templates if it is new."
        raise Blocked("template_unknown", advice, details="template_unknown")
    approved = [each for each in fitting if each["status"] == "APPROVED"]
    if not approved:
        raise Blocked("template_not_approved", f"The template is {fitting[0]['status']}", details=choice.name)
    return approved[0]


def _values(places: Sequence[str], given: Sequence[str], lead: Lead, message: str | None) -> list[str]:
    values = list(given)
    if len(values) < len(places) and message:
        missing = len(places) - len(values) - 1
        values += [_name(lead)] * missing + [message]
    elif len(values) == len(places) - 1:
        values.append(_name(lead))
    if len(values) != len(places):
        advice = f"The template has {len(places)} places: {', '.join(places) or 'none'}. Give it as many parameters."
        raise Blocked("template_parameters", advice, details="template_parameters")
    return values


def _name(lead: Lead) -> str:
    return "there" if lead.name == UNNAMED else lead.name.split()[0]


def _filled(template: dict[str, Any], values: dict[str, str]) -> str:
    """Header, body and footer as one text, with the body's places filled."""
    body = re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda place: values.get(place[1], place[0]), template.get("body", ""))
    parts = [template.get("header", ""), body, template.get("footer", "")]
    return "\n".join(part for part in parts if part) or f"[template {template['name']}]"
