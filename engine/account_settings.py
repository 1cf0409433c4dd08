"""What an account may set about itself. Both environments share it, except which agent is the default one."""

from __future__ import annotations

import functools
import zoneinfo
from collections.abc import Mapping
from typing import Any

import phonenumbers

from engine import waits
from storage import accounts, agents, api_keys, audit
from storage.accounts import Account
from storage.database import after_commit, transaction
from storage.errors import Blocked, Problem
from storage.tenancy import Actor, Tenant

SETTINGS = ("quietHours", "frequencyCap", "aiDisclosure", "budgets", "retention")


def update(tenant: Tenant, body: Mapping[str, Any], *, actor: Actor) -> Account:
    """The account with what the body names changed; null gives a member its default back.

    Raises Blocked (`unknown_timezone`, `unknown_region`) and NotFound (the default agent).
    """
    with transaction():
        account = accounts.lock(tenant.account_id)
        _require_known(tenant, body)
        settings = _settings(tenant, account.settings, body)
        columns = {"name": body.get("name", account.name), "settings": settings}
        if "timezone" in body:
            columns["timezone"] = body["timezone"] or "UTC"
        if "defaultRegion" in body:
            columns["default_region"] = body["defaultRegion"]
            after_commit(api_keys.forget)  # a key remembers it for its caller
        accounts.save(account, **columns)
        if body.keys() & {"quietHours", "frequencyCap"}:
            waits.reconsider_all(account.id)
        audit.record(tenant, actor, "account.updated", account.id, {"changed": sorted(body)})
        return account


def _require_known(tenant: Tenant, body: Mapping[str, Any]) -> None:
    if body.get("timezone") is not None and body["timezone"] not in zones():
        raise _unknown("timezone", "a time zone")
    if body.get("defaultRegion") is not None and body["defaultRegion"] not in phonenumbers.SUPPORTED_REGIONS:
        raise _unknown("region", "a country with telephones", "/defaultRegion")
    if body.get("defaultAgentId") is not None:
        agents.get(tenant, body["defaultAgentId"])


def _unknown(what: str, kind: str, path: str | None = None) -> Blocked:
    message = f"There is no such {what}: name {kind}"
    return Blocked(f"unknown_{what}", message, problems=[Problem(path or f"/{what}", message)])


@functools.cache
def zones() -> set[str]:
    """Names of all time zones."""
    return zoneinfo.available_timezones()


def _settings(tenant: Tenant, before: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """The settings after this change: only what differs from the defaults is there."""
    after = {**before, **{name: body[name] for name in SETTINGS if name in body}}
    if "defaultAgentId" in body:
        after["defaultAgentIds"] = {**before.get("defaultAgentIds", {}), tenant.environment: body["defaultAgentId"]}
    return {name: value for name, value in after.items() if value is not None}
