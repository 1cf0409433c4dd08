"""The provider accounts of tenants, as their channels need them: opened, and what is known of their health."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine import vault, waits
from engine.channels import Credentials, Health
from storage import accounts, audit, integrations
from storage.database import connection, transaction
from storage.errors import Blocked
from storage.integrations import HealthState, Integration
from storage.tenancy import SYSTEM, Tenant


@dataclass(frozen=True, slots=True)
class _Shared:
    """What accounts of this server share where they have nothing of their own."""

    app_secret: str | None = field(default=None, repr=False)
    verify_token: str | None = field(default=None, repr=False)
    allows_unsigned: bool = False


_shared = _Shared()


def configure(*, app_secret: str | None = None, verify_token: str | None = None, allows_unsigned: bool = False) -> None:
    """Say what all accounts share: a Meta app's secret and verify token, and whether unsigned webhooks are taken.

    allows_unsigned: for development only; then a WhatsApp integration without an app secret takes what anybody sends.
    """
    global _shared
    _shared = _Shared(app_secret or None, verify_token or None, allows_unsigned)


def allows_unsigned() -> bool:
    """Whether webhooks are believed where there is no secret to verify them by."""
    return _shared.allows_unsigned


def server_app_secret() -> str | None:
    """The secret of the Meta app that the whole server uses, None where it has none."""
    return _shared.app_secret


def credentials(tenant: Tenant, channel: str) -> Credentials | None:
    """The tenant's integration of this channel with its secrets in the clear; None where there is none.

    Raises Blocked where its secrets cannot be opened: `secret_key_missing`, `secret_key_wrong`, `secrets_damaged`.
    """
    integration = integrations.find(tenant, channel)
    return None if integration is None else opened(integration)[1]


def opened(integration: Integration) -> tuple[Tenant, Credentials]:
    """Whose integration this is, and its settings and secrets in the clear. Raises Blocked, as `credentials` does.

    One of WhatsApp without an app secret of its own is given the server's only where it `owns_address`: that secret
    verifies the webhooks of every number of the app, so whoever claimed another's number would be handed its messages.
    """
    tenant = accounts.tenant_by_id(integration.tenant_id)
    secrets = vault.open_(tenant, integration.oid, integration.secrets)
    if integration.channel == "whatsapp" and integration.owns_address and _shared.app_secret:
        secrets.setdefault("appSecret", _shared.app_secret)
    return tenant, Credentials(integration.oid, {**integration.facts, **integration.settings}, secrets)


def opening() -> tuple[int, int]:
    """Of all integrations of this server: how many cannot be opened, and how many only under an older key."""
    shut = old = 0
    for integration in _all():
        try:
            opened(integration)
        except Blocked:
            shut += 1
        else:
            old += not vault.is_current(integration.secrets)
    return shut, old


def _all() -> Iterator[Integration]:
    last = 0
    with connection():
        while page := integrations.after(last, 200):
            yield from page
            last = page[-1].id


def knows_verify_token(token: str) -> bool:
    """Whether Meta may subscribe with this token: the server's, or that of some WhatsApp integration."""
    if _shared.verify_token and hmac.compare_digest(_shared.verify_token.encode(), token.encode()):
        return True
    return any(integrations.candidates("whatsapp", mark) for mark in map(verify_address, vault.fingerprints(token)))


def verify_address(fingerprint: str) -> str:
    """What an integration is found by when only its verify token is known."""
    return f"verify:{fingerprint}"


def note_health(tenant: Tenant, channel: str, health: Health) -> None:
    """Keep what a call to the provider told of the tenant's integration; nothing to do where it was removed."""
    with transaction():
        integration = integrations.lock_if_there(tenant, channel)
        if integration is not None:
            keep_health(tenant, integration, health)


def keep_health(tenant: Tenant, integration: Integration, health: Health) -> None:
    """Keep the answer of a check with a held integration; the audit log tells only where it has changed."""
    state: HealthState = "healthy" if health.is_healthy else "unhealthy"
    if integration.health != state:
        metadata = {"channel": integration.channel, "detail": health.detail}
        audit.record(tenant, SYSTEM, f"integration.{state}", integration.oid, metadata)
        if health.is_healthy:
            waits.resume(tenant, integration.channel)
    integrations.note_health(
        tenant, integration, state, health.detail[:500], health.facts, _proven(tenant, integration, health)
    )


def _proven(tenant: Tenant, integration: Integration, health: Health) -> set[str]:
    """The addresses that the provider has confirmed: a number that its token may read, a WABA that the check names."""
    if not health.is_healthy or tenant.environment == "test" or integration.channel != "whatsapp":
        return set()
    waba_id = integration.settings["wabaId"]
    proven = {integration.settings["phoneNumberId"]}
    return proven | {waba_id} if health.facts.get("wabaId") == waba_id else proven
