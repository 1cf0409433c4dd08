"""Budgets: what an account may use in a month before everything that uses more is stopped.

A budget is checked before something is begun and counted when it is done, so what is under way at once may exceed it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from storage import usage
from storage.tenancy import Tenant
from storage.usage import Spent

MESSAGES, TOKENS, COST = "monthlyMessages", "monthlyTokens", "monthlyCostUsd"
BUDGETS = (MESSAGES, TOKENS, COST)


class Budget(NamedTuple):
    """One that the account has set: messages sent, tokens in and out, or US dollars, of this month."""

    name: str
    limit: float
    used: float

    @property
    def left(self) -> float:
        """What may still be used; 0 once it is exhausted."""
        return round(max(0, self.limit - self.used), 6)


def standing(spent: Spent) -> list[Budget]:
    """The budgets that an account has set, and what it has used of them."""
    used = {MESSAGES: spent.messages_sent, TOKENS: spent.tokens, COST: spent.cost_micros / 1_000_000}
    limits = spent.settings.get("budgets") or {}
    return [Budget(name, limits[name], used[name]) for name in BUDGETS if limits.get(name) is not None]


def exhausted(tenant: Tenant, now: datetime, of: Collection[str] = BUDGETS) -> str | None:
    """The first of these budgets of the tenant's account that is used up this month, None if none is; one query."""
    return next((each.name for each in standing(usage.spent(tenant, now)) if each.name in of and not each.left), None)
