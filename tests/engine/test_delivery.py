"""A message reaches its provider once, whatever the provider answers and whenever a worker dies."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from engine import channels, compliance, conversations, delivery, waits
from engine.channels import Deferred, Misconfigured, OutcomeUnknown, Outgoing, Sent, Undeliverable
from engine.compliance import Allowed, Held, Refused
from engine.delivery import doubts, outcomes
from engine.jobs import registry, worker
from storage import accounts, clock, deliveries, leads, outbox, usage
from storage import conversations as rows
from storage.database import transaction
from storage.errors import Blocked
from storage.outbox import OutboxRow
from tests.conftest import ACTOR


class Died(BaseException):
    """The process is gone: nothing that it could still have recorded is recorded."""


@dataclass
class Carrier:
    """A channel that answers what it is told to, `sent` otherwise, and knows what it has taken."""

    repeats_safely: bool = False
    pace_s: float = 0.0
    recipient_pace_s: float = 0.0
    answers: list[Any] = field(default_factory=list)
    found: Any = "unknown"
    handed: list[Outgoing] = field(default_factory=list)
    asked: list[Outgoing] = field(default_factory=list)

    def send(self, message: Outgoing) -> Sent:
        self.handed.append(message)
        answer = self.answers.pop(0) if self.answers else Sent(f"p{len(self.handed)}")
        if callable(answer):
            answer = answer(message)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def find(self, message: Outgoing, since: Any) -> Any:
        self.asked.append(message)
        if isinstance(self.found, BaseException):
            raise self.found
        return self.found

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.handed]


@pytest.fixture
def carrier(monkeypatch):
    carrier = Carrier()
    monkeypatch.setattr(channels, "of", lambda tenant, channel: carrier)
    return carrier


@pytest.fixture
def work(tenant):
    """Works the lane in which a conversation's messages leave; returns its first message as it is then."""

    def work(conversation, seq=1):
        worker.work_lane(deliveries.lane_of(conversation.oid))
        return rows.message_at(tenant, conversation, seq)

    return work


@pytest.fixture
def die(work):
    """Works the lane until the process dies."""

    def die(conversation):
        with pytest.raises(Died):
            work(conversation)

    return die


@pytest.fixture
def attempts(tenant):
    def of(conversation, seq=1):
        return [each.state for each in deliveries.of_message(tenant, rows.message_at(tenant, conversation, seq))]

    return of


@pytest.fixture
def row(engine):
    """The outbox row of a conversation's first message."""
    return lambda conversation: (
        OutboxRow.select().where(OutboxRow.lane == deliveries.lane_of(conversation.oid)).order_by(OutboxRow.id).first()
    )


class TestAccepted:
    def test_message_the_provider_took_is_sent(self, make_conversation, carrier, work, attempts):
        conversation = make_conversation()

        message = work(conversation)

        assert (message.delivery_status, message.provider_message_id) == ("sent", "p1")
        assert attempts(conversation) == ["accepted"]

    def test_it_is_addressed_to_the_lead_as_known_now(self, tenant, make_lead, make_conversation, carrier, work):
        lead = make_lead(email="ada@example.com")
        conversation = make_conversation(lead, "email")
        leads.update(tenant, lead.number, {"email": "ada@example.org"}, ACTOR)

        message = work(conversation)

        [outgoing] = carrier.handed
        assert (outgoing.id, outgoing.text) == (message.oid, "Hello, this is Mia.")
        assert (outgoing.email, outgoing.conversation_id) == ("ada@example.org", conversation.oid)

    def test_email_answers_what_the_lead_wrote_before_it(
        self, tenant, make_lead, make_conversation, carrier, work, advance
    ):
        conversation = make_conversation(make_lead(email="ada@example.com"), "email")

        def hear(number):
            heard = {"provider_message_id": f"<{number}@example.com>", "subject": f"Question {number}"}
            rows.append(tenant, rows.get(tenant, conversation.oid), "lead", "Hi", **heard)

        hear(1), hear(2)
        conversations.send(tenant, conversation.oid, "Grace here.", actor=ACTOR)
        carrier.answers = [Sent("p1"), Deferred("email_503", "Try again.")]
        work(conversation)
        hear(3)
        advance(outbox.FIRST_DELAY_S)
        work(conversation)

        first, answer, again = carrier.handed
        assert (first.in_reply_to, first.references) == (None, ())
        assert answer.references == ("<1@example.com>", "<2@example.com>")
        assert (answer.in_reply_to, answer.subject) == ("<2@example.com>", "Question 2")
        assert again == answer  # a provider recognises a repetition by its being one

    def test_it_is_counted(self, tenant, make_conversation, carrier, work):
        work(make_conversation())

        assert usage.spent(tenant, clock.now()).messages_sent == 1

    def test_status_that_came_first_stays(self, tenant, make_conversation, carrier, work):
        def overtaken(outgoing):
            rows.set_delivery(tenant, rows.message(tenant, outgoing.id), "read")
            return Sent("p1")

        carrier.answers = [overtaken]

        assert work(make_conversation()).delivery_status == "read"


class TestRefusedByTheProvider:
    def test_message_has_failed_with_the_providers_code(self, make_conversation, carrier, work, attempts):
        carrier.answers = [Undeliverable("whatsapp_131026", "Not on WhatsApp.")]
        conversation = make_conversation()

        message = work(conversation)

        assert (message.delivery_status, message.delivery_code) == ("failed", "whatsapp_131026")
        assert message.delivery_detail == "Not on WhatsApp."
        assert attempts(conversation) == ["refused"]

    def test_lane_goes_on(self, tenant, make_conversation, carrier, work):
        carrier.answers = [Undeliverable("whatsapp_131026", "Not on WhatsApp.")]
        conversation = make_conversation()
        conversations.send(tenant, conversation.oid, "Grace here.", actor=ACTOR)

        assert work(conversation, 2).delivery_status == "sent"

    def test_person_who_blocked_us_has_opted_out(self, tenant, make_lead, make_conversation, carrier, work):
        carrier.answers = [Undeliverable("sms_21610", "The person sent STOP.", is_opt_out=True)]
        lead = make_lead()
        conversation = make_conversation(lead)

        work(conversation)

        assert leads.get(tenant, lead.number).opted_out == list(channels.CHANNELS)
        assert rows.get(tenant, conversation.oid).status == "dropped"
        assert len(carrier.handed) == 1


class TestDeferred:
    def test_it_is_tried_again_after_the_delay(self, make_conversation, carrier, work, advance, attempts):
        carrier.answers = [Deferred("telegram_429", "Too fast.", delay_s=40)]
        conversation = make_conversation()

        first = work(conversation)
        advance(39)
        early = work(conversation)
        advance(2)
        last = work(conversation)

        assert [each.delivery_status for each in (first, early, last)] == ["queued", "queued", "sent"]
        assert (first.delivery_code, last.delivery_code) == ("telegram_429", None)
        assert attempts(conversation) == ["deferred", "accepted"]

    def test_recipient_who_is_to_be_spared_is_spared_on_every_message(
        self, make_lead, make_conversation, carrier, work, advance
    ):
        carrier.answers = [Deferred("whatsapp_131056", "Too many to this person.", 300, "recipient")]
        lead = make_lead(email="ada@example.com")
        work(make_conversation(lead))
        other = make_conversation()

        assert work(other).delivery_status == "sent"
        assert len(carrier.handed) == 2

    def test_integration_that_is_to_be_spared_is_spared_by_everybody(self, make_conversation, carrier, work, advance):
        carrier.answers = [Deferred("email_daily_quota", "The day's quota is used up.", 7200, "integration")]
        one, other = make_conversation(), make_conversation()

        work(one)
        waiting = work(other)
        advance(7201)

        assert (waiting.delivery_status, waiting.delivery_code) == ("queued", "provider_paused")
        assert [work(each).delivery_status for each in (one, other)] == ["sent", "sent"]

    def test_provider_that_stays_away_makes_the_message_fail(self, make_conversation, carrier, work, advance, row):
        carrier.answers = [Deferred("whatsapp_unreachable", "Not reached.")] * 100
        conversation = make_conversation()

        for _ in range(delivery.MAX_ATTEMPTS):
            message = work(conversation)
            advance(outbox.LONGEST_DELAY_S + 1)

        assert len(carrier.handed) == delivery.MAX_ATTEMPTS
        assert (message.delivery_status, message.delivery_code) == ("failed", "whatsapp_unreachable")
        assert row(conversation).state == "failed"


class TestMisconfigured:
    @pytest.fixture
    def health(self, monkeypatch):
        noted: list[Any] = []
        monkeypatch.setattr(outcomes, "note_health", lambda tenant, channel, health: noted.append((channel, health)))
        return noted

    def test_integration_is_unhealthy_and_the_message_waits(self, make_conversation, carrier, work, health, row):
        carrier.answers = [Misconfigured("whatsapp_190", "The token has expired.")]
        conversation = make_conversation()

        message = work(conversation)

        assert (message.delivery_status, message.delivery_code) == ("queued", "whatsapp_190")
        assert [(channel, each.is_healthy) for channel, each in health] == [("whatsapp", False)]
        assert (row(conversation).state, row(conversation).failures) == ("pending", 0)

    def test_it_is_never_given_up(self, make_conversation, carrier, work, health, advance):
        carrier.answers = [Misconfigured("whatsapp_190", "The token has expired.")] * (delivery.MAX_ATTEMPTS + 2)
        conversation = make_conversation()

        while carrier.answers:
            work(conversation)
            advance(outcomes.LONGEST_OPERATOR_S + 1)

        assert work(conversation).delivery_status == "sent"

    def test_others_wait_without_asking_the_provider(self, make_conversation, carrier, work, health):
        carrier.answers = [Misconfigured("whatsapp_190", "The token has expired.")]
        work(make_conversation())

        assert work(make_conversation()).delivery_status == "queued"
        assert len(carrier.handed) == 1

    def test_everything_goes_once_the_account_is_put_right(self, tenant, make_conversation, carrier, work, health):
        carrier.answers = [Misconfigured("whatsapp_190", "The token has expired.")]
        one, other = make_conversation(), make_conversation()
        work(one), work(other)

        waits.resume(tenant, "whatsapp")

        assert [work(each).delivery_status for each in (one, other)] == ["sent", "sent"]

    def test_secrets_that_cannot_be_opened_are_the_operators_matter_too(
        self, make_conversation, work, advance, monkeypatch
    ):
        conversation = make_conversation()
        with monkeypatch.context() as patched:
            patched.setattr(channels, "of", lambda *_: (_ for _ in ()).throw(Blocked("secret_key_missing", "No key")))
            waiting = work(conversation)
        advance(outcomes.OPERATOR_S + 1)

        assert (waiting.delivery_status, waiting.delivery_code) == ("queued", "secret_key_missing")
        assert work(conversation).delivery_status == "delivered"


class TestUnknownOutcome:
    @pytest.fixture
    def lost(self, carrier):
        carrier.answers = [OutcomeUnknown("sms_no_answer", "The answer was lost.")]
        return carrier

    def test_provider_that_knows_the_message_is_believed(self, make_conversation, lost, work, advance, attempts):
        conversation = make_conversation()
        work(conversation)
        lost.found = Sent("found", "delivered")
        advance(outcomes.FIRST_LOOK_S)

        message = work(conversation)

        assert (message.delivery_status, message.provider_message_id) == ("delivered", "found")
        assert (len(lost.handed), attempts(conversation)) == (1, ["accepted"])

    def test_provider_that_certainly_never_had_it_gets_it_again(self, make_conversation, lost, work, advance, attempts):
        conversation = make_conversation()
        work(conversation)
        lost.found = None
        advance(outcomes.FIRST_LOOK_S)

        assert work(conversation).delivery_status == "sent"
        assert (len(lost.handed), attempts(conversation)) == (2, ["deferred", "accepted"])

    def test_status_that_arrives_in_time_settles_it(self, tenant, make_conversation, lost, work, advance, attempts):
        conversation = make_conversation()
        rows.set_delivery(tenant, work(conversation), "delivered", provider_id="told")
        advance(outcomes.FIRST_LOOK_S)

        message = work(conversation)

        assert (message.delivery_status, message.delivery_code) == ("delivered", None)
        assert (len(lost.handed), attempts(conversation)) == (1, ["accepted"])
        assert usage.spent(tenant, clock.now()).messages_sent == 1

    def test_after_a_while_it_is_parked_where_people_see_it(
        self, tenant, make_conversation, lost, work, advance, attempts
    ):
        conversation = make_conversation()
        waiting = work(conversation)
        advance(outcomes.FIRST_LOOK_S)
        still = work(conversation)
        advance(doubts.PATIENCE.total_seconds())
        parked = work(conversation)

        assert [each.delivery_status for each in (waiting, still, parked)] == ["queued", "queued", "failed"]
        assert parked.delivery_code == outcomes.UNKNOWN
        assert [each.payload["message"] for each in outbox.parked(tenant)] == [parked.oid]
        assert (len(lost.handed), attempts(conversation)) == (1, ["unknown"])

    def test_delivery_that_is_reported_after_that_is_the_truth(self, tenant, make_conversation, lost, work, advance):
        conversation = make_conversation()
        work(conversation)
        advance(doubts.PATIENCE.total_seconds())
        parked = work(conversation)

        assert rows.set_delivery(tenant, parked, "delivered")

    def test_later_messages_wait_for_the_answer(self, tenant, make_conversation, lost, work, advance):
        conversation = make_conversation()
        conversations.send(tenant, conversation.oid, "Grace here.", actor=ACTOR)

        waiting = work(conversation, 2)
        advance(doubts.PATIENCE.total_seconds())

        assert waiting.delivery_status == "queued"
        assert work(conversation, 2).delivery_status == "sent"
        assert lost.texts == ["Hello, this is Mia.", "Grace here."]

    def test_provider_that_recognises_a_repetition_gets_one(self, make_conversation, lost, work, advance, attempts):
        lost.repeats_safely = True
        conversation = make_conversation()
        work(conversation)
        advance(outbox.FIRST_DELAY_S)

        message = work(conversation)

        assert message.delivery_status == "sent"
        assert {each.id for each in lost.handed} == {message.oid}
        assert (len(lost.asked), attempts(conversation)) == (0, ["unknown", "accepted"])

    def test_but_not_after_it_has_forgotten(self, make_conversation, lost, work, advance):
        lost.repeats_safely = True
        conversation = make_conversation()
        work(conversation)
        advance(doubts.REPEATS_WITHIN.total_seconds())

        assert work(conversation).delivery_status == "failed"
        assert len(lost.handed) == 1

    def test_provider_that_cannot_be_asked_now_is_asked_again(self, make_conversation, lost, work, advance):
        conversation = make_conversation()
        work(conversation)
        lost.found = Deferred("sms_unreachable", "Not reached.")
        advance(outcomes.FIRST_LOOK_S)
        waiting = work(conversation)
        lost.found = Sent("found")
        advance(doubts.LOOK_AGAIN.total_seconds())

        assert waiting.delivery_status == "queued"
        assert work(conversation).provider_message_id == "found"

    def test_it_is_not_given_up_while_the_provider_that_could_tell_is_away(
        self, make_conversation, lost, work, advance, attempts
    ):
        conversation = make_conversation()
        work(conversation)
        lost.found = Deferred("sms_unreachable", "Not reached.")
        advance(doubts.PATIENCE.total_seconds())
        waiting = work(conversation)
        advance(doubts.ANSWERS_WITHIN.total_seconds())

        assert waiting.delivery_status == "queued"
        assert work(conversation).delivery_code == outcomes.UNKNOWN
        assert attempts(conversation) == ["unknown"]

    @pytest.mark.parametrize("waits", [outcomes.FIRST_LOOK_S, doubts.PATIENCE.total_seconds()])
    def test_status_that_arrives_while_the_provider_is_asked_settles_it(
        self, tenant, make_conversation, lost, work, advance, attempts, waits
    ):
        def told(outgoing, since):
            rows.set_delivery(tenant, rows.message(tenant, outgoing.id), "sent", provider_id="told")
            return "unknown"

        conversation = make_conversation()
        work(conversation)
        lost.find = told
        advance(waits)

        assert work(conversation).delivery_status == "sent"
        assert attempts(conversation) == ["accepted"]
        assert usage.spent(tenant, clock.now()).messages_sent == 1
        assert not outbox.parked(tenant)

    def test_status_that_arrives_before_a_repetition_settles_it(
        self, tenant, make_conversation, lost, work, advance, attempts, monkeypatch
    ):
        def overtaken(way):
            rows.set_delivery(tenant, rows.message(tenant, way.message.oid), "delivered", provider_id="told")
            return False

        conversation = make_conversation()
        work(conversation)
        monkeypatch.setattr(doubts, "is_settled", overtaken)
        advance(outcomes.FIRST_LOOK_S)

        assert work(conversation).delivery_status == "delivered"
        assert (len(lost.handed), attempts(conversation)) == (1, ["accepted"])
        assert usage.spent(tenant, clock.now()).messages_sent == 1


class TestDeath:
    """The worker dies at each step in turn; the next one takes over when the lease has run out."""

    def test_before_the_attempt_is_written_nothing_was_sent(
        self, make_conversation, carrier, work, die, advance, monkeypatch, attempts
    ):
        conversation = make_conversation()
        with monkeypatch.context() as patched:
            patched.setattr(deliveries, "begin", lambda *_: (_ for _ in ()).throw(Died()))
            die(conversation)
        advance(delivery.LEASE_S + 1)

        assert work(conversation).delivery_status == "sent"
        assert (len(carrier.handed), len(carrier.asked), attempts(conversation)) == (1, 0, ["accepted"])

    def test_in_the_call_the_provider_is_asked_first(self, make_conversation, carrier, work, die, advance, attempts):
        carrier.answers = [Died()]
        conversation = make_conversation()
        die(conversation)
        carrier.found = Sent("found")
        advance(delivery.LEASE_S + 1)

        assert work(conversation).provider_message_id == "found"
        assert (len(carrier.handed), attempts(conversation)) == (1, ["accepted"])

    @pytest.mark.parametrize(
        "step", ["deliveries.finish", "conversations.set_delivery", "usage.add", "outbox.complete"]
    )
    def test_while_the_outcome_is_recorded_none_of_it_is(
        self, make_conversation, carrier, work, die, advance, monkeypatch, attempts, step
    ):
        module, name = step.split(".")
        target = {"deliveries": deliveries, "conversations": rows, "usage": usage, "outbox": outbox}[module]
        conversation = make_conversation()
        with monkeypatch.context() as patched:
            patched.setattr(target, name, lambda *_, **__: (_ for _ in ()).throw(Died()))
            die(conversation)
        died_at = attempts(conversation)
        carrier.found = Sent("p1")
        advance(delivery.LEASE_S + 1)

        assert work(conversation).delivery_status == "sent"
        assert (died_at, attempts(conversation)) == (["started"], ["accepted"])
        assert len(carrier.handed) == 1

    def test_with_a_provider_that_tells_nothing_the_message_is_not_repeated(
        self, make_conversation, carrier, work, die, advance, attempts
    ):
        carrier.answers = [Died()]
        conversation = make_conversation()
        die(conversation)
        advance(doubts.PATIENCE.total_seconds())

        assert work(conversation).delivery_code == outcomes.UNKNOWN
        assert (len(carrier.handed), attempts(conversation)) == (1, ["unknown"])

    def test_many_deaths_are_no_reason_to_give_up(self, make_conversation, carrier, work, advance, monkeypatch):
        conversation = make_conversation()
        for _ in range(15):
            with monkeypatch.context() as patched, contextlib.suppress(Died):
                patched.setattr(deliveries, "begin", lambda *_: (_ for _ in ()).throw(Died()))
                work(conversation)
            advance(delivery.LEASE_S + 1)

        assert work(conversation).delivery_status == "sent"

    def test_worker_slower_than_its_lease_still_tells_what_became_of_its_call(
        self, make_conversation, carrier, work, advance, attempts
    ):
        conversation = make_conversation()

        def overtaken(_message):
            advance(delivery.LEASE_S + 1)
            assert work(conversation).delivery_status == "queued"  # the other one asks, and waits
            return Sent("late")

        carrier.answers = [overtaken]
        message = work(conversation)
        advance(doubts.LOOK_AGAIN.total_seconds())
        work(conversation)

        assert (message.delivery_status, message.provider_message_id) == ("sent", "late")
        assert (len(carrier.handed), attempts(conversation)) == (1, ["accepted"])

    @pytest.mark.parametrize(
        ("error", "known"),
        [
            (Undeliverable("sms_30006", "A landline."), "refused"),
            (Misconfigured("sms_20003", "The token is wrong."), "deferred"),
            (Deferred("sms_503", "Try again."), "deferred"),
            (OutcomeUnknown("sms_no_answer", "Lost."), "unknown"),
        ],
        ids=["refused", "misconfigured", "deferred", "unknown"],
    )
    def test_so_it_does_with_what_went_wrong(self, make_conversation, carrier, work, advance, attempts, error, known):
        conversation = make_conversation()

        def overtaken(_message):
            advance(delivery.LEASE_S + 1)
            assert outbox.claim(clock.now(), registry.lease_s) is not None
            return error

        carrier.answers = [overtaken]
        message = work(conversation)

        assert (message.delivery_status, attempts(conversation)) == ("queued", [known])

    @pytest.mark.parametrize("answer", [Sent("late"), OutcomeUnknown("sms_no_answer", "Lost.")], ids=["sent", "lost"])
    def test_what_a_status_told_meanwhile_stays_and_counts_once(
        self, tenant, make_conversation, carrier, work, advance, attempts, answer
    ):
        conversation = make_conversation()

        def overtaken(message):
            rows.set_delivery(tenant, rows.message(tenant, message.id), "delivered", provider_id="told")
            advance(delivery.LEASE_S + 1)
            work(conversation)  # somebody else has the row, and closes it
            return answer

        carrier.answers = [overtaken]

        assert work(conversation).delivery_status == "delivered"
        assert attempts(conversation) == ["accepted"]
        assert usage.spent(tenant, clock.now()).messages_sent == 1

    def test_two_calls_under_one_key_are_one_message(self, tenant, make_conversation, carrier, work, advance, attempts):
        carrier.repeats_safely = True
        conversation = make_conversation()

        def overtaken(_message):
            advance(delivery.LEASE_S + 1)
            work(conversation)  # somebody else hands it over once more
            return Sent("p2")

        carrier.answers = [overtaken]
        work(conversation)

        assert attempts(conversation) == ["accepted", "accepted"]
        assert usage.spent(tenant, clock.now()).messages_sent == 1

    def test_two_holders_of_one_row_do_not_both_begin(
        self, make_conversation, carrier, work, advance, monkeypatch, attempts
    ):
        conversation = make_conversation()

        def overtaken(_tenant, _channel):
            advance(delivery.LEASE_S + 1)
            assert outbox.claim(clock.now(), registry.lease_s) is not None
            return carrier

        monkeypatch.setattr(channels, "of", overtaken)
        work(conversation)

        assert (carrier.handed, attempts(conversation)) == ([], [])


class TestDecision:
    @pytest.fixture
    def decide(self, monkeypatch):
        """Has the decision be what the test says, until it is `None`."""

        def decide(decision):
            monkeypatch.setattr(compliance, "decide", lambda facts, now: decision or Allowed())

        return decide

    def test_message_that_is_held_waits_and_says_why(
        self, make_conversation, carrier, work, decide, advance, row, attempts
    ):
        until = clock.now() + timedelta(hours=9)
        decide(Held("quiet_hours", "It is night where the lead is", until))
        conversation = make_conversation()
        row_id = row(conversation).id

        message = work(conversation)

        assert (message.delivery_status, message.delivery_code) == ("queued", "quiet_hours")
        assert (message.held_until, row(conversation).failures) == (clock.iso(until), 0)
        assert (carrier.handed, attempts(conversation), row(conversation).id) == ([], [], row_id)

    def test_it_goes_out_when_it_may(self, make_conversation, carrier, work, decide, advance):
        decide(Held("quiet_hours", "It is night where the lead is", clock.now() + timedelta(hours=9)))
        conversation = make_conversation()
        work(conversation)
        decide(None)
        early = work(conversation)
        advance(9 * 3600)

        message = work(conversation)

        assert early.delivery_status == "queued"
        assert (message.delivery_status, message.delivery_code, message.held_until) == ("sent", None, None)

    def test_it_goes_out_at_once_when_the_lead_writes(
        self, tenant, make_lead, make_conversation, carrier, work, decide
    ):
        lead = make_lead()
        decide(Held("quiet_hours", "It is night where the lead is", clock.now() + timedelta(hours=9)))
        conversation = make_conversation(lead)
        work(conversation)
        decide(None)

        waits.reconsider(tenant, lead.number)

        assert work(conversation).delivery_status == "sent"

    def test_later_messages_never_overtake_it(self, tenant, make_conversation, carrier, work, decide, advance):
        conversation = make_conversation()
        conversations.send(tenant, conversation.oid, "Grace here.", actor=ACTOR)
        decide(Held("quiet_hours", "It is night where the lead is", clock.now() + timedelta(hours=9)))
        work(conversation)
        decide(None)
        waiting = work(conversation, 2)
        advance(9 * 3600)
        work(conversation)

        assert waiting.delivery_status == "queued"
        assert carrier.texts == ["Hello, this is Mia.", "Grace here."]

    def test_message_that_is_refused_has_failed_with_the_rule(self, make_conversation, carrier, work, decide, attempts):
        decide(Refused("whatsapp_window_closed", "Only a template may be sent."))
        conversation = make_conversation()

        message = work(conversation)

        assert (message.delivery_status, message.delivery_code) == ("failed", "whatsapp_window_closed")
        assert (carrier.handed, attempts(conversation)) == ([], [])

    def test_repetition_is_decided_on_anew(self, make_conversation, carrier, work, decide, advance):
        carrier.answers = [Deferred("whatsapp_131016", "Try again.")]
        conversation = make_conversation()
        work(conversation)
        decide(Refused("opted_out", "The lead has opted out of this channel"))
        advance(outbox.FIRST_DELAY_S)

        assert work(conversation).delivery_code == "opted_out"
        assert len(carrier.handed) == 1

    def test_lead_that_was_deleted_gets_nothing(self, tenant, make_lead, make_conversation, carrier, work):
        lead = make_lead()
        conversation = make_conversation(lead)
        leads.delete(tenant, lead.number, ACTOR)

        assert work(conversation).delivery_code == "lead_deleted"
        assert not carrier.handed


class TestPace:
    def test_messages_of_one_integration_are_spread(self, make_conversation, carrier, work, advance):
        carrier.pace_s = 10
        open_ = [make_conversation() for _ in range(3)]

        sent = []
        for _ in range(3):
            for each in open_:
                work(each)
            sent.append(len(carrier.handed))
            advance(10)

        assert sent == [1, 2, 3]

    def test_messages_to_one_person_are_spread(self, tenant, make_conversation, carrier, work, advance):
        carrier.recipient_pace_s = 6
        conversation = make_conversation()
        conversations.send(tenant, conversation.oid, "Grace here.", actor=ACTOR)
        work(conversation)
        work(make_conversation())
        before = len(carrier.handed)
        advance(6)
        work(conversation)

        assert (before, len(carrier.handed)) == (2, 3)

    def test_without_a_pace_nothing_is_kept(self, tenant, make_conversation, carrier, work):
        work(make_conversation())

        assert not list(deliveries.DeliveryPace.of(tenant))

    def test_waiting_for_a_place_is_no_failure_and_takes_one_look(self, make_conversation, carrier, work, advance, row):
        carrier.pace_s = 10
        first, second = make_conversation(), make_conversation()
        work(first), work(second)
        advance(10)
        work(second)

        assert (row(second).state, row(second).attempts, row(second).failures) == ("done", 2, 0)


class TestDisclosure:
    @pytest.fixture
    def _wanted(self, tenant):
        accounts.get(tenant.account_id).store(settings={"aiDisclosure": {"enabled": True, "text": "I am an AI."}})

    @pytest.mark.usefixtures("_wanted")
    def test_first_message_of_the_agent_says_it(self, tenant, make_conversation, carrier, work):
        conversation = make_conversation()

        message = work(conversation)

        assert carrier.texts == ["Hello, this is Mia.\n\nI am an AI."]
        assert (message.content, message.discloses_ai) == (carrier.texts[0], True)
        assert rows.get(tenant, conversation.oid).ai_disclosed_at

    @pytest.mark.usefixtures("_wanted")
    def test_only_what_was_accepted_counts(self, tenant, make_conversation, carrier, work):
        carrier.answers = [Undeliverable("whatsapp_131026", "Not on WhatsApp.")]
        conversation = make_conversation()
        work(conversation)
        undisclosed = rows.get(tenant, conversation.oid).ai_disclosed_at
        with transaction():
            conversations.say(tenant, rows.lock(tenant, conversation.oid), "agent", "Again.")
            conversations.say(tenant, rows.lock(tenant, conversation.oid), "agent", "And again.")

        work(conversation)

        assert undisclosed is None
        assert carrier.texts[1:] == ["Again.\n\nI am an AI.", "And again."]

    @pytest.mark.usefixtures("_wanted")
    def test_it_is_said_once_however_often_it_is_tried(self, make_conversation, carrier, work, advance):
        carrier.answers = [Deferred("whatsapp_131016", "Try again.")]
        conversation = make_conversation()
        work(conversation)
        advance(outbox.FIRST_DELAY_S)
        work(conversation)

        assert carrier.texts[0] == carrier.texts[1] == "Hello, this is Mia.\n\nI am an AI."

    @pytest.mark.usefixtures("_wanted")
    def test_person_of_the_account_is_none(self, tenant, make_conversation, carrier, work):
        conversation = make_conversation()
        conversations.send(tenant, conversation.oid, "Grace here.", actor=ACTOR)

        work(conversation)

        assert carrier.texts[1] == "Grace here."

    def test_account_that_does_not_want_it_says_nothing(self, make_conversation, carrier, work):
        assert not work(make_conversation()).discloses_ai
