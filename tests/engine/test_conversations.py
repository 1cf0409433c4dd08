"""A conversation from its start to its end, one rule at a time."""

from __future__ import annotations

import pytest

from engine import conversations, inbound
from engine.agents import ModelMalformed, ModelUnavailable, Qualification
from engine.jobs import worker
from storage import conversations as rows
from storage import leads
from storage.audit import AuditEntry
from storage.errors import Blocked, Conflict, NotFound
from storage.outbox import OutboxRow
from storage.tenancy import Actor

ACTOR = Actor("api_key", "key-1", "tests")


def reply(tenant, conversation, text="Tell me more"):
    """The lead writes, and the agent's turn is taken."""
    changed = inbound.simulate(tenant, conversation.oid, text)
    worker.work_lane(conversation.oid)
    return changed


def status(tenant, conversation):
    return rows.get(tenant, conversation.oid).status


def actions(tenant):
    found = AuditEntry.of(tenant.account_id).order_by(AuditEntry.id)
    return [entry.action for entry in found if entry.action.startswith(("conversation.", "lead."))]


class TestStart:
    def test_agent_words_the_first_message(self, tenant, make_agent, make_lead, model, said):
        make_agent()
        lead = make_lead(name="Ada")

        changed = conversations.start(tenant, lead.number, "whatsapp", actor=ACTOR)
        worker.settle(changed.conversation.oid, changed.turn_row)

        assert said(changed.conversation.oid, "agent") == ["Hi, this is Mia."]
        assert model.asked[0].opening
        assert leads.get(tenant, lead.number).status == "contacted"
        assert leads.get(tenant, lead.number).last_contacted_at is not None

    def test_given_text_is_sent_without_a_turn(self, tenant, make_conversation, said, model):
        conversation = make_conversation(text="Hello Ada")

        assert said(conversation.oid, "agent") == ["Hello Ada"]
        assert (conversation.stage_name, conversation.message_count) == ("Greet", 1)
        assert not model.asked

    def test_message_reaches_the_sandbox(self, tenant, make_conversation):
        conversation = make_conversation()

        worker.work_lane(f"{conversation.oid}/out")

        assert [message.delivery_status for message in rows.messages(tenant, conversation)] == ["delivered"]

    def test_second_start_names_the_active_conversation(self, tenant, make_lead, make_conversation):
        lead = make_lead()
        conversation = make_conversation(lead)

        with pytest.raises(Conflict) as refusal:
            conversations.start(tenant, lead.number, "whatsapp", actor=ACTOR)

        assert (refusal.value.code, refusal.value.details) == ("conversation_active", conversation.oid)

    def test_another_channel_is_another_conversation(self, tenant, make_lead, make_conversation):
        lead = make_lead(email="ada@example.com")

        assert make_conversation(lead).oid != make_conversation(lead, "email").oid

    def test_without_an_active_agent_it_is_refused(self, tenant, make_agent, make_lead):
        make_agent(status="inactive")

        with pytest.raises(Conflict, match="no active agent"):
            conversations.start(tenant, make_lead().number, "whatsapp", actor=ACTOR)

    def test_agent_is_the_explicit_one_or_the_leads_or_the_newest(self, tenant, make_agent, make_lead):
        first, second, newest = make_agent(), make_agent(), make_agent()
        lead = make_lead(assigned_agent_id=first.oid)

        assert conversations.choose_agent(tenant, lead, second.oid).oid == second.oid
        assert conversations.choose_agent(tenant, lead).oid == first.oid
        assert conversations.choose_agent(tenant, make_lead()).oid == newest.oid

    def test_inactive_agent_opens_nothing(self, tenant, make_agent, make_lead):
        active, asleep = make_agent(), make_agent(status="inactive")
        lead = make_lead(assigned_agent_id=asleep.oid)

        with pytest.raises(Conflict, match="active agent"):
            conversations.choose_agent(tenant, lead, asleep.oid)
        assert conversations.choose_agent(tenant, lead).oid == active.oid

    def test_unknown_and_foreign_leads_and_agents_are_not_found(self, tenant, live_tenant, make_agent, make_lead):
        make_agent()
        foreign_agent, foreign_lead = make_agent(live_tenant), make_lead(live_tenant)

        with pytest.raises(NotFound, match="Lead"):
            conversations.start(tenant, foreign_lead.number, "whatsapp", actor=ACTOR)
        with pytest.raises(NotFound, match="Agent"):
            conversations.start(tenant, make_lead().number, "whatsapp", actor=ACTOR, agent_config_id=foreign_agent.oid)

    def test_number_that_does_not_exist_will_do_in_the_sandbox(self, tenant, make_lead, make_conversation):
        lead = make_lead(phone="+1234567890", phone_valid=False)

        assert make_conversation(lead).lead_phone == "+1234567890"

    def test_live_without_an_integration_is_blocked(self, live_tenant, make_agent, make_lead):
        make_agent(live_tenant)
        lead = make_lead(live_tenant)

        with pytest.raises(Blocked) as refusal:
            conversations.start(live_tenant, lead.number, "whatsapp", actor=ACTOR)

        assert refusal.value.code == refusal.value.details == "channel_not_configured"

    def test_blocked_start_leaves_nothing_behind(self, tenant, make_agent, make_lead):
        make_agent()
        lead = make_lead(phone="", email="")

        with pytest.raises(Blocked):
            conversations.start(tenant, lead.number, "email", actor=ACTOR)

        assert OutboxRow.select().count() == 0


class TestTurn:
    def test_lead_is_answered(self, tenant, make_conversation, model, said):
        conversation = make_conversation()

        reply(tenant, conversation, "What does it cost?")

        assert said(conversation.oid, "lead", "agent")[1:] == ["What does it cost?", "re: What does it cost?"]

    def test_model_knows_the_conversation_so_far(self, tenant, make_conversation, model):
        conversation = make_conversation(text="Hello")
        reply(tenant, conversation, "one")

        reply(tenant, conversation, "two")

        context = model.asked[-1]
        assert [message.content for message in context.history] == ["Hello", "one", "re: one", "two"]
        assert (context.message_total, context.messages_in_stage) == (4, 4)
        assert (context.lead.name, context.lead.status) == ("Ada", "contacted")

    def test_messages_of_the_present_stage_are_counted_from_its_first_answer(self, tenant, make_conversation, model):
        conversation = make_conversation()
        model.prepared = [{"stage": 1}]
        reply(tenant, conversation, "one")

        reply(tenant, conversation, "two")

        assert model.asked[-1].messages_in_stage == 2

    def test_two_messages_in_a_row_get_an_answer_each(self, tenant, make_conversation, model, said):
        conversation = make_conversation()
        inbound.simulate(tenant, conversation.oid, "one")
        inbound.simulate(tenant, conversation.oid, "two")

        worker.work_lane(conversation.oid)

        assert said(conversation.oid)[1:] == ["one", "two", "re: one", "re: two"]

    def test_nameless_lead_has_no_name_for_the_model(self, tenant, make_lead, make_conversation, model):
        conversation = make_conversation(make_lead())

        reply(tenant, conversation)

        assert model.asked[-1].lead.name == ""

    def test_stage_summary_and_verdict_are_stored(self, tenant, make_lead, make_conversation, model):
        lead = make_lead()
        conversation = make_conversation(lead)
        verdict = Qualification(qualified=True, reason="Budget is known.")
        model.prepared = [
            {
                "stage": 1,
                "summary": "Ada has a budget.",
                "qualification": verdict,
                "lead_status": "qualified",
                "conversation_status": "completed",
            }
        ]

        reply(tenant, conversation)

        stored = rows.get(tenant, conversation.oid)
        assert (stored.status, stored.stage_index, stored.stage_name) == ("completed", 1, "Qualify")
        assert stored.summary == "Ada has a budget."
        assert stored.qualification_result == {"qualified": True, "reason": "Budget is known."}
        assert leads.get(tenant, lead.number).status == "qualified"
        assert actions(tenant)[-2:] == ["lead.qualified", "conversation.completed"]

    def test_qualified_lead_is_not_set_back_by_another_contact(self, tenant, make_lead, make_conversation, model):
        lead = make_lead(status="qualified")

        reply(tenant, make_conversation(lead))

        assert leads.get(tenant, lead.number).status == "qualified"

    def test_hand_off_says_why(self, tenant, make_conversation, model, said):
        conversation = make_conversation()
        model.prepared = [
            {
                "reply": "A colleague takes over.",
                "conversation_status": "handed_off",
                "handoff_reason": "Asked for one.",
            }
        ]

        reply(tenant, conversation)

        assert status(tenant, conversation) == "handed_off"
        assert said(conversation.oid)[-2:] == ["A colleague takes over.", "Handed off to a person: Asked for one."]

    def test_model_that_cannot_answer_hands_off_to_a_person(self, tenant, make_conversation, model, said):
        conversation = make_conversation()
        model.prepared = [ModelMalformed("No usable answer.")]

        reply(tenant, conversation)

        assert status(tenant, conversation) == "handed_off"
        assert said(conversation.oid, "system") == ["Handed off to a person: No usable answer."]

    def test_model_that_is_away_is_asked_again_after_the_time_it_names(
        self, tenant, make_conversation, model, said, advance
    ):
        conversation = make_conversation()
        model.prepared = [ModelUnavailable("Busy.", retry_after_s=300)]
        reply(tenant, conversation, "Hello?")

        advance(290)
        worker.work_lane(conversation.oid)
        too_early = said(conversation.oid, "agent")
        advance(20)
        worker.work_lane(conversation.oid)

        assert too_early == ["Hello, this is Mia."]
        assert said(conversation.oid, "agent")[1:] == ["re: Hello?"]

    def test_model_that_stays_away_leads_to_a_person(self, tenant, make_conversation, model, advance):
        conversation = make_conversation()
        model.prepared = [ModelUnavailable("Busy.")] * 8
        reply(tenant, conversation)

        for _ in range(7):
            advance(3601)
            worker.work_lane(conversation.oid)

        assert status(tenant, conversation) == "handed_off"
        assert OutboxRow.get(OutboxRow.kind == "turn").state == "failed"

    def test_person_who_takes_over_during_the_turn_silences_the_agent(self, tenant, make_conversation, model, said):
        conversation = make_conversation()
        model.before = lambda context: conversations.send(tenant, conversation.oid, "Grace here.", actor=ACTOR)

        reply(tenant, conversation, "Hi")

        assert said(conversation.oid)[1:] == ["Hi", "Grace here."]

    def test_person_silences_the_turn_under_way_even_if_they_give_back(self, tenant, make_conversation, model, said):
        conversation = make_conversation()

        def interrupt(context):
            conversations.send(tenant, conversation.oid, "Grace here.", actor=ACTOR)
            conversations.change_status(tenant, conversation.oid, "active", actor=ACTOR)

        model.before = interrupt

        reply(tenant, conversation, "Hi")

        assert said(conversation.oid)[1:] == ["Hi", "Grace here."]

    def test_conversation_ended_during_the_turn_stays_as_it_is(self, tenant, make_conversation, model, said):
        conversation = make_conversation()
        model.before = lambda context: conversations.change_status(tenant, conversation.oid, "dropped", actor=ACTOR)

        reply(tenant, conversation, "Hi")

        assert said(conversation.oid)[1:] == ["Hi"]


class TestPerson:
    def test_message_goes_out_and_the_agent_is_silent(self, tenant, make_conversation, model, said):
        conversation = make_conversation()

        conversations.send(tenant, conversation.oid, "This is Grace.", actor=ACTOR)
        reply(tenant, conversation, "Hello Grace")

        assert said(conversation.oid)[1:] == ["This is Grace.", "Hello Grace"]
        assert status(tenant, conversation) == "handed_off"
        assert not model.asked

    def test_agent_answers_what_is_open_when_it_gets_the_conversation_back(
        self, tenant, make_conversation, model, said
    ):
        conversation = make_conversation()
        conversations.send(tenant, conversation.oid, "This is Grace.", actor=ACTOR)
        reply(tenant, conversation, "Are you still there?")

        conversations.change_status(tenant, conversation.oid, "active", actor=ACTOR)
        worker.work_lane(conversation.oid)

        assert said(conversation.oid)[-1] == "re: Are you still there?"

    def test_agent_has_nothing_to_say_when_a_person_spoke_last(self, tenant, make_conversation, model):
        conversation = make_conversation()
        conversations.send(tenant, conversation.oid, "This is Grace.", actor=ACTOR)

        changed = conversations.change_status(tenant, conversation.oid, "active", actor=ACTOR)

        assert changed.turn_row is None

    def test_nothing_is_sent_in_an_ended_conversation(self, tenant, make_conversation):
        conversation = make_conversation()
        conversations.change_status(tenant, conversation.oid, "completed", actor=ACTOR)

        with pytest.raises(Conflict, match="completed"):
            conversations.send(tenant, conversation.oid, "Hello", actor=ACTOR)


class TestStatus:
    @pytest.mark.parametrize(
        "path",
        [
            "completed",
            "dropped",
            "handed_off",
            "active",  # what it is already
            "handed_off active",
            "handed_off completed",
            "handed_off dropped",
        ],
    )
    def test_move_is_made(self, tenant, make_conversation, path):
        conversation = make_conversation()

        for step in path.split():
            conversations.change_status(tenant, conversation.oid, step, actor=ACTOR)

        assert status(tenant, conversation) == path.split()[-1]

    @pytest.mark.parametrize(
        ("end", "wanted"),
        [("completed", "active"), ("completed", "dropped"), ("dropped", "handed_off"), ("dropped", "active")],
    )
    def test_ended_conversation_stays_ended(self, tenant, make_conversation, end, wanted):
        conversation = make_conversation()
        conversations.change_status(tenant, conversation.oid, end, actor=ACTOR)

        with pytest.raises(Conflict) as refusal:
            conversations.change_status(tenant, conversation.oid, wanted, actor=ACTOR)

        assert refusal.value.code == "illegal_status_change"
        assert status(tenant, conversation) == end

    def test_same_status_again_changes_nothing(self, tenant, make_conversation):
        conversation = make_conversation()
        before = actions(tenant)

        again = conversations.change_status(tenant, conversation.oid, "active", actor=ACTOR)

        assert again.conversation.updated_at == rows.get(tenant, conversation.oid).updated_at
        assert actions(tenant) == before

    def test_giving_back_is_refused_beside_another_active_one(self, tenant, make_lead, make_conversation):
        lead = make_lead()
        old = make_conversation(lead)
        conversations.change_status(tenant, old.oid, "handed_off", actor=ACTOR)
        new = make_conversation(lead)

        with pytest.raises(Conflict) as refusal:
            conversations.change_status(tenant, old.oid, "active", actor=ACTOR)

        assert refusal.value.details == new.oid
