"""The caller's account: itself, the caller's roles, all roles there are, and the token that lets leads in."""

from __future__ import annotations

from typing import Any

from storage import accounts, api_keys
from storage.roles import ROLES, scopes_of
from storage.tenancy import Caller

Json = dict[str, Any]


def get_current_account(user: Caller) -> Json:
    """The caller's account, with the webhook token of the key's environment."""
    account = accounts.get(user.tenant.account_id)
    body = {
        "_id": account.id,
        "name": account.name,
        "environment": user.tenant.environment,
        "webhookToken": accounts.environment_of(user.tenant).webhook_token,
        "timezone": account.timezone,
        "createdAt": account.created_at,
        "updatedAt": account.updated_at,
    }
    return body if account.default_region is None else body | {"defaultRegion": account.default_region}


def get_current_roles(user: Caller) -> Json:
    """The caller's roles, and what its key may do."""
    return {"roles": list(user.roles), "permissions": api_keys.permissions(user)}


def list_available_roles(user: Caller) -> Json:  # noqa: ARG001 (every account has the same ones)
    """Every role with what it bundles, the most powerful first."""
    return {
        "roles": [
            {"name": name, "description": description, "permissions": scopes_of([name])}
            for name, description in ROLES.items()
        ]
    }


def rotate_webhook_token(user: Caller) -> Json:
    """A new inbound token for the key's environment; the old one ends with the commit."""
    return {"webhookToken": accounts.rotate_webhook_token(user.tenant, user.actor)}
