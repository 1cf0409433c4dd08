"""What an account sets counts at once, for what already waits too."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine import account_settings
from storage import clock, outbox
from storage.outbox import OutboxRow


@pytest.fixture
def put_waiting(tenant, live_tenant):
    """Puts a message into the outbox that a rule holds for an hour; answers its row."""

    def put(owner=live_tenant, rule="quiet_hours"):
        row = outbox.put(owner, "deliver", f"lane-{owner.id}", {}, available_at=clock.now() + timedelta(hours=1))
        OutboxRow.update(held_for=rule).where(OutboxRow.id == row).execute()
        return row

    return put


def is_due(row):
    return OutboxRow.get_by_id(row).available_at <= clock.stamp()


@pytest.mark.parametrize("body", [{"quietHours": None}, {"frequencyCap": {"messages": 9, "hours": 1}}], ids=str)
def test_messages_that_a_rule_holds_are_decided_on_again_once_it_changes(
    tenant, live_tenant, other_tenant, actor, put_waiting, body
):
    rows = [put_waiting(owner) for owner in (tenant, live_tenant, other_tenant)]

    account_settings.update(tenant, body, actor=actor)

    assert [is_due(row) for row in rows] == [True, True, False]


def test_other_changes_and_other_waits_stay_as_they_are(tenant, actor, put_waiting):
    held, paused = put_waiting(), put_waiting(rule="paused")

    account_settings.update(tenant, {"name": "Renamed"}, actor=actor)
    before = is_due(held)
    account_settings.update(tenant, {"quietHours": None}, actor=actor)

    assert (before, is_due(held), is_due(paused)) == (False, True, False)
