from datetime import timedelta

import pytest

from engine.agents import AgentSpec, Guardrails, HistoryMessage, ModelConfig, take_turn
from engine.agents.guardrails import before_model, first_mentioned, is_idle, phrases

from .conftest import NOW


@pytest.mark.parametrize(
    ("text", "listed", "found"),
    [
        ("I want a REFUND now", "lawyer, refund", "refund"),
        ("I talked to my lawyer", "lawyer\nrefund", "lawyer"),
        ("Refunds are fine", "refund", None),
        ("a data\n  breach happened", "data breach", "data breach"),
        ("I don’t trust you", "don't trust", "don't trust"),
        ("Ich will es Zurück", "zurück", "zurück"),
        ("we use c++ here", "c++", "c++"),
        ("a.c", "abc", None),
        ("anything", "", None),
        ("anything", " , ;\n", None),
    ],
    ids=[
        "case", "one a line", "whole words only", "white space", "typographic apostrophe", "umlaut", "punctuation",
        "no pattern language", "nothing listed", "only separators",
    ],
)  # fmt: skip
def test_phrases_match_as_whole_words(text, listed, found):
    assert first_mentioned(text, listed) == found


def test_phrases_are_set_apart_by_commas_semicolons_and_lines():
    assert phrases("a b, c;d\n\n e ,") == ["a b", "c", "d", "e"]


def agent(**rules):
    return AgentSpec("Mia", guardrails=Guardrails(**rules))


@pytest.mark.parametrize(
    ("rules", "said", "total", "opening", "rule"),
    [
        ({}, "hello", 39, False, None),
        ({}, "hello", 40, False, "max_total_messages"),
        ({"max_total_messages": 0}, "hello", 4000, False, None),
        ({"escalation_triggers": "lawyer"}, "my lawyer says", 2, False, "escalation_trigger"),
        ({"escalation_triggers": "lawyer"}, "my lawyer says", 40, False, "escalation_trigger"),
        ({"escalation_triggers": "lawyer"}, "my lawyer says", 40, True, None),
    ],
    ids=["one left", "limit reached", "no limit", "trigger", "trigger names the better reason", "opening"],
)
def test_verdict_before_the_model(make_context, rules, said, total, opening, rule):
    context = make_context(said, agent=agent(**rules), message_total=total, opening=opening)

    verdict = before_model(context)

    assert (verdict and verdict.rule) == rule


def test_only_what_the_lead_said_last_can_escalate(make_context):
    said = ("lead", "lawyer"), ("agent", "A lawyer?"), ("lead", "No, forget it"), ("system", "lawyer joined")
    context = make_context(
        agent=agent(escalation_triggers="lawyer"), history=tuple(HistoryMessage(role, text) for role, text in said)
    )

    assert before_model(context) is None


def test_any_of_several_unanswered_messages_can_escalate(make_context):
    said = ("agent", "Hi"), ("lead", "I call my lawyer"), ("lead", "now")
    context = make_context(
        agent=agent(escalation_triggers="lawyer"), history=tuple(HistoryMessage(role, text) for role, text in said)
    )

    assert before_model(context) is not None


def test_escalation_answers_with_the_handoff_message_and_no_model(make_context):
    unreachable = ModelConfig.parse("openai:gpt-4o-mini", base_url="http://127.0.0.1:1")

    turn = take_turn(make_context("I want to file a complaint"), unreachable)

    assert turn.reply.startswith("Let me bring in a colleague")
    assert (turn.conversation_status, turn.lead_status) == ("handed_off", "contacted")
    assert (turn.guardrail, turn.handoff_reason) == ("escalation_trigger", "The lead mentioned “complaint”.")
    assert (turn.stage.id, turn.stage_changed, turn.usage.model) == ("discovery", False, "")


def test_reason_names_a_long_trigger_in_brief(make_context):
    context = make_context("x" * 3000, agent=agent(escalation_triggers="x" * 3000))

    assert len(before_model(context).reason) < 250


@pytest.mark.parametrize(
    ("minutes", "silent_minutes", "idle"),
    [(1440, 1440, False), (1440, 1441, True), (0, 100_000, False)],
    ids=["just in time", "too late", "never"],
)
def test_conversation_is_idle_after_the_agents_timeout(minutes, silent_minutes, idle):
    rules = Guardrails(inactivity_timeout_minutes=minutes)

    assert is_idle(rules, NOW - timedelta(minutes=silent_minutes), NOW) is idle
