"""Conversations to test with: a test-environment tenant, an agent, leads, and a model that says what it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from engine import agent_configs, conversations, turns
from engine.agents import StagePosition, Turn, TurnContext
from engine.jobs import doorbell
from storage import accounts, clock
from storage import conversations as rows
from storage.tenancy import Actor, Tenant


@pytest.fixture
def tenant(database: Any) -> Tenant:
    """Here it is the test environment: there every channel is the sandbox."""
    return accounts.tenant_row(accounts.create("Example").id, "test").tenant


@pytest.fixture
def live_tenant(tenant: Tenant) -> Tenant:
    return accounts.tenant_row(tenant.account_id, "live").tenant


@pytest.fixture
def make_agent(tenant: Tenant, actor: Actor) -> Callable[..., Any]:
    """Stores an active agent with two stages and whatever else is given, in the contract's names."""

    def make(owner: Tenant = tenant, **members: Any) -> Any:
        body = {
            "name": "Mia",
            "systemPrompt": "You are Mia.",
            "goal": "Find out what they need.",
            "stages": [{"id": "greet", "name": "Greet"}, {"id": "qualify", "name": "Qualify"}],
            "guardrails": {"maxTotalMessages": 1000},
            **members,
        }
        return agent_configs.create(owner, body, actor=actor)

    return make


@pytest.fixture
def make_conversation(tenant: Tenant, actor: Actor, make_agent: Any, make_lead: Any) -> Callable[..., Any]:
    """Starts a conversation that the account opens with a text of its own, with a new lead unless one is given."""

    def make(lead: Any = None, channel: str = "whatsapp", text: str = "Hello, this is Mia.") -> Any:
        make_agent()
        lead = lead or make_lead(name="Ada", email="ada@example.com")
        return conversations.start(tenant, lead.number, channel, actor=actor, text=text).conversation

    return make


@dataclass
class Model:
    """Answers `re: <what the lead said>` unless it is given turns, or errors to raise, in advance."""

    prepared: list[Any] = field(default_factory=list)
    asked: list[TurnContext] = field(default_factory=list)
    before: Callable[[TurnContext], None] | None = None
    _lock: Any = field(default_factory=threading.Lock)

    def take_turn(self, context: TurnContext, _config: Any) -> Turn:
        with self._lock:
            self.asked.append(context)
            prepared = self.prepared.pop(0) if self.prepared else {}
        if self.before is not None:
            self.before(context)
        if isinstance(prepared, BaseException):
            raise prepared
        return self.turn(context, **prepared)

    def turn(self, context: TurnContext, *, stage: int | None = None, **members: Any) -> Turn:
        index = context.stage_index if stage is None else stage
        present = context.agent.stages[index]
        said = {"reply": f"re: {context.last_lead_message}" if not context.opening else "Hi, this is Mia."}
        position = StagePosition(index, present.id, present.name)
        defaults = {"stage_changed": False, "lead_status": "contacted", "conversation_status": "active"}
        return Turn(**{**defaults, **said, "stage": position, **members})


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    """The language model of this test; nothing is asked for real."""
    stand_in = Model()
    monkeypatch.setattr(turns, "take_turn", stand_in.take_turn)
    return stand_in


@pytest.fixture
def advance(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock forward by so many seconds."""
    present, offset = clock.now, [timedelta()]
    monkeypatch.setattr(clock, "now", lambda: present() + offset[0])

    def move(seconds: float) -> None:
        offset[0] += timedelta(seconds=seconds)

    return move


@pytest.fixture
def said(tenant: Tenant) -> Callable[..., list[str]]:
    """What was said in a conversation, in order, by these roles."""

    def texts(oid: str, *roles: str) -> list[str]:
        found = rows.messages(tenant, rows.get(tenant, oid))
        return [message.content for message in found if not roles or message.role in roles]

    return texts


@pytest.fixture
def bell(engine: str, database_url: str) -> Iterator[None]:
    """A doorbell beside the database of this test."""
    doorbell.configure(database_url)
    doorbell.flush()
    yield
    doorbell.close()
