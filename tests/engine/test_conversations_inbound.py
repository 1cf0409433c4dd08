"""What leads write: once each, in order, to the right conversation; and silence for those who ask for it."""

from __future__ import annotations

import contextlib
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine import compliance, conversations, inbound
from engine.jobs import worker
from storage import conversations as rows
from storage import database, leads
from storage.errors import Blocked, Conflict, NewleafError, NotFound
from storage.inbox import InboundEvent
from storage.tenancy import Actor

ACTOR = Actor("api_key", "key-1", "tests")
THREADS = 8


def together(work, arguments):
    def connected(argument):
        with database.connection():
            return work(argument)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(connected, arguments))


def test_event_taken_in_twice_changes_nothing(tenant, make_lead, make_conversation, said):
    lead = make_lead()
    conversation = make_conversation(lead)
    inbound.receive(tenant, "whatsapp", "wamid.1", lead.number, "Hi")

    again = inbound.receive(tenant, "whatsapp", "wamid.1", lead.number, "Hi")

    assert again is None
    assert said(conversation.oid, "lead") == ["Hi"]


def test_event_sent_many_times_at_once_is_taken_in_once(tenant, make_lead, make_conversation, said):
    lead = make_lead()
    conversation = make_conversation(lead)

    taken = together(
        lambda _: inbound.receive(tenant, "whatsapp", "wamid.1", lead.number, "Hi") is not None, range(THREADS * 2)
    )

    assert taken.count(True) == 1
    assert said(conversation.oid, "lead") == ["Hi"]


def test_event_ids_are_the_tenants_and_the_channels_own(tenant, make_lead, make_conversation):
    lead = make_lead(email="ada@example.com")
    make_conversation(lead)
    make_conversation(lead, "email")

    assert inbound.receive(tenant, "whatsapp", "1", lead.number, "Hi") is not None
    assert inbound.receive(tenant, "email", "1", lead.number, "Hi") is not None


def test_twenty_replies_from_eight_threads_get_twenty_answers_in_order(
    tenant, make_lead, make_conversation, model, said
):
    lead = make_lead()
    conversation = make_conversation(lead)

    def write(number):
        taken = inbound.receive(tenant, "whatsapp", f"wamid.{number}", lead.number, f"message {number}")
        assert worker.settle(conversation.oid, taken.turn_row, within_s=60)

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
        taken = inbound.receive(tenant, "whatsapp", f"wamid.{number}", lead.number, f"message {number}")
        worker.settle(conversation.oid, taken.turn_row, within_s=60)

    together(write, range(16))

    for number, (_, conversation) in enumerate(open_):
        asked = said(conversation.oid, "lead")
        assert sorted(asked) == sorted(f"message {each}" for each in range(number, 16, 4))
        assert said(conversation.oid, "agent")[1:] == [f"re: {text}" for text in asked]


def test_lead_without_a_conversation_gets_one(tenant, make_agent, make_lead, model, said):
    make_agent()
    lead = make_lead()

    taken = inbound.receive(tenant, "whatsapp", "wamid.1", lead.number, "Hi")
    worker.work_lane(taken.conversation.oid)

    assert said(taken.conversation.oid) == ["Hi", "re: Hi"]


def test_lead_whose_conversation_ended_gets_a_new_one(tenant, make_lead, make_conversation):
    lead = make_lead()
    ended = make_conversation(lead)
    conversations.change_status(tenant, ended.oid, "completed", actor=ACTOR)

    taken = inbound.receive(tenant, "whatsapp", "wamid.1", lead.number, "Hi again")

    assert taken.conversation.oid != ended.oid


def test_handed_off_conversation_takes_the_message_without_an_answer(tenant, make_lead, make_conversation, said):
    lead = make_lead()
    conversation = make_conversation(lead)
    conversations.change_status(tenant, conversation.oid, "handed_off", actor=ACTOR)

    taken = inbound.receive(tenant, "whatsapp", "wamid.1", lead.number, "Hi")

    assert (taken.conversation.oid, taken.turn_row) == (conversation.oid, None)


def test_without_an_active_agent_the_event_is_kept(tenant, make_lead):
    lead = make_lead()

    assert inbound.receive(tenant, "whatsapp", "wamid.1", lead.number, "Hi") is None
    assert [event.payload["text"] for event in InboundEvent.of(tenant)] == ["Hi"]


def test_unknown_lead_is_not_found_and_the_event_may_come_again(tenant, make_lead):
    with pytest.raises(NotFound):
        inbound.receive(tenant, "whatsapp", "wamid.1", 999, "Hi")

    assert not list(InboundEvent.of(tenant))


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

        inbound.receive(tenant, "whatsapp", "1", lead.number, "STOP")
        inbound.receive(tenant, "whatsapp", "2", lead.number, "stop")
        worker.work_lane(chat.oid)

        assert said(chat.oid)[1:] == ["STOP", compliance.CONFIRMATION, "stop"]
        assert not model.asked
        assert leads.get(tenant, lead.number).opted_out == ["whatsapp", "telegram", "email", "sms"]
        assert {rows.get(tenant, each.oid).status for each in (chat, mail)} == {"dropped"}

    def test_nobody_can_write_to_them_any_more(self, tenant, make_lead, make_conversation):
        lead = make_lead(email="ada@example.com")
        make_conversation(lead)
        inbound.receive(tenant, "whatsapp", "1", lead.number, "STOP")

        with pytest.raises(Blocked) as refusal:
            conversations.start(tenant, lead.number, "email", actor=ACTOR)

        assert refusal.value.code == "opted_out"

    def test_turn_under_way_says_nothing(self, tenant, make_lead, make_conversation, model, said):
        lead = make_lead()
        conversation = make_conversation(lead)
        model.before = lambda context: inbound.receive(tenant, "whatsapp", "2", lead.number, "STOP")

        inbound.receive(tenant, "whatsapp", "1", lead.number, "Who is this?")
        worker.work_lane(conversation.oid)

        assert said(conversation.oid)[1:] == ["Who is this?", "STOP", compliance.CONFIRMATION]

    def test_what_they_write_later_is_kept_without_an_answer(self, tenant, make_lead, make_conversation, said):
        lead = make_lead()
        conversation = make_conversation(lead)
        inbound.receive(tenant, "whatsapp", "1", lead.number, "STOP")

        taken = inbound.receive(tenant, "whatsapp", "2", lead.number, "By the way")

        assert (taken.conversation.oid, taken.turn_row) == (conversation.oid, None)

    def test_start_brings_them_back(self, tenant, make_lead, make_conversation, model, said):
        lead = make_lead()
        ended = make_conversation(lead)
        inbound.receive(tenant, "whatsapp", "1", lead.number, "STOP")

        taken = inbound.receive(tenant, "whatsapp", "2", lead.number, "START")
        worker.work_lane(taken.conversation.oid)

        assert leads.get(tenant, lead.number).opted_out == []
        assert taken.conversation.oid != ended.oid
        assert said(taken.conversation.oid) == ["START", "re: START"]


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
                    inbound.receive(tenant, "whatsapp", f"wamid.{number}", lead.number, text)

    together(act, plan)

    made = list(rows.Conversation.of(tenant))
    for conversation in made:
        assert [message.seq for message in rows.messages(tenant, conversation)] == list(
            range(1, conversation.message_count + 1)
        )
    active = [conversation.channel for conversation in made if conversation.status == "active"]
    assert len(active) == len(set(active))
