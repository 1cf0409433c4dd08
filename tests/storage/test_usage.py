"""Usage: counted by month and tenant, added up over the environments of an account."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from storage import accounts, usage
from storage.database import transaction

NOW = datetime(2026, 11, 24, 7, tzinfo=UTC)


def test_counts_add_up_in_their_month(tenant):
    for moment in (NOW, NOW + timedelta(days=1), NOW - timedelta(days=30)):
        usage.add(tenant, moment, messages_sent=2, turns=1, input_tokens=100, output_tokens=20, cost_micros=1500)
    usage.add(tenant, NOW, messages_received=3)

    latest, before = usage.months(tenant, 12)

    assert (latest.month, latest.messages_sent, latest.messages_received, latest.turns) == ("2026-11", 4, 3, 2)
    assert (latest.input_tokens, latest.output_tokens, latest.cost_micros) == (200, 40, 3000)
    assert (before.month, before.messages_sent) == ("2026-10", 2)


def test_month_is_that_of_utc():
    assert usage.month_of(datetime(2026, 12, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == "2026-11"


def test_what_is_rolled_back_does_not_count(tenant):
    try:
        with transaction():
            usage.add(tenant, NOW, messages_sent=1)
            raise RuntimeError
    except RuntimeError:
        pass

    assert usage.months(tenant, 12) == []


def test_account_spends_in_both_environments_and_not_in_anothers(tenant, other_tenant):
    test = accounts.tenant_row(tenant.account_id, "test").tenant
    for owner in (tenant, test, other_tenant):
        usage.add(owner, NOW, messages_sent=1, input_tokens=10, output_tokens=1, cost_micros=5)
    usage.add(tenant, NOW - timedelta(days=60), messages_sent=7)

    assert usage.spent(test, NOW) == ({}, 2, 22, 10)


def test_account_that_used_nothing_spent_nothing(tenant):
    assert usage.spent(tenant, NOW) == ({}, 0, 0, 0)


def test_months_are_the_tenants_own(tenant, other_tenant):
    usage.add(other_tenant, NOW, messages_sent=1)

    assert usage.months(tenant, 12) == []
