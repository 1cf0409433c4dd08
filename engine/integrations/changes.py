"""What an account may do to its integrations. Bodies have passed the schema of some channel, not yet of the right one.

What is saved has not been tried: the provider is asked by a job (`engine.integrations.setup`) once it is committed.
"""

from __future__ import annotations

import secrets as random
from collections.abc import Mapping
from functools import partial
from typing import Any

from engine import vault
from engine.jobs import doorbell
from storage import audit, integrations, leads, outbox
from storage.database import after_commit, transaction
from storage.ids import new_id
from storage.integrations import Integration
from storage.tenancy import Actor, Tenant

from . import opened
from .forms import FORMS, addresses, require_complete, require_fitting


def configure(tenant: Tenant, channel: str, body: Mapping[str, Any], *, actor: Actor) -> tuple[Integration, bool]:
    """The channel's integration with these members and no others, and whether it is new; its id and URL stay.

    Raises Blocked: `wrong_channel`, `integration_incomplete`, `secret_key_missing`.
    """
    vault.require_key()
    require_fitting(channel, body)
    with transaction():
        leads.enter(tenant)  # two that configure one channel at once must not make two integrations
        integration = integrations.find(tenant, channel)
        before = integration.secret_hints if integration is not None else {}
        settings, secrets = _parted(channel, body)
        if channel == "telegram":
            secrets["secretToken"] = random.token_urlsafe(32)
        columns = _columns(tenant, channel, integration.oid if integration else new_id(), settings, secrets)
        is_new = integration is None
        if integration is None:
            integration = integrations.add(tenant, channel, **columns)
        else:
            integrations.change(integration, **columns)
        _finish(tenant, integration, settings, secrets)
        changed = sorted({*settings, *columns["secret_hints"], *before})
        action = "integration.created" if is_new else "integration.replaced"
        audit.record(tenant, actor, action, integration.oid, {"channel": channel, "members": changed})
        return integration, is_new


def update(tenant: Tenant, channel: str, body: Mapping[str, Any], *, actor: Actor) -> Integration:
    """The channel's integration with the members of the body changed; null removes one.

    Raises NotFound, Blocked: as `configure` and, where the secrets that stay cannot be opened, as `opened`.
    """
    with transaction():
        integration = integrations.lock(tenant, channel)
        require_fitting(channel, body)
        given = {name: value for name, value in body.items() if name != "channel"}
        if not given:
            return integration
        known = opened(integration)[1]
        merged = {**integration.settings, **known.secrets, **given}
        settings, secrets = _parted(channel, {name: value for name, value in merged.items() if value is not None})
        if channel == "telegram":
            secrets["secretToken"] = known.secrets["secretToken"]
        integrations.change(integration, **_columns(tenant, channel, integration.oid, settings, secrets))
        _finish(tenant, integration, settings, secrets)
        metadata = {"channel": channel, "members": sorted(given)}
        audit.record(tenant, actor, "integration.updated", integration.oid, metadata)
        return integration


def delete(tenant: Tenant, channel: str, *, actor: Actor) -> None:
    """Forget the channel's integration and its secrets; what is queued for it will not be sent. Raises NotFound."""
    with transaction():
        integration = integrations.lock(tenant, channel)
        integrations.remove(tenant, integration)
        audit.record(tenant, actor, "integration.deleted", integration.oid, {"channel": channel})


def reseal() -> int:
    """Seal every integration's secrets under the first key, so that older ones may be dropped; how many there were.

    Raises Blocked where one cannot be opened; those before it are done.
    """
    done = 0
    last = 0
    while page := integrations.after(last, 100):
        for integration in page:
            done += _resealed(integration)
        last = page[-1].id
    return done


def _resealed(stale: Integration) -> bool:
    if vault.is_current(stale.secrets):
        return False
    tenant, _ = opened(stale)
    with transaction():
        integration = integrations.lock(tenant, stale.channel)
        secrets = opened(integration)[1].secrets
        integration.store(secrets=vault.seal(tenant, integration.oid, secrets))
        integrations.set_addresses(tenant, integration, addresses(integration.channel, integration.settings, secrets))
    return True


def _parted(channel: str, members: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings and secrets of a complete body. Raises Blocked."""
    require_complete(channel, members.keys())
    form = FORMS[channel]
    settings = {name: members[name] for name in form.settings if name in members}
    return settings, {name: members[name] for name in form.secrets if name in members}


def _columns(
    tenant: Tenant, channel: str, oid: str, settings: dict[str, Any], secrets: dict[str, str]
) -> dict[str, Any]:
    hints = {name: f"…{secrets[name][-4:]}" for name in FORMS[channel].secrets if name in secrets}
    return {"oid": oid, "settings": settings, "secrets": vault.seal(tenant, oid, secrets), "secret_hints": hints}


def _finish(tenant: Tenant, integration: Integration, settings: dict[str, Any], secrets: dict[str, str]) -> None:
    """Claim the addresses, and have the provider asked once this is committed."""
    integrations.set_addresses(tenant, integration, addresses(integration.channel, settings, secrets))
    lane = f"integration/{integration.oid}"
    outbox.put(tenant, "set_up_integration", lane, {"channel": integration.channel, "revision": integration.updated_at})
    after_commit(partial(doorbell.ring, lane))
