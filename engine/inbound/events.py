"""What a webhook tells, in the form in which it is stored: kind and members of the event, and the provider's words."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

import msgspec

from engine.channels import Event, Ignored, Preference, Renamed, Said, Status
from storage.inbox import NewEvent

What = Said | Status | Preference | Renamed | Ignored

_KINDS: dict[str, type] = {kind.__name__: kind for kind in (Said, Status, Preference, Renamed, Ignored)}
_LONGEST_NAME = 200  # characters of a provider's id or a contact: they stand in indexes
_DEEPEST = 50


def to_store(event: Event) -> NewEvent:
    """The event as it is stored."""
    what = event.what
    payload = {
        "kind": type(what).__name__,
        "what": storable(msgspec.to_builtins(what)),
        "at": None if event.at is None else event.at.isoformat(),
        "provider": storable(dict(event.payload)),
    }
    reason = storable(what.reason) if isinstance(what, Ignored) else None
    return NewEvent(short(event.id), contact_of(event), payload, reason)


def contact_of(event: Event) -> str:
    """What orders the event: its contact, but for a status the message, which none of the person's words waits for."""
    contact = f"status/{event.what.provider_id}" if isinstance(event.what, Status) else event.contact
    return short(contact)


def of_payload(payload: Mapping[str, Any]) -> tuple[What, datetime | None]:
    """What a stored event tells, and when that happened where the provider says so."""
    at = payload["at"]
    what: Any = msgspec.convert(payload["what"], _KINDS[payload["kind"]])
    return cast(What, what), None if at is None else datetime.fromisoformat(at)


def short(text: str) -> str:
    """The text itself, or what stands for it where it is too long for an index."""
    clean = str(storable(text))
    if len(clean) <= _LONGEST_NAME:
        return clean
    return f"{clean[:100]}#{hashlib.sha256(clean.encode()).hexdigest()}"


def storable(value: Any, depth: int = 0) -> Any:
    """The same without what no database takes: NUL, halves of surrogate pairs, numbers that JSON does not know.

    What is nested deeper than any provider nests is left out.
    """
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping | list | tuple) and depth == _DEEPEST:
        return None
    if isinstance(value, Mapping):
        return {storable(str(name)): storable(member, depth + 1) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
