"""Conversations in a storm: clients start them, then two at a time write into each as the lead."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from storage.conversations import Conversation, Message
from storage.database import connection
from storage.inbox import InboundEvent
from storage.outbox import OutboxRow
from tests.faults import echo_model
from tests.faults.house import House, once
from tests.faults.storm import Storm, StormClient

CLIENTS = 4
AGENT = {
    "name": "Mia",
    "systemPrompt": "You are Mia.",
    "goal": "Find out what they need.",
    "guardrails": {"maxTotalMessages": 1000},
}


@dataclass(frozen=True)
class Reply:
    """One reply of a lead as its client knows it; answer: the conversation after it, None if it was given up."""

    conversation: str
    text: str
    answer: dict[str, Any] | None
    is_replay: bool


def run(house: House, storm: Storm, seed: int, *, conversations: int, replies: int) -> list[Reply]:
    """Start so many conversations from four clients, then have two clients each reply so often in each."""
    items = [{"phone": f"+9991000000{number:03}", "name": f"Lead {number}"} for number in range(conversations)]
    with house.calm_client() as calm:
        calm.post("/api/agent-config", "agent", json=AGENT)
        made = calm.post("/api/leads/sync", "leads", json={"leads": items})
    assert made is not None
    leads = [result["id"] for result in made.json()["results"]]
    shares = [leads[client::CLIENTS] for client in range(CLIENTS)]
    started = storm.run([partial(_start, house, storm, f"{seed}-start-{n}", share) for n, share in enumerate(shares)])
    work = [
        partial(_reply, house, storm, f"{seed}-{n}", str(n), started[n] + started[n - 1], replies)
        for n in range(CLIENTS)
    ]
    return [reply for given in storm.run(work) for reply in given]


def _start(house: House, storm: Storm, seed: str, leads: Sequence[int]) -> list[str]:
    started = []
    with house.client(storm, seed) as client:
        for lead in leads:
            body = {"leadId": lead, "channel": "sms"}
            answer = client.post("/api/conversations/start", f"start-{lead}", json=body)
            assert answer is not None
            started.append(answer.json()["_id"])
    return started


def _reply(house: House, storm: Storm, seed: str, name: str, conversations: Sequence[str], replies: int) -> list[Reply]:
    random = Random(seed)
    order = [oid for oid in conversations for _ in range(replies)]
    random.shuffle(order)
    with house.client(storm, seed, abandons=0.1) as client:
        return [_say(client, oid, f"Question {name}.{number:03}") for number, oid in enumerate(order)]


def _say(client: StormClient, oid: str, text: str) -> Reply:
    path = f"/api/conversations/{oid}/simulate-reply"
    answer = client.post(path, text.replace(" ", "-"), json={"message": text})
    if answer is None:
        return Reply(oid, text, None, is_replay=False)
    return Reply(oid, text, answer.json(), "Idempotent-Replayed" in answer.headers)


def check(house: House, replies: Sequence[Reply]) -> None:
    """Assert that each reply is there once, if it was acknowledged, and was answered once and in order."""
    leads = house.check_leads()
    with connection():
        conversations = list(Conversation.of(house.tenant))
        messages = list(Message.of(house.tenant).order_by(Message.conversation_id, Message.seq))
        events = InboundEvent.of(house.tenant).count()
        unfinished = (OutboxRow.state != "done") & (OutboxRow.kind != "idle")  # which waits for a day of silence
        left = list(OutboxRow.select().where((OutboxRow.tenant_id == house.tenant.id) & unfinished))
    assert not left, "the outbox is not drained"
    assert sorted(conversation.lead_number for conversation in conversations) == [lead.number for lead in leads]
    assert sorted(entry.resource_id for entry in house.audited("conversation.started")) == sorted(
        conversation.oid for conversation in conversations
    )
    said = defaultdict(list)
    for message in messages:
        said[message.conversation_id].append(message)
    given = defaultdict(list)
    for reply in replies:
        given[reply.conversation].append(reply)
    for conversation in conversations:
        _check_conversation(conversation, said[conversation.id], given[conversation.oid])
    assert events == sum(message.role == "lead" for message in messages)


def _check_conversation(conversation: Any, messages: Sequence[Any], given: Sequence[Reply]) -> None:
    assert [message.seq for message in messages] == list(range(1, conversation.message_count + 1))
    asked = [message.content for message in messages if message.role == "lead"]
    answered = [message for message in messages if message.role == "agent"]
    assert [message.content for message in answered] == [echo_model.OPENING, *(f"re: {text}" for text in asked)]
    assert {message.delivery_status for message in answered} == {"delivered"}
    assert once(asked)
    assert {reply.text for reply in given if reply.answer is not None} <= set(asked) <= {reply.text for reply in given}
    for client in "0123":  # each waited for its answer before it wrote again
        own = [text for text in asked if text.startswith(f"Question {client}.")]
        assert own == sorted(own)
    _check_answers(messages, given)


def _check_answers(messages: Sequence[Any], given: Sequence[Reply]) -> None:
    """What was acknowledged is still there; and only an answer from the record may lack the agent's."""
    lasting = {message.oid: (message.role, message.content) for message in messages}
    for reply in given:
        if reply.answer is not None:
            shown = {message["id"]: (message["role"], message["content"]) for message in reply.answer["messages"]}
            assert shown.items() <= lasting.items()
            assert ("lead", reply.text) in shown.values()
            assert reply.is_replay or ("agent", f"re: {reply.text}") in shown.values()
