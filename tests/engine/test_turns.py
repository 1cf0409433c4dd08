"""What stands around a turn: budgets before it, knowledge for it, and all that is stored of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from engine import agent_configs, budgets, compliance, conversations, inbound, knowledge, turns
from engine.agents import ModelMalformed, ModelUnavailable, Usage
from engine.compliance import Held, Refused
from engine.jobs import worker
from storage import clock, leads, usage
from storage import conversations as rows
from storage import knowledge as stored_knowledge
from storage.tenancy import Actor
from storage.usage import UsageMonth

ACTOR = Actor("api_key", "key-1", "tests")
DOCUMENT, CHUNK = "0d" * 12, "0c" * 12
PRICES = knowledge.Found(DOCUMENT, CHUNK, "Prices", "Plans start at $49 a month.", 0, 27, 0.9, "https://example.com/p")
SPENT = Usage(120, 30, "openai:gpt-4o-mini", 36)


@dataclass
class Searches:
    found: list[knowledge.Found] = field(default_factory=lambda: [PRICES])
    asked: list[tuple[list[str], str, int]] = field(default_factory=list)

    def search(self, _tenant, oids, query, *, limit):
        self.asked.append((list(oids), query, limit))
        return self.found


@pytest.fixture
def looked_up(monkeypatch):
    """What was looked up, and what was found."""

    searches = Searches()
    monkeypatch.setattr(knowledge, "search", searches.search)
    return searches


@pytest.fixture
def talk(tenant, make_agent, make_lead):
    """A conversation with an agent of these members."""

    def start(**members):
        make_agent(**members)
        return conversations.start(tenant, make_lead().number, "sms", actor=ACTOR, text="Hello").conversation

    return start


@pytest.fixture
def informed(talk, base):
    """A conversation whose agent has a knowledge base."""
    return talk(knowledgeBaseIds=[base])


@pytest.fixture
def base(tenant):
    return stored_knowledge.add(tenant, name="Prices").oid


def reply(tenant, conversation, text="What does it cost?"):
    inbound.simulate(tenant, conversation.oid, text)
    worker.work_lane(conversation.oid)
    return rows.messages(tenant, rows.get(tenant, conversation.oid))[-1]


class TestKnowledge:
    def test_agent_without_knowledge_bases_looks_nothing_up(self, tenant, talk, model, looked_up):
        reply(tenant, talk())

        assert looked_up.asked == []
        assert not model.asked[0].searched

    def test_what_the_lead_said_is_looked_up_and_what_was_used_is_cited(self, tenant, informed, base, model, looked_up):
        model.prepared = [{"passages_used": (0,)}]

        message = reply(tenant, informed)

        assert looked_up.asked == [([base], "What does it cost?", 5)]
        assert model.asked[0].passages[0].source_url == "https://example.com/p"
        place = {"start": 0, "end": 27, "sourceUrl": "https://example.com/p"}
        assert message.citations == [{"documentId": DOCUMENT, "chunkId": CHUNK, "title": "Prices", **place}]

    def test_nothing_relevant_is_told_to_the_model(self, tenant, informed, model, looked_up):
        looked_up.found = []

        reply(tenant, informed)

        assert (model.asked[0].searched, model.asked[0].passages) == (True, ())

    def test_scripted_model_quotes_with_a_citation_or_leaves_the_answer_to_a_colleague(
        self, tenant, informed, looked_up
    ):
        quoted = reply(tenant, informed, "What do your plans cost a month?")
        looked_up.found = []
        abstained = reply(tenant, informed, "Do you ship to Norway?")

        assert "Plans start at $49 a month." in quoted.content
        assert [citation["chunkId"] for citation in quoted.citations] == [CHUNK]
        assert "a colleague will get back to you" in abstained.content
        assert abstained.citations == []

    def test_opening_looks_nothing_up(self, tenant, make_agent, make_lead, base, model, looked_up):
        make_agent(knowledgeBaseIds=[base])
        changed = conversations.start(tenant, make_lead().number, "sms", actor=ACTOR)

        worker.settle(changed.conversation.oid, changed.turn_row)

        assert (looked_up.asked, model.asked[0].opening) == ([], True)


class TestPins:
    def test_message_tells_version_model_tokens_and_cost(self, tenant, talk, model):
        model.prepared = [{"usage": SPENT}]

        message = reply(tenant, talk())

        assert (message.agent_version, message.model) == (1, "openai:gpt-4o-mini")
        assert (message.input_tokens, message.output_tokens, message.cost_micros) == (120, 30, 36)

    def test_conversation_goes_on_with_the_agents_latest_version(self, tenant, talk, model):
        conversation = talk()
        reply(tenant, conversation)
        agent_configs.update(tenant, conversation.agent_config_id, {"goal": "Book a call."}, actor=ACTOR)

        message = reply(tenant, conversation)

        assert (message.agent_version, model.asked[-1].agent.goal) == (2, "Book a call.")

    def test_guardrail_that_speaks_has_no_model(self, tenant, talk):
        conversation = talk(guardrails={"escalationTriggers": "lawyer"})
        reply(tenant, conversation, "I call my lawyer")

        said = [each for each in rows.messages(tenant, conversation) if each.role == "agent"][-1]

        assert (said.agent_version, said.model, said.input_tokens) == (1, None, None)


class TestUsage:
    def months(self, tenant):
        return [
            (month.turns, month.input_tokens, month.output_tokens, month.cost_micros) for month in UsageMonth.of(tenant)
        ]

    def test_turns_tokens_and_costs_are_counted(self, tenant, talk, model):
        conversation = talk()
        model.prepared = [{"usage": SPENT}, {"usage": Usage(1, 2, "openai-compatible:x", None)}]

        reply(tenant, conversation)
        reply(tenant, conversation)

        assert self.months(tenant) == [(2, 121, 32, 36)]

    @pytest.mark.parametrize("failure", [ModelMalformed("No answer."), ModelUnavailable("Busy.")])
    def test_what_a_failed_turn_took_is_counted_too(self, tenant, talk, model, failure):
        failure.usage = SPENT
        model.prepared = [failure]

        reply(tenant, talk())

        assert self.months(tenant) == [(0, 120, 30, 36)]

    def test_turn_that_comes_too_late_is_counted_too(self, tenant, talk, model):
        conversation = talk()
        model.before = lambda _: conversations.change_status(tenant, conversation.oid, "dropped", actor=ACTOR)
        model.prepared = [{"usage": SPENT}]

        reply(tenant, conversation)

        assert self.months(tenant) == [(1, 120, 30, 36)]


class TestBudget:
    def test_exhausted_budget_hands_off_and_asks_no_model(self, tenant, talk, model, monkeypatch):
        conversation = talk()
        monkeypatch.setattr(budgets, "exhausted", lambda *_: "monthlyTokens")

        message = reply(tenant, conversation)

        assert rows.get(tenant, conversation.oid).status == "handed_off"
        assert message.content == (
            "Handed off to a person: The account's budget of this month is used up (monthlyTokens)."
        )
        assert model.asked == []


class TestPermission:
    def test_reply_that_is_held_is_queued_and_says_until_when(self, tenant, talk, model, monkeypatch):
        conversation = talk()
        held = Held("quiet_hours", "It is night there.", clock.now())
        monkeypatch.setattr(compliance, "permission", lambda *_, **__: held)

        message = reply(tenant, conversation)

        assert (message.role, message.delivery_status, message.delivery_code) == ("agent", "queued", "quiet_hours")
        assert message.held_until == clock.iso(held.until)

    def test_reply_that_is_refused_is_not_stored(self, tenant, talk, model, monkeypatch):
        conversation = talk()
        monkeypatch.setattr(compliance, "permission", lambda *_, **__: Refused("opted_out", "Opted out."))

        assert reply(tenant, conversation).role == "lead"


def test_what_a_turn_learns_is_stored_on_the_lead(tenant, talk, model):
    conversation = talk()
    model.prepared = [{"extracted": {"email": "ada@example.com", "budget": "$5,000"}, "language": "es"}]

    reply(tenant, conversation)

    lead = leads.get(tenant, conversation.lead_number)
    assert (lead.email, lead.custom_fields) == ("ada@example.com", {"budget": "$5,000", "language": "es"})
    assert turns.model_of(tenant).is_fixed
    assert usage.months(tenant, 1)[0].turns == 1
