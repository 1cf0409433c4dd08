"""Accounts, their two environments (the tenants) and their members."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, cast

from peewee import BigAutoField, JSONField, ModelInsert, ModelSelect, TextField

from . import audit, clock
from .base import AccountModel, Row
from .database import database, is_sqlite, transaction
from .errors import NotFound
from .ids import new_id
from .leads import LeadCounter
from .tenancy import Actor, Environment, Tenant

ENVIRONMENTS: tuple[Environment, ...] = ("live", "test")


class Account(Row):
    """An organization that runs its lead engagement here, with the settings both environments share."""

    id = TextField(primary_key=True)
    name = TextField()
    timezone = TextField(default="UTC")
    default_region = TextField(null=True)  # ISO 3166 region for phones written without a country code
    settings = JSONField(default=dict)  # only what the account set itself, in the contract's names
    created_at = TextField()
    updated_at = TextField()


class AccountEnvironment(Row):
    """One tenant: the live or the test half of an account. The webhook token says where an inbound lead lands."""

    id = BigAutoField()
    account_id = TextField()
    environment = TextField()
    webhook_token = TextField()
    webhook_token_hash = TextField()

    @property
    def tenant(self) -> Tenant:
        """The value that every storage query wants."""
        return Tenant(self.id, self.account_id, cast(Environment, self.environment))


class Member(AccountModel):
    """A person of the account."""

    clerk_user_id = TextField()
    email = TextField()
    first_name = TextField(default="")
    last_name = TextField(default="")
    roles = JSONField(default=list)
    created_at = TextField()


def _token() -> tuple[str, str]:
    token = f"whk_{secrets.token_urlsafe(32)}"  # the prefix tells a person, or a scanner of secrets, what was found
    return token, hash_token(token)


def hash_token(token: str) -> str:
    """What a webhook token is looked up by: comparing digests tells nothing about the token through timing."""
    return hashlib.sha256(token.encode()).hexdigest()


def create(name: str, *, owner_email: str | None = None, default_region: str | None = None) -> Account:
    """A new account with a live and a test tenant and, if an address is given, its first owner."""
    moment = clock.stamp()
    account = Account(id=new_id(), name=name, default_region=default_region, created_at=moment, updated_at=moment)
    ModelInsert(Account, account.__data__).execute()
    for environment in ENVIRONMENTS:
        token, digest = _token()
        tenant_id = AccountEnvironment.insert(
            account_id=account.id, environment=environment, webhook_token=token, webhook_token_hash=digest
        ).execute()
        LeadCounter.insert(tenant_id=tenant_id).execute()
    if owner_email:
        member_id = new_id()
        Member.add(
            account.id,
            id=member_id,
            clerk_user_id=member_id,
            email=owner_email,
            roles=["owner"],
            created_at=moment,
        )
    return account


def get(account_id: str) -> Account:
    """The account with this id. Raises NotFound."""
    account = Account.get_or_none(Account.id == account_id)
    if account is None:
        raise NotFound("account_not_found", "Account not found")
    return account


def lock(account_id: str) -> Account:
    """The account with this id, held until the caller's transaction ends. Raises NotFound."""
    query = ModelSelect(Account, Account._meta.sorted_fields).where(Account.id == account_id)
    account: Account | None = (query if is_sqlite() else query.for_update()).first()
    if account is None:
        raise NotFound("account_not_found", "Account not found")
    return account


def save(account: Account, **columns: Any) -> None:
    """Store these columns of a held account."""
    account.store(**columns, updated_at=clock.stamp())


def settings(account_id: str) -> dict[str, Any]:
    """What the account set itself, in the contract's names; what is absent has its default. Raises NotFound."""
    return dict(get(account_id).settings)


def audit_retentions() -> list[tuple[str, int]]:
    """The accounts that do not keep their audit log for ever, each with the days that it keeps it."""
    days = Account.settings["retention"]["auditLogDays"]
    query = ModelSelect(Account, [Account.id, days]).where(days.is_null(False)).order_by(Account.id)
    return [(row[0], int(row[1])) for row in database.execute(query)]


def default_agent_id(tenant: Tenant) -> str | None:
    """The agent that opens conversations where nothing else says who does; each environment has one of its own."""
    found: str | None = settings(tenant.account_id).get("defaultAgentIds", {}).get(tenant.environment)
    return found


def environment_of(tenant: Tenant) -> AccountEnvironment:
    """The tenant's own row. Raises NotFound."""
    return tenant_row(tenant.account_id, tenant.environment)


def tenant_row(account_id: str, environment: Environment) -> AccountEnvironment:
    """The tenant that is this environment of this account. Raises NotFound."""
    row = AccountEnvironment.get_or_none(
        (AccountEnvironment.account_id == account_id) & (AccountEnvironment.environment == environment)
    )
    if row is None:
        raise NotFound("account_not_found", "Account not found")
    return row


def tenant_by_id(tenant_id: int) -> Tenant:
    """The tenant with this internal id, for workers that act from its rows."""
    return AccountEnvironment.get_by_id(tenant_id).tenant


def all_tenants() -> list[Tenant]:
    """Every tenant there is, for what the operator of newleaf does."""
    return [row.tenant for row in AccountEnvironment.select().order_by(AccountEnvironment.id)]


def tenant_by_webhook_token(token: str) -> Tenant | None:
    """The tenant that this inbound token belongs to, None if nobody's."""
    row = AccountEnvironment.get_or_none(AccountEnvironment.webhook_token_hash == hash_token(token))
    return None if row is None else row.tenant


def rotate_webhook_token(tenant: Tenant, actor: Actor) -> str:
    """Give the tenant a new inbound token and return it; the old one stops working with the commit."""
    token, digest = _token()
    with transaction():
        environment_of(tenant).store(webhook_token=token, webhook_token_hash=digest)
        audit.record(tenant, actor, "account.webhook_token_rotated", tenant.account_id)
    return token
