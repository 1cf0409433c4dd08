"""The caller's account: itself and its settings, usage, roles, and the token that lets leads in."""

from __future__ import annotations

from typing import Any

from engine import account_settings, budgets
from storage import accounts, api_keys, clock, usage
from storage.accounts import Account
from storage.roles import ROLES, scopes_of
from storage.tenancy import Caller
from storage.usage import UsageMonth

Json = dict[str, Any]


def get_current_account(user: Caller) -> Json:
    """The caller's account, with the webhook token of the key's environment."""
    return _body(user, accounts.get(user.tenant.account_id))


def update_current_account(user: Caller, body: Json) -> Json:
    """Change what the body names. Raises Blocked, NotFound (the default agent)."""
    return _body(user, account_settings.update(user.tenant, body, actor=user.actor))


def get_current_usage(user: Caller, months: int = 12) -> Json:
    """What the key's environment used, by month, and what is left of the account's budgets."""
    now = clock.now()
    standing = budgets.standing(usage.spent(user.tenant, now))
    exhausted = [budget.name for budget in standing if not budget.left]
    body: Json = {
        "environment": user.tenant.environment,
        "month": usage.month_of(now),
        "months": [_month(each) for each in usage.months(user.tenant, months)],
        "budgets": [{**budget._asdict(), "left": budget.left} for budget in standing],
    }
    return body | {"exhausted": exhausted[0]} if exhausted else body


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


def _body(user: Caller, account: Account) -> Json:
    """An Account of the contract; settings that have their default are absent."""
    settings = account.settings
    members = {
        "_id": account.id,
        "name": account.name,
        "environment": user.tenant.environment,
        "webhookToken": accounts.environment_of(user.tenant).webhook_token,
        "timezone": account.timezone,
        "defaultRegion": account.default_region,
        **{name: settings.get(name) for name in account_settings.SETTINGS},
        "defaultAgentId": settings.get("defaultAgentIds", {}).get(user.tenant.environment),
        "createdAt": account.created_at,
        "updatedAt": account.updated_at,
    }
    return {name: value for name, value in members.items() if value is not None}


def _month(month: UsageMonth) -> Json:
    return {
        "month": month.month,
        "messagesSent": month.messages_sent,
        "messagesReceived": month.messages_received,
        "turns": month.turns,
        "inputTokens": month.input_tokens,
        "outputTokens": month.output_tokens,
        "costUsd": month.cost_micros / 1_000_000,
    }
