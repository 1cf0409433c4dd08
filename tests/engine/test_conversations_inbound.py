"""What leads write: once each, in order, to the right conversation; and silence for those who ask for it."""

from __future__ import annotations

import contextlib
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine import compliance, conversations, inbound
from engine.channels import Event, Said, Sender
from engine.inbound.accepting import lane_of
from engine.jobs import worker
from storage import conversations as rows
from storage import database, leads
from storage.errors import Blocked, Conflict, NewleafError, NotFound
from storage.inbox import InboundEvent
from storage.outbox import OutboxRow
from storage.tenancy import Actor

ACTOR = Actor("api_key", "key-1", "tests")
THREADS = 8


def receive(tenant, channel, event_id, lead, text):
    """What a webhook does with a message of this lead, and the worker after it; where the lead's words stand now."""
    said = Said(Sender((lead.phone,), lead.phone, lead.email), text, provider_id=event_id)
    inbound.accept(tenant, channel, [Event(event_id, lead.phone, said)])
    row = OutboxRow.select().where(OutboxRow.lane == lane_of(tenant, channel, lead.phone)).order_by(OutboxRow.id.desc())
    worker.settle(lane_of(tenant, channel, lead.phone), row.first().id, within_s=60)
    return rows.latest_of(tenant, lead.number, channel)


def together(work, arguments):
    def connected(argument):
        with database.connection():
            return work(argument)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(connected, arguments))


def test_event_taken_in_twice_changes_nothing(tenant, make_lead, make_conversation, said):
    lead = make_lead()
    conversation = make_conversation(lead)
    receive(tenant, "whatsapp", "wamid.1", lead, "Hi")

    receive(tenant, "whatsapp", "wamid.1", lead, "Hi")

    assert said(conversation.oid, "lead") == ["Hi"]


def test_event_sent_many_times_at_once_is_taken_in_once(tenant, make_lead, make_conversation, said):
    lead = make_lead()
    conversation = make_conversation(lead)

    together(lambda _: receive(tenant, "whatsapp", "wamid.1", lead, "Hi"), range(THREADS * 2))

    assert said(conversation.oid, "lead") == ["Hi"]


def test_event_ids_are_the_tenants_and_the_channels_own(tenant, make_lead, make_conversation, said):
    lead = make_lead(email="ada@example.com")
    chat, mail = make_conversation(lead), make_conversation(lead, "email")

    receive(tenant, "whatsapp", "1", lead, "Hi")
    receive(tenant, "email", "1", lead, "Hi")

    assert [said(each.oid, "lead") for each in (chat, mail)] == [["Hi"], ["Hi"]]


def test_twenty_replies_from_eight_threads_get_twenty_answers_in_order(
    tenant, make_lead, make_conversation, model, said
):
    lead = make_lead()
    conversation = make_conversation(lead)

    def write(number):
        receive(tenant, "whatsapp", f"wamid.{number}", lead, f"message {number}")
        worker.work_lane(conversation.oid)

    together(write, range(20))

    asked = said(conversation.oid, "lead")
    assert sorted(asked) == sorted(f"message {number}" for number in range(20))
    assert said(conversation.oid, "agent")[1:] == [f"re: {text}" for text in asked]
    stored = rows.messages(tenant, rows.get(tenant, conversation.oid))
    assert [message.seq for message in stored] == list(range(1, 42))


def test_replies_to_many_conversations_at_once_stay_apart(tenant, make_lead, make_conversation, model, said):
    open_ = [(lead, make_conversation(lead)) for lead in (make_lead() for _ in range(4))]

    def write(number):
        lead, conversation = open_[number % 4]
        receive(tenant, "whatsapp", f"wamid.{number}", lead, f"message {number}")
        worker.work_lane(conversation.oid)

    together(write, range(16))

    for number, (_, conversation) in enumerate(open_):
        asked = said(conversation.oid, "lead")
        assert sorted(asked) == sorted(f"message {each}" for each in range(number, 16, 4))
        assert said(conversation.oid, "agent")[1:] == [f"re: {text}" for text in asked]


def test_lead_without_a_conversation_gets_one(tenant, make_agent, make_lead, model, said):
    make_agent()
    lead = make_lead()

    conversation = receive(tenant, "whatsapp", "wamid.1", lead, "Hi")
    worker.work_lane(conversation.oid)

    assert said(conversation.oid) == ["Hi", "re: Hi"]


def test_lead_whose_conversation_ended_gets_a_new_one(tenant, make_lead, make_conversation):
    lead = make_lead()
    ended = make_conversation(lead)
    conversations.change_status(tenant, ended.oid, "completed", actor=ACTOR)

    conversation = receive(tenant, "whatsapp", "wamid.1", lead, "Hi again")

    assert conversation.oid != ended.oid


def test_handed_off_conversation_takes_the_message_without_an_answer(tenant, make_lead, make_conversation, said):
    lead = make_lead()
    conversation = make_conversation(lead)
    conversations.change_status(tenant, conversation.oid, "handed_off", actor=ACTOR)

    receive(tenant, "whatsapp", "wamid.1", lead, "Hi")

    assert said(conversation.oid, "lead") == ["Hi"]
    assert worker.work_lane(conversation.oid) == 0


def test_without_an_active_agent_the_event_is_kept_with_the_reason(tenant, make_lead):
    lead = make_lead()

    assert receive(tenant, "whatsapp", "wamid.1", lead, "Hi") is None

    [event] = InboundEvent.of(tenant)
    assert (event.payload["what"]["text"], event.state, event.reason) == ("Hi", "ignored", "no_active_agent")


def test_deleted_lead_who_writes_is_a_lead_again_and_keeps_the_silence_it_asked_for(
    tenant, actor, make_lead, make_conversation
):
    lead = make_lead()
    make_conversation(lead)
    receive(tenant, "whatsapp", "wamid.1", lead, "STOP")
    leads.delete(tenant, lead.number, actor)

    receive(tenant, "whatsapp", "wamid.2", lead, "Hi")

    again = leads.find_by_phone(tenant, lead.phone)
    assert again.number != lead.number
    assert again.opted_out == ["whatsapp", "telegram", "email", "sms"]


class TestSimulate:
    def test_live_has_no_simulated_leads(self, live_tenant, make_agent, make_lead):
        agent, lead = make_agent(live_tenant), make_lead(live_tenant)
        conversation = rows.add(live_tenant, lead, "whatsapp", agent.oid, None)

        with pytest.raises(Conflict) as refusal:
            inbound.simulate(live_tenant, conversation.oid, "Hi")

        assert refusal.value.code == "live_environment"

    def test_unknown_conversation_is_not_found_in_live_too(self, live_tenant):
        with pytest.raises(NotFound):
            inbound.simulate(live_tenant, "665f1c2e9b1d4a0012ab34d0", "Hi")

    def test_ended_conversation_takes_nothing(self, tenant, make_conversation):
        conversation = make_conversation()
        conversations.change_status(tenant, conversation.oid, "dropped", actor=ACTOR)

        with pytest.raises(Conflict, match="dropped"):
            inbound.simulate(tenant, conversation.oid, "Hi")


class TestOptOut:
    def test_one_confirmation_then_silence_on_every_channel(self, tenant, make_lead, make_conversation, model, said):
        lead = make_lead(email="ada@example.com")
        chat, mail = make_conversation(lead), make_conversation(lead, "email")

        receive(tenant, "whatsapp", "1", lead, "STOP")
        receive(tenant, "whatsapp", "2", lead, "stop")
        worker.work_lane(chat.oid)

        assert said(chat.oid)[1:] == ["STOP", compliance.CONFIRMATION, "stop"]
        assert not model.asked
        assert leads.get(tenant, lead.number).opted_out == ["whatsapp", "telegram", "email", "sms"]
        assert {rows.get(tenant, each.oid).status for each in (chat, mail)} == {"dropped"}

    def test_nobody_can_write_to_them_any_more(self, tenant, make_lead, make_conversation):
        lead = make_lead(email="ada@example.com")
        make_conversation(lead)
        receive(tenant, "whatsapp", "1", lead, "STOP")

        with pytest.raises(Blocked) as refusal:
            conversations.start(tenant, lead.number, "email", actor=ACTOR)

        assert refusal.value.code == "opted_out"

    def test_turn_under_way_says_nothing(self, tenant, make_lead, make_conversation, model, said):
        lead = make_lead()
        conversation = make_conversation(lead)
        model.before = lambda context: receive(tenant, "whatsapp", "2", lead, "STOP")

        receive(tenant, "whatsapp", "1", lead, "Who is this?")
        worker.work_lane(conversation.oid)

        assert said(conversation.oid)[1:] == ["Who is this?", "STOP", compliance.CONFIRMATION]

    def test_what_they_write_later_is_kept_without_an_answer(self, tenant, make_lead, make_conversation, said):
        lead = make_lead()
        conversation = make_conversation(lead)
        receive(tenant, "whatsapp", "1", lead, "STOP")

        receive(tenant, "whatsapp", "2", lead, "By the way")

        assert said(conversation.oid, "lead") == ["STOP", "By the way"]
        assert worker.work_lane(conversation.oid) == 0

    def test_start_brings_them_back(self, tenant, make_lead, make_conversation, model, said):
        lead = make_lead()
        ended = make_conversation(lead)
        receive(tenant, "whatsapp", "1", lead, "STOP")

        conversation = receive(tenant, "whatsapp", "2", lead, "START")
        worker.work_lane(conversation.oid)

        assert leads.get(tenant, lead.number).opted_out == []
        assert conversation.oid != ended.oid
        assert said(conversation.oid) == ["START", "re: START"]


def test_everything_at_once_neither_deadlocks_nor_loses_count(tenant, make_lead, make_conversation, model, said):
    lead = make_lead(email="ada@example.com")
    oids = [make_conversation(lead).oid, make_conversation(lead, "email").oid]
    steps = itertools.cycle(["hi", "send", "hi", "handed_off", "STOP", "active", "start", "work", "START", "completed"])
    plan = [(step, oids[number % 2], number) for number, step in zip(range(80), steps, strict=False)]

    def act(entry):
        step, oid, number = entry
        with contextlib.suppress(NewleafError):
            match step:
                case "send":
                    conversations.send(tenant, oid, "Grace here.", actor=ACTOR)
                case "handed_off" | "active" | "completed":
                    conversations.change_status(tenant, oid, step, actor=ACTOR)
                case "start":
                    conversations.start(tenant, lead.number, "whatsapp", actor=ACTOR)
                case "work":
                    worker.work_lane(oid)
                case text:
                    receive(tenant, "whatsapp", f"wamid.{number}", lead, text)

    together(act, plan)

    made = list(rows.Conversation.of(tenant))
    for conversation in made:
        assert [message.seq for message in rows.messages(tenant, conversation)] == list(
            range(1, conversation.message_count + 1)
        )
    active = [conversation.channel for conversation in made if conversation.status == "active"]
    assert len(active) == len(set(active))
