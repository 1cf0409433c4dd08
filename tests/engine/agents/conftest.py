"""Agents, contexts and played conversations; and a language model on loopback."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.agents import (
    AgentSpec,
    HistoryMessage,
    LeadFacts,
    ModelConfig,
    Passage,
    Turn,
    TurnContext,
    get_template,
    take_turn,
)
from tests.support import openai_server as loopback
from tests.support.openai_server import OpenAIServer

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


@pytest.fixture
def make_context() -> Callable[..., TurnContext]:
    """A turn of the sales template in its first stage; `said` is what the lead wrote last."""

    def make(said: str = "We lose leads at night.", template: str = "sales-qualifier", **changes: Any) -> TurnContext:
        context = TurnContext(
            agent=AgentSpec.from_config(get_template(template) or {}),
            lead=LeadFacts(name="Ada Byron", phone="+12025550123"),
            now=NOW,
            history=(HistoryMessage("agent", "What would you like to solve?"), HistoryMessage("lead", said)),
            messages_in_stage=2,
            message_total=2,
        )
        return replace(context, **changes)

    return make


@dataclass
class Story:
    """A whole conversation with the scripted model, kept as the caller's storage would keep it."""

    agent: AgentSpec
    lead: LeadFacts = field(default_factory=lambda: LeadFacts(name="Ada Byron"))
    passages: tuple[Passage, ...] = ()
    history: tuple[HistoryMessage, ...] = ()
    stage_index: int = 0
    in_stage: int = 0
    turns: list[Turn] = field(default_factory=list)

    def open(self) -> Turn:
        return self._turn(opening=True)

    def reply(self, said: str) -> Turn:
        self.history += (HistoryMessage("lead", said),)
        self.in_stage += 1
        return self._turn(opening=False)

    def _turn(self, *, opening: bool) -> Turn:
        turn = take_turn(
            TurnContext(
                agent=self.agent,
                lead=self.lead,
                now=NOW,
                history=self.history,
                passages=self.passages,
                stage_index=self.stage_index,
                opening=opening,
                messages_in_stage=self.in_stage,
                message_total=len(self.history),
            ),
            ModelConfig(),
        )
        self.history += (HistoryMessage("agent", turn.reply),)
        self.in_stage = 1 if turn.stage_changed else self.in_stage + 1
        self.stage_index = turn.stage.index if turn.stage else 0
        self.lead = replace(self.lead, status=turn.lead_status)
        self.turns.append(turn)
        return turn


@pytest.fixture
def tell() -> Callable[..., Story]:
    """A story with a template's agent: opened, then answered line by line."""

    def tell(template: str, *lines: str, passages: tuple[Passage, ...] = ()) -> Story:
        story = Story(AgentSpec.from_config(get_template(template) or {}), passages=passages)
        story.open()
        for line in lines:
            story.reply(line)
        return story

    return tell


@pytest.fixture
def openai_server() -> Iterator[OpenAIServer]:
    with loopback.openai_server() as server:
        yield server
