import asyncio
import subprocess
import sys

import pytest

from engine.agents import (
    AgentSpec,
    Guardrails,
    LeadFacts,
    ModelConfig,
    Qualification,
    StagePosition,
    TurnResult,
    Usage,
    take_turn,
)
from engine.agents.guardrails import DEFLECTION
from engine.agents.turn import Answer, conversation_status, decide, lead_status, problem

YES = Qualification(qualified=True, reason="Fits.")
NO = Qualification(qualified=False, reason="No budget.")


def decided(context, **result):
    return decide(context, Answer(TurnResult(reply="Hello", **result), Usage(1, 2, "m")))


@pytest.mark.parametrize(
    ("status", "qualification", "expected"),
    [
        ("new", None, "contacted"),
        ("contacted", None, "contacted"),
        ("qualified", None, "qualified"),
        ("disqualified", None, "disqualified"),
        ("new", YES, "qualified"),
        ("contacted", NO, "disqualified"),
        ("disqualified", YES, "qualified"),
    ],
)
def test_lead_status_follows_the_verdict(make_context, status, qualification, expected):
    context = make_context(lead=LeadFacts(status=status))

    assert lead_status(context, TurnResult(reply="x", qualification=qualification)) == expected


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({}, "active"),
        ({"qualification": YES}, "active"),
        ({"end": True}, "completed"),
        ({"handoff": True}, "handed_off"),
        ({"handoff": True, "end": True}, "handed_off"),
    ],
    ids=["goes on", "qualified, still talking", "ended", "handed off", "a person must still act"],
)
def test_conversation_status(result, expected):
    assert conversation_status(TurnResult(reply="x", **result)) == expected


@pytest.mark.parametrize(
    ("index", "wanted", "in_stage", "moved_to", "rule"),
    [
        (0, None, 2, (0, "discovery"), None),
        (0, "fit", 2, (1, "fit"), None),
        (0, "discovery", 2, (0, "discovery"), None),
        (0, None, 8, (1, "fit"), "stage_max_messages"),
        (3, None, 8, (3, "next-step"), None),
        (99, None, 0, (3, "next-step"), None),
    ],
    ids=["stays", "moves", "names the present one", "is spent", "last stage is never spent", "script got shorter"],
)
def test_stage_after_the_turn(make_context, index, wanted, in_stage, moved_to, rule):
    turn = decided(make_context(stage_index=index, messages_in_stage=in_stage), next_stage_id=wanted)

    assert (turn.stage.index, turn.stage.id) == moved_to
    assert turn.guardrail == rule


def test_spent_stage_is_kept_when_the_conversation_ends(make_context):
    turn = decided(make_context(messages_in_stage=8), end=True)

    assert (turn.stage.id, turn.stage_changed) == ("discovery", False)


def test_agent_without_stages_has_none(make_context):
    turn = decided(make_context(agent=AgentSpec("Mia")))

    assert (turn.stage, turn.stage_changed) == (None, False)


def test_handoff_says_what_the_account_configured(make_context):
    turn = decided(make_context(agent=AgentSpec("Mia", handoff_message="One moment.")), handoff=True)

    assert (turn.reply, turn.handoff_reason) == ("One moment.", "The agent asked for a person.")


def test_forbidden_reply_is_replaced(make_context):
    turn = decided(make_context(agent=AgentSpec("Mia", guardrails=Guardrails(forbidden_topics="hello"))))

    assert (turn.reply, turn.guardrail) == (DEFLECTION, "forbidden_topic")


@pytest.mark.parametrize(
    ("result", "index", "wrong"),
    [
        ({}, 0, None),
        ({"next_stage_id": "fit"}, 0, None),
        ({"next_stage_id": "discovery"}, 0, None),
        ({"next_stage_id": "timing"}, 0, "one of: fit"),
        ({"next_stage_id": "discovery"}, 3, "nothing: this is the last stage"),
        ({"used_passages": [1]}, 0, "there are 0"),
    ],
    ids=["stay", "next", "present", "skip ahead", "back from the end", "no such passage"],
)
def test_model_is_told_what_to_correct(make_context, result, index, wrong):
    found = problem(make_context(stage_index=index), TurnResult(reply="x", **result))

    assert wrong in found if wrong else found is None


def test_result_is_cleaned_of_what_databases_and_channels_refuse():
    result = TurnResult(reply=" Hi\x00 there\n", summary="\x1bok", extracted={"a\x07": "b\x00"})

    assert (result.reply, result.summary, result.extracted) == ("Hi there", "ok", {"a": "b"})


def test_opening_contacts_a_new_lead(make_context):
    turn = take_turn(make_context(history=(), opening=True, message_total=0, messages_in_stage=0), ModelConfig())

    assert turn.stage == StagePosition(0, "discovery", "Discovery")
    assert (turn.lead_status, turn.conversation_status) == ("contacted", "active")
    assert turn.usage == Usage(0, 0, "scripted", 0)


def test_same_context_gives_the_same_turn(make_context):
    assert take_turn(make_context(), ModelConfig()) == take_turn(make_context(), ModelConfig())


def test_turn_inside_an_event_loop_is_refused_not_hung(make_context):
    async def inside():
        take_turn(make_context(), ModelConfig())

    with pytest.raises(RuntimeError, match="inside a running event loop"):
        asyncio.run(inside())


def test_importing_the_engine_does_not_load_the_model_library():
    loaded = "import sys, engine.agents; print(*{name.partition('.')[0] for name in sys.modules})"

    names = subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True, text=True).stdout.split()

    assert not {"pydantic_ai", "openai", "httpx2", "peewee", "connexion"} & set(names)
