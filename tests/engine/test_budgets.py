"""Budgets: what is used up stops what uses more, in both environments, until the month is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine import budgets
from storage import accounts, usage

NOW = datetime(2026, 11, 24, 7, tzinfo=UTC)


@pytest.fixture
def set_budgets(tenant):
    def store(**limits):
        accounts.get(tenant.account_id).store(settings={"budgets": limits})

    return store


def test_without_budgets_nothing_is_exhausted(tenant):
    usage.add(tenant, NOW, messages_sent=1_000_000)

    assert budgets.exhausted(tenant, NOW) is None


@pytest.mark.parametrize(
    ("limits", "used", "exhausted"),
    [
        ({"monthlyMessages": 3}, {"messages_sent": 2}, None),
        ({"monthlyMessages": 3}, {"messages_sent": 3}, "monthlyMessages"),
        ({"monthlyMessages": 3}, {"messages_received": 9}, None),
        ({"monthlyMessages": 0}, {}, "monthlyMessages"),
        ({"monthlyTokens": 100}, {"input_tokens": 60, "output_tokens": 39}, None),
        ({"monthlyTokens": 100}, {"input_tokens": 60, "output_tokens": 40}, "monthlyTokens"),
        ({"monthlyCostUsd": 0.5}, {"cost_micros": 499_999}, None),
        ({"monthlyCostUsd": 0.5}, {"cost_micros": 500_000}, "monthlyCostUsd"),
        ({"monthlyMessages": None, "monthlyTokens": 1}, {"messages_sent": 5}, None),
    ],
)
def test_budget_is_exhausted_once_it_is_reached(tenant, set_budgets, limits, used, exhausted):
    set_budgets(**limits)
    usage.add(tenant, NOW, **used)

    assert budgets.exhausted(tenant, NOW) == exhausted


def test_other_environment_uses_up_the_same_budget(tenant, live_tenant, other_tenant, set_budgets):
    set_budgets(monthlyMessages=2)
    usage.add(tenant, NOW, messages_sent=1)
    usage.add(other_tenant, NOW, messages_sent=5)
    before = budgets.exhausted(live_tenant, NOW)

    usage.add(live_tenant, NOW, messages_sent=1)

    assert (before, budgets.exhausted(tenant, NOW)) == (None, "monthlyMessages")


def test_next_month_begins_anew(tenant, set_budgets):
    set_budgets(monthlyMessages=1)
    usage.add(tenant, NOW, messages_sent=1)

    assert budgets.exhausted(tenant, NOW + timedelta(days=7)) is None


def test_only_the_budgets_asked_for_count(tenant, set_budgets):
    set_budgets(monthlyTokens=1)
    usage.add(tenant, NOW, output_tokens=1)

    assert budgets.exhausted(tenant, NOW, of=[budgets.MESSAGES]) is None


def test_standing_tells_what_is_left(tenant, set_budgets):
    set_budgets(monthlyMessages=3, monthlyCostUsd=0.3)
    usage.add(tenant, NOW, messages_sent=5, cost_micros=100_000)

    messages, cost = budgets.standing(usage.spent(tenant, NOW))

    assert (messages.limit, messages.used, messages.left) == (3, 5, 0)
    assert (cost.name, cost.used, cost.left) == ("monthlyCostUsd", 0.1, 0.2)
