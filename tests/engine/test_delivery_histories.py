"""The same judge reads what the whole engine does: inbox, turns, outbox and worker, over a database and our clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from engine import channels, compliance, conversations
from engine.channels import Deferred, Outgoing, Said, Sender, Sent
from engine.compliance import FrequencyCap, QuietHours
from engine.inbound.hearing import hear
from engine.jobs import worker
from storage import accounts, clock, identities, leads
from storage import conversations as rows
from storage.database import transaction
from storage.outbox import OutboxRow
from tests.conftest import ACTOR
from tests.engine.test_compliance_histories import CHANNELS, SAYINGS, STARTS, WAITS, Happened, Judge, Rules

STEPS = 14
PHONE = "+12125550142"
NAMES = {"whatsapp": PHONE[1:], "telegram": "7001", "email": "ada@example.com", "sms": PHONE}


class Stage:
    """A lead of the live environment, the clock, and a provider of every channel."""

    repeats_safely = False
    pace_s = recipient_pace_s = 0.0

    def __init__(self, tenant: Any, number: int, random: Random) -> None:
        self.tenant, self.number, self.random = tenant, number, random
        self.now = random.choice(STARTS)
        self.happened: list[Happened] = []
        self.tell("moved", detail=(PHONE, None))

    def tell(self, what: Any, channel: str = "", detail: Any = None) -> None:
        self.happened.append(Happened(self.now, what, channel, detail))

    def send(self, message: Outgoing) -> Sent:
        if self.random.random() < 0.1:
            raise Deferred("sms_503", "Try again.")
        kind = "template" if message.template else "text"
        self.tell("sent", message.channel, "confirmation" if message.text == compliance.CONFIRMATION else kind)
        return Sent()

    def say(self) -> None:
        conversation = rows.latest_of(self.tenant, self.number, self.random.choice(CHANNELS))
        template = {"name": "first_contact"} if self.random.random() < 0.3 else None
        if conversation is not None:
            with transaction():
                rows.lock_lead(self.tenant, self.number)
                held = rows.lock(self.tenant, conversation.oid)
                kind = "template" if template else None
                conversations.say(self.tenant, held, "agent", "Hello", kind=kind, template=template)

    def hear(self) -> None:
        channel = self.random.choice(CHANNELS)
        text = self.random.choice(SAYINGS[self.random.choices(["stop", "start", None], [2, 1, 4])[0]])
        self.tell("said", channel, text)
        with transaction():
            hear(self.tenant, channel, Said(Sender((NAMES[channel],)), text, f"heard-{len(self.happened)}"), None)

    def wait(self) -> None:
        end = self.now + self.random.choice(WAITS)
        while (due := self._next_due()) is not None and due <= end:
            self.now = max(self.now, due)
            self.work()
        self.now = end

    def _next_due(self) -> datetime | None:
        waiting = OutboxRow.select().where((OutboxRow.state == "pending") & (OutboxRow.kind != "idle"))
        return min((clock.parse(row.available_at) for row in waiting), default=None)

    def work(self) -> None:
        while worker.work_next():
            continue


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_sent_that_must_not_be(live_tenant, make_agent, make_lead, model, monkeypatch, seed):
    random = Random(seed)
    make_agent(live_tenant, guardrails={"maxTotalMessages": 1000, "inactivityTimeoutMinutes": 10080})
    lead = make_lead(live_tenant, phone=PHONE, email=NAMES["email"])
    with transaction():
        for channel, name in NAMES.items():
            identities.add(live_tenant, lead.number, channel, [name])
    stage = Stage(live_tenant, lead.number, random)
    monkeypatch.setattr(clock, "now", lambda: stage.now)
    monkeypatch.setattr(channels, "of", lambda tenant, channel: stage)

    for step in random.choices([stage.say, stage.hear, stage.wait], [4, 4, 5], k=STEPS):
        step()
        stage.work()
        stage.now += timedelta(seconds=1)
    stage.now += timedelta(days=2)
    stage.work()

    assert Judge(Rules("live", QuietHours(), FrequencyCap())).read(stage.happened)
    assert not list(OutboxRow.select().where(OutboxRow.state == "failed"))


def test_message_of_the_evening_goes_in_the_morning(live_tenant, make_agent, make_lead, monkeypatch):
    """One such life by hand: said at nine in the evening in New York, sent at eight."""
    make_agent(live_tenant)
    stage = Stage(live_tenant, make_lead(live_tenant, phone=PHONE).number, Random(1))
    stage.random.random = lambda: 1.0  # a provider that is never away
    stage.now = clock.parse("2026-06-11T00:59:00Z")
    monkeypatch.setattr(clock, "now", lambda: stage.now)
    monkeypatch.setattr(channels, "of", lambda tenant, channel: stage)
    opened = conversations.start(live_tenant, stage.number, "sms", actor=ACTOR, text="Hello").conversation
    stage.now += timedelta(minutes=1)

    stage.work()
    [waiting] = rows.messages(live_tenant, opened)
    stage.now = clock.parse(waiting.held_until)
    stage.work()

    assert (waiting.delivery_code, waiting.held_until) == ("quiet_hours", "2026-06-11T12:00:00.000Z")
    assert [(each.what, clock.iso(each.at)) for each in stage.happened[1:]] == [("sent", "2026-06-11T12:00:00.000Z")]
    assert leads.get(live_tenant, stage.number).status == "contacted"
    assert accounts.settings(live_tenant.account_id) == {}
