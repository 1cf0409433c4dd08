"""Who asks: a Tenant owns rows, an Actor stands in the audit log, a Caller sends a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Environment = Literal["live", "test"]


@dataclass(frozen=True, slots=True)
class Tenant:
    """An account's environment: the owner of leads, conversations and all that hangs on them."""

    id: int
    account_id: str
    environment: Environment


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it, for the audit log: an API key, a member, or newleaf itself (`system`)."""

    type: Literal["user", "api_key", "system"]
    id: str
    display_name: str
    ip: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends this request, as its API key tells."""

    tenant: Tenant
    key_id: str
    scopes: frozenset[str]
    roles: tuple[str, ...]
    actor: Actor
    default_region: str | None = field(default=None)


SYSTEM = Actor("system", "system", "newleaf")
