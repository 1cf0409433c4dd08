"""Every message that reaches a provider was decided on the moment before: no other way leads there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import channels, compliance, conversations
from engine.channels import Deferred, OutcomeUnknown, Sent
from engine.compliance import Allowed
from engine.inbound import playing
from engine.jobs import worker
from storage import conversations as rows
from storage import deliveries, outbox
from tests.conftest import ACTOR

ROOT = Path(__file__).parents[2]
FOLDERS = ("engine", "handlers", "server", "storage")


def calls_of(name: str) -> Iterator[tuple[str, str]]:
    """Where a method or function of this name is called: file, and the call as it is written."""
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name:
                yield str(path.relative_to(ROOT)), ast.unparse(node.func)


def test_two_places_alone_hand_messages_to_channels():
    assert set(calls_of("send")) == {
        ("engine/delivery/__init__.py", "call.channel.send"),
        ("engine/campaigns/delivery.py", "channel.send"),
        ("engine/channels/sandbox.py", "self.send"),  # where nothing is sent
        ("handlers/conversations.py", "engine.send"),  # puts a message into the outbox
    }


def test_channels_alone_speak_to_providers():
    speakers = {path for path, call in calls_of("exchange")}

    assert speakers
    assert all(path.startswith("engine/channels/") for path in speakers)


def functions_of(file: str) -> dict[str, ast.FunctionDef]:
    tree = ast.parse((ROOT / file).read_text())
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def users_among(functions: dict[str, ast.FunctionDef], name: str) -> set[str]:
    return {
        function.name
        for function in functions.values()
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
    }


def test_what_begins_calls_of_a_batch_is_reached_through_the_decision_alone():
    functions = functions_of("engine/campaigns/delivery.py")
    decided = functions["_allowed"]

    [loop] = [node for node in decided.body if isinstance(node, ast.For)]
    [choice] = [node for node in loop.body if isinstance(node, ast.If)]
    assert ast.unparse(choice.test).endswith("isinstance(compliance.decide(facts, now), Allowed)")
    assert [ast.unparse(line) for line in choice.body] == ["plain.append((message, talk))"]
    assert [ast.unparse(node.func) for node in ast.walk(decided) if isinstance(node, ast.Call)].count(
        "plain.append"
    ) == 1
    assert "for message, talk in plain" in ast.unparse(decided.body[-1])
    assert users_among(functions, "_call") == {"_allowed"}


def test_what_begins_a_call_is_reached_through_the_decision_alone():
    functions = functions_of("engine/delivery/__init__.py")

    [decision] = [node for node in ast.walk(functions["_begin"]) if isinstance(node, ast.Match)]
    assert ast.unparse(decision.subject) == "compliance.decide(facts, now)"
    assert [ast.unparse(case.pattern) for case in decision.cases][-1] == "_"
    assert users_among(functions, "_Call") == {"_start", "_begin"}  # the latter names it as what it returns
    assert users_among(functions, "_start") == {"_begin"}


class Spied:
    """A channel, and a decision, that note what they are asked in one list."""

    repeats_safely = True
    pace_s = recipient_pace_s = 0.0

    def __init__(self):
        self.noted: list = []
        self.answers: list = []

    def send(self, message):
        self.noted.append(("sent", message.id))
        answer = self.answers.pop(0) if self.answers else Sent(f"p{len(self.noted)}")
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def spied(monkeypatch):
    spied = Spied()
    decide = compliance.decide
    facts_of = compliance.facts_of

    def noting_facts(*args, message=None, **kwargs):
        if message is not None:
            spied.noted.append(("asked", message.oid))
        return facts_of(*args, message=message, **kwargs)

    def noting_decision(facts, now):
        decision = decide(facts, now)
        spied.noted.append(("decided", decision))
        return decision

    monkeypatch.setattr(compliance, "facts_of", noting_facts)
    monkeypatch.setattr(compliance, "decide", noting_decision)
    monkeypatch.setattr(channels, "of", lambda tenant, channel: spied)
    return spied


def test_each_call_follows_a_permission_for_that_message(tenant, make_lead, make_conversation, model, spied, advance):
    conversation = make_conversation(make_lead())
    spied.answers = [Deferred("sms_503", "Try again."), OutcomeUnknown("sms_no_answer", "Lost.")]

    def work():
        worker.work_lane(conversation.oid)
        worker.work_lane(deliveries.lane_of(conversation.oid))
        advance(outbox.FIRST_DELAY_S * 4)

    work(), work(), work()
    playing.simulate(tenant, conversation.oid, "How much is it?")
    work()
    conversations.send(tenant, conversation.oid, "Grace here.", actor=ACTOR)
    work()
    playing.simulate(tenant, conversation.oid, "STOP")
    work()

    sent = [index for index, (what, _) in enumerate(spied.noted) if what == "sent"]
    assert len(sent) == 6  # the opening three times, an answer, a person's words, the confirmation
    for index in sent:
        message_id = spied.noted[index][1]
        assert spied.noted[index - 2 : index] == [("asked", message_id), ("decided", Allowed())]
    assert rows.get(tenant, conversation.oid).status == "dropped"
