"""What stands at a path of member names in a provider's object; nothing that a body may hold raises."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from engine import phones
from engine.channels import payloads

_LONGEST_ID = 200  # characters; a longer one is replaced by its digest
_LARGEST = 2**63
_OUR_ID = re.compile(r"[0-9a-f]{24}")


def mapping(value: Any, *path: str) -> Mapping[str, Any]:
    """The object at the path, empty where there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def items(value: Any, *path: str) -> list[Mapping[str, Any]]:
    """The objects in the list at the path; what else is in it is left out."""
    if path:
        value = mapping(value, *path[:-1]).get(path[-1])
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def text(value: Any, *path: str) -> str:
    """The text or the number at the path, as text that a database takes; "" where there is none."""
    if path:
        value = mapping(value, *path[:-1]).get(path[-1])
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    if not isinstance(value, str) and not -_LARGEST < value < _LARGEST:
        return ""
    return payloads.text(str(value))


def identifier(value: Any, *path: str) -> str:
    """Like `text`, but stripped, and short enough to be indexed."""
    found = text(value, *path).strip()
    return found if len(found) <= _LONGEST_ID else f"sha256:{hashlib.sha256(found.encode()).hexdigest()}"


def our_id(value: Any) -> str | None:
    """The value if it is an id of newleaf's, such as a message's."""
    return value if isinstance(value, str) and _OUR_ID.fullmatch(value) else None


def moment(value: Any) -> datetime | None:
    """The time of seconds since 1970, given as a number or as text."""
    try:
        return datetime.fromtimestamp(float(text(value)), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def e164(raw: str) -> str:
    """A phone number in international notation as E.164, "" if it is none."""
    try:
        return phones.normalize(raw).e164
    except phones.PhoneError:
        return ""


def digest(value: Any) -> str:
    """Stands for an id where the provider gives none: equal for equal values."""
    try:
        canonical = json.dumps(value, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        canonical = ""
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]
