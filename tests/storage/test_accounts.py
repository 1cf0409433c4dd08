import pytest

from storage import accounts
from storage.audit import AuditEntry
from storage.errors import NotFound
from storage.tenancy import SYSTEM, Actor


@pytest.fixture
def account(tenant):
    return accounts.get(tenant.account_id)


def row(account, environment):
    return accounts.tenant_row(account.id, environment)


def test_new_account_has_two_tenants_with_tokens_of_their_own(account):
    live, test = row(account, "live"), row(account, "test")

    assert live.tenant != test.tenant
    assert live.webhook_token != test.webhook_token
    assert live.webhook_token.startswith("whk_")


def test_token_leads_to_its_tenant(account):
    test = row(account, "test")

    assert accounts.tenant_by_webhook_token(test.webhook_token) == test.tenant


def test_nobodys_token_leads_nowhere(account):
    assert accounts.tenant_by_webhook_token("whk_made_up") is None


def test_rotated_token_replaces_the_old_one_of_this_environment_only(account):
    live, test = row(account, "live"), row(account, "test")

    token = accounts.rotate_webhook_token(live.tenant, SYSTEM)

    assert accounts.tenant_by_webhook_token(token) == live.tenant
    assert accounts.tenant_by_webhook_token(live.webhook_token) is None
    assert accounts.tenant_by_webhook_token(test.webhook_token) == test.tenant


def test_rotation_is_audited_without_the_token(account):
    actor = Actor("api_key", "6" * 24, "CRM sync", "192.0.2.1", "req-1")

    token = accounts.rotate_webhook_token(row(account, "live").tenant, actor)

    [entry] = AuditEntry.of(account.id)
    assert (entry.action, entry.resource_id, entry.actor_id) == (
        "account.webhook_token_rotated",
        account.id,
        actor.id,
    )
    assert token not in str(entry.__data__)


def test_unknown_account_is_not_found(tenant):
    with pytest.raises(NotFound):
        accounts.get("0" * 24)
