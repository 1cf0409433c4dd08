"""What a tenant used, month by month in UTC: counted where it happens, in the transaction that it happens in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

from peewee import EXCLUDED, JOIN, BigIntegerField, ModelSelect, TextField, fn

from .accounts import Account, AccountEnvironment
from .base import TenantModel
from .statements import ANY_TENANT, slot, statement
from .tenancy import Tenant

_COUNTS = ("messages_sent", "messages_received", "turns", "input_tokens", "output_tokens", "cost_micros")


class UsageMonth(TenantModel):
    """Counts of one month; cost in millionths of a US dollar."""

    month = TextField()  # 2026-11
    messages_sent = BigIntegerField(default=0)
    messages_received = BigIntegerField(default=0)
    turns = BigIntegerField(default=0)
    input_tokens = BigIntegerField(default=0)
    output_tokens = BigIntegerField(default=0)
    cost_micros = BigIntegerField(default=0)


class Spent(NamedTuple):
    """What an account used in a month, over both environments, and its settings, which hold its budgets."""

    settings: dict[str, Any]
    messages_sent: int
    tokens: int
    cost_micros: int


def month_of(now: datetime) -> str:
    """The month that this moment counts to, such as `2026-11`."""
    return now.astimezone(UTC).strftime("%Y-%m")


def add(
    tenant: Tenant,
    now: datetime,
    *,
    messages_sent: int = 0,
    messages_received: int = 0,
    turns: int = 0,
    input_tokens: int = 0,
    output_tokens: int = 0,
    cost_micros: int = 0,
) -> None:
    """Count this to the month, in the caller's transaction.

    Every transaction of a tenant that counts waits for the one before: call it late in yours.
    """
    counts = (messages_sent, messages_received, turns, input_tokens, output_tokens, cost_micros)
    values = {"tenant": tenant.id, "month": month_of(now), **dict(zip(_COUNTS, counts, strict=True))}
    statement("usage.add", _added).run(values)


def _added() -> Any:
    columns = {UsageMonth._meta.fields[name]: slot(name) for name in ("month", *_COUNTS)}
    counts = [UsageMonth._meta.fields[name] for name in _COUNTS]
    return UsageMonth.add_all(ANY_TENANT, [columns]).on_conflict(
        conflict_target=[UsageMonth.tenant_id, UsageMonth.month],
        update={count: count + EXCLUDED[count.column_name] for count in counts},
    )


def months(tenant: Tenant, limit: int) -> list[UsageMonth]:
    """The latest months in which the tenant used something, the newest first."""
    found: Any = UsageMonth.of(tenant).order_by(UsageMonth.month.desc()).limit(limit)
    return list(found)


def spent(tenant: Tenant, now: datetime) -> Spent:
    """What the tenant's account used this month, over both environments, in one query."""
    row = statement("usage.spent", _spent).run({"account": tenant.account_id, "month": month_of(now)}).fetchone()
    settings, *counts = row
    # SQLite hands JSON out as text, psycopg as what it says.
    return Spent(json.loads(settings) if isinstance(settings, str) else settings, *map(int, counts))


def _spent() -> Any:
    sums = [UsageMonth.messages_sent, UsageMonth.input_tokens + UsageMonth.output_tokens, UsageMonth.cost_micros]
    is_month = (AccountEnvironment.id == UsageMonth.tenant_id) & (UsageMonth.month == slot("month"))
    return (
        ModelSelect(Account, [Account.settings, *(fn.COALESCE(fn.SUM(each), 0) for each in sums)])
        .join(AccountEnvironment, JOIN.LEFT_OUTER, on=(AccountEnvironment.account_id == Account.id))
        .join(UsageMonth, JOIN.LEFT_OUTER, on=is_month)
        .where(Account.id == slot("account"))
        .group_by(Account.id)
    )
