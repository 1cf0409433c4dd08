"""Integrations: a tenant's account with a provider, one for each channel, its secrets sealed.

A webhook comes in before anybody knows whose it is, so `candidates`, `by_oid` and `after` look into all tenants; they
answer rows for the engine to open and to verify, never anything for a caller.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

from peewee import BigIntegerField, JSONField, ModelSelect, TextField

from . import clock
from .base import TenantModel
from .database import is_sqlite
from .errors import NotFound
from .ids import new_id
from .tenancy import Tenant

HealthState = Literal["unknown", "healthy", "unhealthy"]


class Integration(TenantModel):
    """A provider's account as it is configured for a channel; `secrets` is sealed text that only the engine opens."""

    owns_address = (
        False  # where `candidates` found it: nobody else claims that address, or this one is proven to own it
    )

    oid = TextField()
    channel = TextField()
    settings = JSONField(default=dict)
    secrets = TextField()
    secret_hints = JSONField(default=dict)  # the end of each secret, by its name
    health = TextField(default="unknown")
    health_detail = TextField(null=True)
    facts = JSONField(default=dict)  # what the provider calls the account
    checked_at = TextField(null=True)
    templates = JSONField(null=True)
    templates_synced_at = TextField(null=True)
    created_at = TextField()
    updated_at = TextField()


class IntegrationAddress(TenantModel):
    """What a webhook may call an integration; `proven_at` is when the provider last confirmed that it is its own."""

    integration_id = BigIntegerField()
    channel = TextField()
    address = TextField()
    proven_at = TextField(null=True)


def all_of(tenant: Tenant) -> list[Integration]:
    """The tenant's integrations, by the name of their channel."""
    found: Any = Integration.of(tenant).order_by(Integration.channel)
    return list(found)


def find(tenant: Tenant, channel: str) -> Integration | None:
    """The tenant's integration of this channel, None where there is none."""
    found: Integration | None = Integration.of(tenant).where(Integration.channel == channel).first()
    return found


def get(tenant: Tenant, channel: str) -> Integration:
    """The tenant's integration of this channel. Raises NotFound."""
    return _found(find(tenant, channel))


def lock(tenant: Tenant, channel: str) -> Integration:
    """The tenant's integration of this channel, held until the caller's transaction ends. Raises NotFound."""
    return _found(lock_if_there(tenant, channel))


def lock_if_there(tenant: Tenant, channel: str) -> Integration | None:
    """The same, but None where there is none."""
    query = Integration.of(tenant).where(Integration.channel == channel)
    found: Integration | None = (query if is_sqlite() else query.for_update()).first()
    return found


def _found(integration: Integration | None) -> Integration:
    if integration is None:
        raise NotFound("integration_not_found", "No integration is configured for this channel")
    return integration


def candidates(channel: str, address: str) -> list[Integration]:
    """Every integration, of whatever tenant, that claims this address, those proven to own it first, then the oldest.

    Whose secret verifies the webhook's signature is the one that the webhook is for. Each tells `owns_address`.
    """
    proven = IntegrationAddress.proven_at
    found: list[Any] = list(
        ModelSelect(Integration, [*Integration._meta.sorted_fields, proven.alias("address_proven_at")])
        .join(IntegrationAddress, on=(IntegrationAddress.integration_id == Integration.id))
        .where((IntegrationAddress.channel == channel) & (IntegrationAddress.address == address))
        .order_by(proven.is_null(), Integration.id)
        .limit(20)  # more than honest tenants make of one address, few enough to verify each
        .objects()
    )
    for integration in found:
        integration.owns_address = len(found) == 1 or integration.address_proven_at is not None
    return found


def by_oid(oid: str) -> Integration | None:
    """The integration of this id, of whatever tenant, None if there is none."""
    found: Integration | None = (
        ModelSelect(Integration, Integration._meta.sorted_fields).where(Integration.oid == oid).first()
    )
    return found


def after(row_id: int, limit: int) -> list[Integration]:
    """Integrations of all tenants in the order of their rows, from the one after this row on."""
    rows: Any = ModelSelect(Integration, Integration._meta.sorted_fields).where(Integration.id > row_id)
    return list(rows.order_by(Integration.id).limit(limit))


def add(tenant: Tenant, channel: str, **columns: Any) -> Integration:
    """Store a new integration, in the caller's transaction, which holds the tenant. columns: oid, settings, secrets."""
    moment = clock.stamp()
    values = {"oid": new_id(), "created_at": moment, "updated_at": moment, **columns}
    return Integration.add(tenant, channel=channel, **values)


def change(integration: Integration, **columns: Any) -> None:
    """Store these columns of a held integration; what is known of its health was known of what it was before."""
    integration.store(
        **columns, health="unknown", health_detail=None, facts={}, checked_at=None, updated_at=clock.stamp()
    )


def set_addresses(tenant: Tenant, integration: Integration, addresses: Collection[str]) -> None:
    """Have a held integration claim these addresses and no others; one that it keeps stays proven."""
    given_up = IntegrationAddress.address.not_in(sorted(addresses))
    of_integration = IntegrationAddress.integration_id == integration.id
    IntegrationAddress.remove(tenant).where(of_integration & given_up).execute()
    kept = {row.address for row in _addresses(tenant, integration)}
    for address in sorted(set(addresses) - kept):
        IntegrationAddress.add(
            tenant, integration_id=integration.id, channel=integration.channel, address=address, proven_at=None
        )


def _addresses(tenant: Tenant, integration: Integration) -> list[IntegrationAddress]:
    found: Any = IntegrationAddress.of(tenant).where(IntegrationAddress.integration_id == integration.id)
    return list(found)


def note_health(
    tenant: Tenant,
    integration: Integration,
    state: HealthState,
    detail: str,
    facts: Mapping[str, str],
    proven: Collection[str],
) -> None:
    """Keep the answer of a check, in the caller's transaction. proven: addresses that the provider confirmed.

    facts: what the provider calls the account; where it says nothing, as a failing one does, the known ones stay.
    """
    moment = clock.stamp()
    known = dict(facts) or integration.facts
    integration.store(health=state, health_detail=detail, facts=known, checked_at=moment)
    for row in _addresses(tenant, integration):
        if row.address in proven:
            row.store(proven_at=moment)


def remove(tenant: Tenant, integration: Integration) -> None:
    """Delete an integration with its secrets and addresses."""
    Integration.remove(tenant).where(Integration.id == integration.id).execute()


def store_templates(integration: Integration, templates: list[dict[str, Any]]) -> None:
    """Keep the provider's message templates, in the contract's shape, with a held integration."""
    integration.store(templates=templates, templates_synced_at=clock.stamp())
