"""What follows from each kind of event: messages, statuses, wishes, bodies that have to be fetched."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from engine import channels, conversations, inbound
from engine.channels import (
    Credentials,
    Deferred,
    Ignored,
    Misconfigured,
    Preference,
    Said,
    Sender,
    Status,
    Undeliverable,
)
from engine.inbound import processing
from engine.jobs import worker
from engine.jobs.registry import of_kind
from storage import clock, identities, leads
from storage import conversations as rows
from storage.outbox import OutboxRow
from storage.usage import UsageMonth
from tests.engine.inbound.conftest import ADA


def only(tenant):
    [conversation] = rows.Conversation.of(tenant)
    return conversation


class TestSaid:
    def test_message_keeps_the_providers_id_and_its_subject(self, tenant, tell, event, make_agent):
        make_agent()

        tell(event(Said(ADA, "Hi", "<1@example.com>", subject="Offer")), channel="email")

        message = rows.messages(tenant, only(tenant))[0]
        assert (message.provider_message_id, message.subject) == ("<1@example.com>", "Offer")

    def test_it_counts_as_received(self, tenant, tell, event, make_agent):
        make_agent()

        tell(event("Hi"), event("there"))

        assert [month.messages_received for month in UsageMonth.of(tenant)] == [2]

    def test_late_one_was_said_when_the_provider_heard_it(self, tenant, tell, event, make_agent):
        make_agent()
        now = clock.now()

        tell(event("Hi", at=now - timedelta(hours=30)))
        assert only(tenant).last_lead_message_at == clock.iso(now - timedelta(hours=30))

        tell(event("again", at=now - timedelta(hours=1)), event("earlier", at=now - timedelta(hours=50)))
        assert only(tenant).last_lead_message_at == clock.iso(now - timedelta(hours=1))

    def test_one_from_the_future_was_said_now(self, tenant, tell, event, make_agent):
        make_agent()

        tell(event("Hi", at=clock.now() + timedelta(days=400)))

        assert only(tenant).last_lead_message_at <= clock.stamp()

    def test_answer_to_a_message_joins_its_conversation(
        self, tenant, actor, tell, event, make_conversation, said, work
    ):
        first = make_conversation()
        work()
        lead = leads.get(tenant, first.lead_number)
        rows.messages(tenant, first)[0].store(provider_message_id="wamid.out")
        conversations.change_status(tenant, first.oid, "handed_off", actor=actor)
        second = make_conversation(lead)

        tell(event(Said(Sender((lead.phone,), lead.phone), "Yes", "wamid.in", reply_to="wamid.out")))

        assert [said(each.oid, "lead") for each in (first, second)] == [["Yes"], []]

    def test_answer_to_one_that_ended_goes_to_the_open_one(self, tenant, actor, tell, event, make_conversation, said):
        first = make_conversation()
        lead = leads.get(tenant, first.lead_number)
        conversations.change_status(tenant, first.oid, "completed", actor=actor)
        second = make_conversation(lead)

        tell(event(Said(Sender((lead.phone,), lead.phone), "Yes", "wamid.in", conversation_id=first.oid)))

        assert [said(each.oid, "lead") for each in (first, second)] == [[], ["Yes"]]

    def test_stranger_who_answers_in_a_chat_is_the_lead_it_was_sent_to(
        self, tenant, tell, event, make_conversation, work
    ):
        conversation = make_conversation()
        work()
        rows.messages(tenant, conversation)[0].store(provider_message_id="wamid.out")

        tell(event(Said(Sender(("US.1",)), "Yes", "wamid.in", reply_to="wamid.out")))

        assert identities.addresses(tenant, conversation.lead_number, "whatsapp") == ["US.1"]

    def test_stranger_with_the_address_of_a_conversation_does_not_speak_for_its_lead(
        self, tenant, tell, event, make_conversation, said
    ):
        conversation = make_conversation(channel="email")
        mallory = Sender(("mallory@example.com",), email="mallory@example.com")

        tell(event(Said(mallory, "STOP", "<1@x>", conversation_id=conversation.oid)), channel="email")

        assert said(conversation.oid, "lead") == []
        assert leads.get(tenant, conversation.lead_number).opted_out == []

    @pytest.mark.parametrize("oid", ["665f1c2e9b1d4a0012ab34d0", "nonsense"])
    def test_unknown_conversation_is_none(self, tenant, tell, event, make_agent, fates, oid):
        make_agent()

        tell(event(Said(ADA, "Hi", "1", conversation_id=oid)))

        assert fates() == [("done", None)]

    def test_message_without_words_is_ignored(self, tell, event, fates):
        tell(event(" \n"))

        assert fates() == [("ignored", "empty_message")]

    def test_very_long_message_is_cut(self, tenant, tell, event, make_agent, model):
        make_agent()

        tell(event("a" * 150_000))

        assert len(rows.messages(tenant, only(tenant))[0].content) == 100_000

    def test_stop_of_a_stranger_is_kept_confirmed_and_obeyed(self, tenant, tell, event, make_agent, said):
        make_agent()

        tell(event("STOP"), event("stop!"))

        assert leads.get(tenant, 1).opted_out == list(channels.CHANNELS)
        assert only(tenant).status == "dropped"
        assert said(only(tenant).oid, "lead") == ["STOP", "stop!"]
        assert len(said(only(tenant).oid, "agent")) == 1

    def test_stop_is_obeyed_without_an_agent_too(self, tenant, tell, event, fates):
        tell(event("STOP"))

        assert leads.get(tenant, 1).opted_out == list(channels.CHANNELS)
        assert fates() == [("done", None)]


class TestPreference:
    def test_stop_drops_all_conversations_and_confirms_what_nobody_has_confirmed(
        self, tenant, tell, event, make_conversation, said
    ):
        conversation = make_conversation()
        lead = leads.get(tenant, conversation.lead_number)

        tell(event(Preference(Sender((lead.phone,), lead.phone), "stop")))

        assert leads.get(tenant, lead.number).opted_out == list(channels.CHANNELS)
        assert rows.get(tenant, conversation.oid).status == "dropped"
        assert len(said(conversation.oid, "agent")) == 2

    def test_confirmed_stop_is_not_confirmed_again(self, tenant, tell, event, make_conversation, said):
        conversation = make_conversation()
        phone = leads.get(tenant, conversation.lead_number).phone

        tell(event(Preference(Sender((phone,), phone), "stop", is_confirmed=True)))

        assert len(said(conversation.oid, "agent")) == 1

    def test_start_ends_the_silence(self, tenant, tell, event):
        tell(event(Preference(ADA, "stop")), event(Preference(ADA, "start")))

        assert leads.get(tenant, 1).opted_out == []

    def test_strangers_stop_is_remembered_where_an_import_could_bring_the_address(self, tenant, tell, event, fates):
        tell(event(Preference(ADA, "stop")), event(Preference(Sender(("4711",)), "stop")))

        assert leads.find_by_phone(tenant, ADA.phone).opted_out == list(channels.CHANNELS)
        assert fates() == [("done", None), ("ignored", "unknown_lead")]

    def test_strangers_start_is_ignored(self, tell, event, fates):
        tell(event(Preference(ADA, "start")))

        assert fates() == [("ignored", "unknown_lead")]


class TestStatus:
    @pytest.fixture
    def message(self, tenant, make_conversation):
        [message] = rows.messages(tenant, make_conversation())
        message.store(provider_message_id="wamid.out", delivery_status="sent")
        return message

    @pytest.mark.parametrize(
        "status",
        [Status("wamid.out", "delivered"), Status("wamid.unknown", "delivered", message_id="{ours}")],
        ids=["by the provider's id", "by our own"],
    )
    def test_message_is_found(self, tenant, tell, event, message, status, fates):
        ours = message.oid if status.message_id else None

        tell(event(replace(status, message_id=ours)))

        assert rows.message(tenant, message.oid).delivery_status == "delivered"
        assert fates() == [("done", None)]

    def test_it_never_goes_back(self, tenant, tell, event, message, fates):
        tell(event(Status("wamid.out", "read")), event(Status("wamid.out", "delivered")))

        assert rows.message(tenant, message.oid).delivery_status == "read"
        assert fates() == [("done", None), ("done", "known_already")]

    def test_failure_tells_why(self, tenant, tell, event, message):
        tell(event(Status("wamid.out", "failed", code="whatsapp_131026", detail="Undeliverable.")))

        failed = rows.message(tenant, message.oid)
        assert (failed.delivery_code, failed.delivery_detail) == ("whatsapp_131026", "Undeliverable.")

    def test_failure_that_says_silence_is_an_opt_out_without_a_confirmation(self, tenant, tell, event, message, said):
        tell(event(Status("wamid.out", "failed", is_opt_out=True)))

        conversation = only(tenant)
        assert conversation.status == "dropped"
        assert leads.get(tenant, conversation.lead_number).opted_out == list(channels.CHANNELS)
        assert len(said(conversation.oid)) == 1

    def test_status_that_overtakes_the_record_of_its_send_is_tried_again(
        self, tenant, tell, event, message, work, advance
    ):
        message.store(provider_message_id=None)
        tell(event(Status("wamid.out", "delivered")))

        message.store(provider_message_id="wamid.out")
        advance(10)
        work()

        assert rows.message(tenant, message.oid).delivery_status == "delivered"

    def test_status_of_nobodys_message_is_ignored_in_the_end(self, tell, event, work, advance, fates):
        tell(event(Status("wamid.other", "delivered")))
        for _ in range(processing.STATUS_ATTEMPTS):
            advance(60)
            work()

        assert fates() == [("ignored", "unknown_message")]
        assert {row.state for row in OutboxRow.select()} == {"done"}

    def test_leads_own_message_of_that_id_is_not_meant(self, tenant, tell, event, message):
        phone = leads.get(tenant, 1).phone
        tell(event(Said(Sender((phone,), phone), "Hi", "wamid.out")), event(Status("wamid.out", "delivered")))

        assert rows.message(tenant, message.oid).delivery_status == "delivered"

    def test_another_tenants_message_is_nobodys(self, live_tenant, tenant, tell, event, message, work, advance):
        tell(event(Status("wamid.out", "read", message_id=message.oid)), owner=live_tenant)

        assert rows.message(tenant, message.oid).delivery_status == "sent"


class Provider:
    """Stands in for a channel's module, and for the channel."""

    def __init__(self):
        self.answers = []
        self.asked = []
        self.marked = []

    def fetch(self, credentials, endpoints, said):
        self.asked.append((credentials.integration_id, said.fetch))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Ignored) else replace(said, text=answer, fetch=None)

    def mark_read(self, provider_id):
        self.marked.append(provider_id)
        if self.answers:
            raise self.answers.pop(0)


@pytest.fixture
def provider(monkeypatch):
    stand_in = Provider()
    monkeypatch.setattr(channels, "module", lambda channel: stand_in)
    monkeypatch.setattr(channels, "of", lambda tenant, channel: stand_in)
    monkeypatch.setattr(
        processing.integrations, "credentials", lambda tenant, channel: Credentials("integration", {}, {})
    )
    return stand_in


class TestFetch:
    MAIL = Said(Sender(("ada@example.com",), email="ada@example.com"), "", "<1@x>", subject="Offer", fetch={"id": "7"})

    @pytest.fixture(autouse=True)
    def agent(self, live_tenant, make_agent):
        make_agent(live_tenant)

    @pytest.fixture
    def heard(self, live_tenant):
        return lambda: [m.content for c in rows.Conversation.of(live_tenant) for m in rows.messages(live_tenant, c)]

    @pytest.fixture
    def work_inbound(self, live_tenant):
        lane = f"in/{live_tenant.id}/email/ada@example.com"
        return lambda: worker.work_lane(lane)

    @pytest.fixture
    def accept(self, live_tenant, event, work_inbound):
        def take(said=self.MAIL):
            inbound.accept(live_tenant, "email", [event(said, contact="ada@example.com")])
            work_inbound()

        return take

    def test_body_is_fetched_before_it_is_heard(self, provider, accept, heard):
        provider.answers = ["Hello there"]

        accept()

        assert heard() == ["Hello there"]
        assert provider.asked == [("integration", {"id": "7"})]

    def test_what_turns_out_to_be_a_machine_is_ignored(self, live_tenant, provider, accept, fates):
        provider.answers = [Ignored("autoreply")]

        accept()

        assert fates(live_tenant) == [("ignored", "autoreply")]

    def test_provider_that_is_away_is_asked_again(self, provider, accept, work_inbound, advance, heard):
        provider.answers = [Deferred("email_500", "Away."), "Hello there"]
        accept()

        advance(60)
        work_inbound()

        assert heard() == ["Hello there"]

    def test_body_that_is_gone_does_not_lose_the_person(self, provider, accept, heard):
        provider.answers = [Undeliverable("email_404", "No such email.")]

        accept()

        assert heard() == ["[the text of this message could not be fetched] Offer"]

    def test_provider_that_stays_away_does_not_lose_the_person(
        self, live_tenant, provider, accept, work_inbound, advance, heard, fates
    ):
        provider.answers = [Misconfigured("email_401", "The key is wrong.")] * processing.MAX_ATTEMPTS
        accept()

        for _ in range(processing.MAX_ATTEMPTS):
            advance(4000)
            work_inbound()

        assert heard() == ["[the text of this message could not be fetched] Offer"]
        assert fates(live_tenant) == [("done", None)]

    def test_nothing_of_the_test_environment_is_fetched(self, tenant, provider, tell, event, make_agent):
        make_agent()

        tell(event(self.MAIL, contact="ada@example.com"), channel="email")

        assert not provider.asked


class TestReadMarks:
    @pytest.fixture
    def hear(self, live_tenant, event, make_agent, model):
        """What Ada writes on WhatsApp is taken in; then the lane of the marks is worked."""
        make_agent(live_tenant)

        def take(text="Hi"):
            inbound.accept(live_tenant, "whatsapp", [event(text, event_id="wamid.1")])
            worker.work_lane(f"in/{live_tenant.id}/whatsapp/12025550142")
            worker.work_lane(f"read/{live_tenant.id}/whatsapp/12025550142")

        return take

    def test_message_that_the_agent_answers_is_marked(self, provider, hear):
        hear()

        assert provider.marked == ["wamid.1"]

    def test_message_that_nobody_answers_is_not(self, provider, hear):
        hear("STOP")

        assert provider.marked == []

    def test_failing_twice_it_is_left_unset_and_nothing_is_parked(self, live_tenant, provider, hear, work, advance):
        provider.answers = [Deferred("whatsapp_500", "Away.")] * 5
        hear()

        advance(60)
        worker.work_lane(f"read/{live_tenant.id}/whatsapp/12025550142")

        assert len(provider.marked) == 2
        assert [row.state for row in OutboxRow.select().where(OutboxRow.kind == "mark_read")] == ["done"]


def test_event_that_cannot_be_processed_is_parked_where_it_can_be_seen(
    tenant, tell, event, work, advance, monkeypatch, fates
):
    def broken(*_):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(processing, "hear", broken)
    tell(event("Hi"))

    for _ in range(processing.MAX_ATTEMPTS):
        advance(5000)
        work()

    assert fates() == [("failed", "by zero")]
    assert of_kind("inbound").max_attempts == processing.MAX_ATTEMPTS
