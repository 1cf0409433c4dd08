"""Whoever is contacted is contacted once: by several workers, over crashes, pauses and changes of mind."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from engine.campaigns import delivery, dispatch, lifecycle, steps
from engine.jobs import registry
from engine.jobs.worker import work_next
from storage import agents, campaign_batches, clock, database, leads, outbox
from storage.audit import AuditEntry
from storage.conversations import Conversation, Message
from storage.deliveries import DeliveryAttempt
from storage.errors import NotFound
from storage.leads import Lead

MONDAY = datetime(2026, 3, 9, 12, tzinfo=UTC)


@pytest.fixture
def at(monkeypatch):
    """Sets the clock."""

    def put(moment):
        monkeypatch.setattr(clock, "now", lambda: moment)

    put(MONDAY)
    return put


def assert_told_once(tenant, rows, counts):
    """sent = unique = ledger = stats, and each message was taken by the provider once."""
    talks = list(Conversation.of(tenant).where(Conversation.campaign_recipient_id.is_null(False)))
    told = [row.id for row in rows if row.state in ("sent", "delivered")]
    assert Counter(talk.campaign_recipient_id for talk in talks) == Counter(told)
    first = Message.of(tenant).where(Message.campaign_recipient_id.is_null(False))
    assert Counter(message.campaign_recipient_id for message in first) == Counter(told)
    accepted = DeliveryAttempt.of(tenant).where(DeliveryAttempt.state == "accepted")
    assert sorted(Counter(each.message_id for each in accepted).items()) == sorted((each.id, 1) for each in first)
    assert counts.sent == counts.delivered == len(told)
    assert counts.total == counts.pending + counts.queued + counts.sent + counts.failed + counts.skipped == len(rows)


def test_each_lead_is_told_once_in_its_own_words(tenant, launch, make_lead, run_all, ledger, stats, present):
    people = [make_lead(name=f"Ada{number} Example") for number in range(25)]
    campaign = launch()

    run_all()

    assert present(campaign).status == "completed"
    assert_told_once(tenant, ledger(campaign), stats(campaign))
    said = {message.content for message in Message.of(tenant)}
    assert said == {f"Hello {lead.name.split()[0]}" for lead in people}
    assert {lead.status for lead in Lead.of(tenant)} == {"contacted"}
    assert len([each for each in outbox.OutboxRow.select() if each.kind == "idle"]) == 25


def test_audience_is_frozen_at_the_start_stretch_by_stretch(launch, make_lead, run_all, ledger, monkeypatch):
    monkeypatch.setattr(steps, "LEADS", 2)
    people = [make_lead() for _ in range(5)]
    campaign = launch()
    make_lead()

    run_all()

    assert [row.lead_number for row in ledger(campaign)] == [lead.number for lead in people]


def test_two_workers_share_a_campaign(tenant, launch, make_lead, ledger, stats, present, monkeypatch):
    monkeypatch.setattr(dispatch, "BATCH", 3)
    for _ in range(30):
        make_lead()
    campaign = launch()

    def serve():
        for _ in range(10_000):
            with database.connection():
                if not work_next() and present(campaign).status == "completed":
                    return

    threads = [threading.Thread(target=serve) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert present(campaign).status == "completed"
    assert_told_once(tenant, ledger(campaign), stats(campaign))


class _Killed(BaseException):
    """A worker that dies."""


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ((campaign_batches, "put_all"), "campaign_dispatch"),
        ((campaign_batches, "begin_all"), "campaign_delivery"),
        ((delivery, "_finish"), "campaign_delivery"),
    ],
    ids=["before the conversations are stored", "before the calls are made", "before their outcome is stored"],
)
def test_worker_that_dies_tells_nobody_twice(
    tenant, launch, make_lead, run_all, step, ledger, stats, present, advance, monkeypatch, where, kind
):
    for _ in range(5):
        make_lead()
    campaign = launch()

    def die(*_args):
        raise _Killed

    with monkeypatch.context() as broken:
        broken.setattr(*where, die)
        with pytest.raises(_Killed):
            step(kind)
    advance(registry.lease_s(kind) + 1)
    run_all()
    advance(10)
    run_all()

    assert present(campaign).status == "completed"
    assert_told_once(tenant, ledger(campaign), stats(campaign))


def test_pause_stops_and_resumption_goes_on(
    tenant, actor, launch, make_lead, run_all, step, ledger, stats, present, monkeypatch
):
    monkeypatch.setattr(dispatch, "BATCH", 2)
    for _ in range(5):
        make_lead()
    campaign = launch()
    step("campaign_dispatch")

    lifecycle.pause(tenant, campaign.oid, actor=actor)
    run_all()
    paused = stats(campaign)
    lifecycle.resume(tenant, campaign.oid, actor=actor)
    run_all()

    assert (paused.sent, paused.pending) == (2, 3)
    assert present(campaign).status == "completed"
    assert_told_once(tenant, ledger(campaign), stats(campaign))


def test_cancelled_campaign_leaves_out_the_rest(
    tenant, actor, launch, make_lead, run_all, step, ledger, stats, present, monkeypatch
):
    monkeypatch.setattr(dispatch, "BATCH", 2)
    monkeypatch.setattr(steps, "ROWS", 1)
    for _ in range(5):
        make_lead()
    campaign = launch()
    step("campaign_dispatch")

    lifecycle.cancel(tenant, campaign.oid, actor=actor)
    run_all()

    assert (present(campaign).status, present(campaign).reason) == ("completed", "cancelled")
    assert Counter((row.state, row.reason) for row in ledger(campaign)) == {
        ("delivered", None): 2,
        ("skipped", "campaign_cancelled"): 3,
    }
    assert_told_once(tenant, ledger(campaign), stats(campaign))


def test_scheduled_campaign_starts_in_time_with_the_leads_of_then(launch, make_lead, run_all, ledger, present, at):
    campaign = launch(schedule={"startAt": "2026-03-09T13:00:00Z"})
    run_all()
    before = present(campaign).status
    make_lead()
    at(MONDAY + timedelta(hours=1))

    run_all()

    assert (before, len(ledger(campaign))) == ("scheduled", 1)
    assert present(campaign).status == "completed"


def test_windows_open_by_the_clock_of_each_lead(tenant, launch, make_lead, run_all, ledger, at):
    here, there = make_lead(timezone="Europe/Lisbon"), make_lead(timezone="America/New_York")
    at(datetime(2026, 3, 9, 9, 30, tzinfo=UTC))  # 9:30 in Lisbon, 5:30 in New York, on summer time since yesterday
    campaign = launch(schedule={"windows": [{"from": "09:00", "to": "17:00"}]})
    run_all()
    at(datetime(2026, 3, 9, 9, 31, tzinfo=UTC))
    run_all()

    [first, second] = ledger(campaign)
    assert (first.lead_number, first.state) == (here.number, "delivered")
    assert (second.lead_number, second.state, second.reason) == (there.number, "pending", "outside_window")
    assert second.due_at == "2026-03-09T13:00:00.000Z"
    for minutes in (60, 120, 180, 211):
        at(datetime(2026, 3, 9, 9, 31, tzinfo=UTC) + timedelta(minutes=minutes))
        run_all()
    assert ledger(campaign)[1].state == "delivered"


def test_daily_cap_ends_at_midnight_where_the_campaign_is(launch, make_lead, run_all, stats, at):
    for _ in range(5):
        make_lead()
    campaign = launch(schedule={"dailyCap": 2, "timezone": "Europe/Lisbon"})
    sent = []
    for hours in (0, 1, 13, 14, 37, 38):
        at(MONDAY + timedelta(hours=hours))
        run_all()
        sent.append(stats(campaign).sent)

    assert sent == [2, 2, 4, 4, 5, 5]


def test_pace_is_kept_in_every_minute(tenant, launch, make_lead, run_all, at):
    for _ in range(20):
        make_lead()
    launch(schedule={"messagesPerMinute": 60})

    for second in range(30):
        at(MONDAY + timedelta(seconds=second))
        run_all()

    times = sorted(talk.created_at for talk in Conversation.of(tenant))
    assert len(times) == 20
    assert times[0] < "2026-03-09T12:00:01"
    assert times[-1] > "2026-03-09T12:00:16"


def test_who_opted_out_after_the_start_is_left_out(tenant, launch, make_lead, step, run_all, ledger):
    lead, _ = make_lead(), make_lead()
    campaign = launch()
    step("campaign_freeze")
    leads.get(tenant, lead.number).store(opted_out=["sms"])

    run_all()

    assert [(row.state, row.reason) for row in ledger(campaign)] == [("skipped", "opted_out"), ("delivered", None)]


def test_who_opted_out_before_the_delivery_is_not_written_to(tenant, launch, make_lead, step, run_all, ledger, stats):
    lead, _ = make_lead(), make_lead()
    campaign = launch()
    step("campaign_dispatch")
    leads.get(tenant, lead.number).store(opted_out=["sms"])

    run_all()

    assert [(row.state, row.reason) for row in ledger(campaign)] == [("failed", "opted_out"), ("delivered", None)]
    assert (stats(campaign).sent, stats(campaign).failed) == (1, 1)


def test_campaign_stops_when_its_agent_may_not_speak(tenant, launch, make_agent, make_lead, step, run_all, present):
    make_lead()
    agent = make_agent()
    campaign = launch(agentConfigId=agent.oid)
    step("campaign_freeze")
    agents.get(tenant, agent.oid).store(status="inactive")

    run_all()

    assert (present(campaign).status, present(campaign).reason) == ("paused", "agent_not_active")


def test_agent_words_the_first_message_where_none_is_given(
    tenant, launch, make_lead, model, run_all, stats, present, advance
):
    make_lead()
    campaign = launch(message=None)

    run_all()
    advance(2)
    run_all()

    assert [message.content for message in Message.of(tenant)] == ["Hi, this is Mia."]
    assert present(campaign).status == "completed"
    assert stats(campaign).delivered == 1


def test_handover_before_the_first_message_counts_as_failed(tenant, launch, make_lead, step, stats):
    make_lead()
    campaign = launch(message=None)
    step("campaign_dispatch")
    from engine import conversations

    [talk] = Conversation.of(tenant)
    conversations.change_status(tenant, talk.oid, "handed_off", actor=lifecycle.SYSTEM)

    assert (stats(campaign).failed, stats(campaign).queued) == (1, 0)


def test_steps_are_audited(tenant, actor, launch, make_lead, run_all):
    make_lead()
    launch()
    run_all()

    of_campaigns = AuditEntry.of(tenant.account_id).where(AuditEntry.resource_type == "campaign")
    found = [entry.action for entry in of_campaigns.order_by(AuditEntry.created_at, AuditEntry.id)]
    assert found == [f"campaign.{verb}" for verb in ("created", "started", "dispatched", "completed")]


def test_campaigns_of_another_tenant_are_not_found(live_tenant, actor, launch):
    campaign = launch()

    for change in (lifecycle.pause, lifecycle.cancel, lifecycle.delete, lifecycle.duplicate):
        with pytest.raises(NotFound):
            change(live_tenant, campaign.oid, actor=actor)
