"""Integrations in the database: one a channel, found by tenant, by id, and by the addresses that they claim."""

from __future__ import annotations

import pytest

from storage import integrations
from storage.database import transaction
from storage.errors import NotFound
from storage.integrations import IntegrationAddress


@pytest.fixture
def make_integration(tenant):
    """Stores an integration that claims these addresses."""

    def make(owner=tenant, channel="whatsapp", addresses=("15550001",)):
        with transaction():
            integration = integrations.add(owner, channel, settings={"a": 1}, secrets="sealed", secret_hints={})
            integrations.set_addresses(owner, integration, addresses)
            return integration

    return make


def prove(tenant, integration, *addresses):
    integrations.note_health(tenant, integration, "healthy", "Works", {"name": "Example"}, addresses)


def claimed(channel, address):
    return [(found.oid, found.owns_address) for found in integrations.candidates(channel, address)]


def test_integration_is_found_by_its_channel_in_its_tenant_alone(tenant, other_tenant, make_integration):
    made = make_integration()

    assert integrations.get(tenant, "whatsapp").oid == made.oid
    assert integrations.find(tenant, "email") is None
    with pytest.raises(NotFound):
        integrations.get(other_tenant, "whatsapp")
    with pytest.raises(NotFound), transaction():
        integrations.lock(other_tenant, "whatsapp")


def test_all_of_a_tenant_come_by_channel(tenant, other_tenant, make_integration):
    for owner, channel in ((tenant, "sms"), (tenant, "email"), (other_tenant, "telegram")):
        make_integration(owner, channel, ())

    assert [each.channel for each in integrations.all_of(tenant)] == ["email", "sms"]


def test_sole_claimant_of_an_address_owns_it(make_integration):
    made = make_integration()

    assert claimed("whatsapp", "15550001") == [(made.oid, True)]
    assert claimed("whatsapp", "15550002") == claimed("email", "15550001") == []


def test_of_several_claimants_none_owns_an_address_until_it_is_proven(tenant, other_tenant, make_integration):
    first, second = make_integration(), make_integration(other_tenant)
    unproven = claimed("whatsapp", "15550001")

    prove(other_tenant, second, "15550001", "and another")

    assert unproven == [(first.oid, False), (second.oid, False)]
    assert claimed("whatsapp", "15550001") == [(second.oid, True), (first.oid, False)]


def test_address_that_is_kept_stays_proven_and_one_given_up_is_not(tenant, make_integration):
    integration = make_integration(addresses=["kept", "gone"])
    prove(tenant, integration, "kept", "gone")

    integrations.set_addresses(tenant, integration, ["kept", "new"])

    proven = {row.address: row.proven_at is not None for row in IntegrationAddress.of(tenant)}
    assert proven == {"kept": True, "new": False}


def test_health_is_kept_until_the_integration_changes(tenant, make_integration):
    integration = make_integration()
    prove(tenant, integration)
    known = integrations.get(tenant, "whatsapp")

    integrations.change(known, settings={"a": 2})

    changed = integrations.get(tenant, "whatsapp")
    assert (known.oid, integration.health, integration.facts) == (changed.oid, "healthy", {"name": "Example"})
    assert (changed.health, changed.health_detail, changed.facts, changed.settings) == ("unknown", None, {}, {"a": 2})


def test_removed_integration_takes_its_addresses_along(tenant, make_integration):
    integration = make_integration()

    integrations.remove(tenant, integration)

    assert integrations.by_oid(integration.oid) is None
    assert list(IntegrationAddress.of(tenant)) == []


def test_integrations_of_all_tenants_can_be_gone_through(tenant, other_tenant, make_integration):
    made = [make_integration(owner, channel) for owner in (tenant, other_tenant) for channel in ("email", "sms")]

    first = integrations.after(0, 3)

    rest = integrations.after(first[-1].id, 3)
    assert [each.oid for each in first + rest] == [each.oid for each in made]
