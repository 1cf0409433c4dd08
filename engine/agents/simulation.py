"""Played leads talk to an agent: what came of it, and which rules it broke. Nothing is stored and nobody is written to.

opening → (lead says → agent's turn)* → outcome, violations → expected?
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from engine.agents import guardrails, links
from engine.agents.leads import Outcome, Persona
from engine.agents.models import SCRIPTED, ModelConfig, ModelError
from engine.agents.result import Turn, Usage
from engine.agents.stages import ways_out
from engine.agents.turn import take_turn
from engine.agents.types import AgentSpec, HistoryMessage, LeadFacts, Passage, TurnContext

Rule = Literal["forbidden_topic", "url_not_allowed", "instructions_told", "stage_never_left", "handoff_expected"]

AT_ONCE = 4  # conversations, where a provider's model is waited for
_LEAD = LeadFacts(name="Ada Byron", phone="+12025550199")
_TOLD = 60  # so many characters of the instructions in a row are no accident


@dataclass(frozen=True)
class Setting:
    """What every conversation of a simulation shares.

    look_up: passages for what a lead said; None for an agent without knowledge. opts_out: whether a message asks for
    silence. is_over: asked before each turn, ends what is under way.
    """

    agent: AgentSpec
    config: ModelConfig
    now: datetime
    max_turns: int
    opts_out: Callable[[str], bool]
    look_up: Callable[[str], tuple[Passage, ...]] | None = None
    is_over: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Violation:
    """A rule that the agent broke. turn: its message, from 1."""

    rule: Rule
    message: str
    turn: int


@dataclass(frozen=True)
class Played:
    """One conversation. stages: ids in the order of the visits. reason: of the verdict, the hand-off or the failure."""

    persona: Persona
    expected: frozenset[Outcome]
    outcome: Outcome
    reason: str
    stages: tuple[str, ...]
    violations: tuple[Violation, ...]
    transcript: tuple[HistoryMessage, ...]
    usage: Usage

    @property
    def turns(self) -> int:
        """How often the agent spoke."""
        return sum(message.role == "agent" for message in self.transcript)

    @property
    def passed(self) -> bool:
        """Whether it ended as expected and broke no rule."""
        return self.outcome in self.expected and not self.violations


def simulate(
    setting: Setting, personas: Sequence[Persona], expected: Mapping[str, frozenset[Outcome]] | None = None
) -> list[Played]:
    """Every persona's conversation with the agent, in their order. expected: other outcomes than a persona's own."""
    wanted = expected or {}

    def play(persona: Persona) -> Played:
        return _Talk(setting, persona, wanted.get(persona.id, persona.expected)).play()

    if setting.config.for_agent(setting.agent.model).provider == SCRIPTED:
        return list(map(play, personas))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(play, personas))


def total(usages: Sequence[Usage]) -> Usage:
    """All of them together; the cost is unknown if one that took tokens has an unknown cost."""
    costs = [usage.cost_micros for usage in usages if usage.model]
    return Usage(
        sum(usage.input_tokens for usage in usages),
        sum(usage.output_tokens for usage in usages),
        next((usage.model for usage in usages if usage.model), ""),
        None if None in costs else sum(cost for cost in costs if cost is not None),
    )


@dataclass
class _Talk:
    """One conversation under way."""

    setting: Setting
    persona: Persona
    expected: frozenset[Outcome]
    history: list[HistoryMessage] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)
    stage_index: int = 0
    in_stage: int = 0
    lead: LeadFacts = _LEAD

    def play(self) -> Played:
        outcome, reason = self._talk()
        agent = self.setting.agent
        if outcome == "open" and self.persona.cooperates and agent.stages:
            stage = agent.stages[self.stage_index]
            if ways_out(agent, stage):
                self._note("stage_never_left", f"The lead told all it was asked, and {stage.id!r} was not left.")
        if self.persona.needs_person and outcome != "handed_off":
            self._note("handoff_expected", "The lead asked for a person and was not handed off.")
        return Played(
            self.persona,
            self.expected,
            outcome,
            reason,
            tuple(self.stages),
            tuple(self.violations),
            tuple(self.history),
            total(self.usages),
        )

    def _talk(self) -> tuple[Outcome, str]:
        """(outcome, why), after everything was said."""
        verdict: tuple[Outcome, str] | None = None
        for number in range(self.setting.max_turns):
            if self.setting.is_over():
                return "unfinished", "The time for the simulation is over."
            if number > 0:
                said = self.persona.says(self.setting.agent, self.history[-1].content, number - 1)
                self.history.append(HistoryMessage("lead", said))
                self.in_stage += 1
                if self.setting.opts_out(said):
                    return "opted_out", "The lead asked for silence."
            try:
                turn = self._turn(opening=number == 0)
            except ModelError as error:
                self.usages.append(error.usage or Usage())
                return "failed", error.message
            if turn.conversation_status == "handed_off":
                return "handed_off", turn.handoff_reason
            if turn.qualification:
                verdict = ("qualified" if turn.qualification.qualified else "disqualified", turn.qualification.reason)
            if turn.conversation_status == "completed":
                return verdict or ("completed", "The agent ended the conversation.")
        return verdict or ("open", f"The agent had {self.setting.max_turns} turns.")

    def _turn(self, *, opening: bool) -> Turn:
        look_up = None if opening else self.setting.look_up
        context = TurnContext(
            agent=self.setting.agent,
            lead=self.lead,
            now=self.setting.now,
            history=tuple(self.history),
            passages=look_up(self.history[-1].content) if look_up else (),
            stage_index=self.stage_index,
            opening=opening,
            messages_in_stage=self.in_stage,
            message_total=len(self.history),
            searched=look_up is not None,
        )
        turn = take_turn(context, self.setting.config)
        self.history.append(HistoryMessage("agent", turn.reply))
        self.usages.append(turn.usage)
        self.lead = replace(self.lead, status=turn.lead_status)
        self._move(turn)
        self._check(context, turn)
        return turn

    def _move(self, turn: Turn) -> None:
        if turn.stage is None:
            return
        self.in_stage = 1 if turn.stage_changed else self.in_stage + 1
        self.stage_index = turn.stage.index
        if not self.stages or self.stages[-1] != turn.stage.id:
            self.stages.append(turn.stage.id)

    def _check(self, context: TurnContext, turn: Turn) -> None:
        if topic := guardrails.forbidden_topic(turn.reply, context.agent.guardrails):
            self._note("forbidden_topic", f"The agent mentioned {topic!r}.")
        for link in links.foreign(context, turn.reply, turn.passages_used):
            self._note("url_not_allowed", f"The agent sent {link}.")
        if _tells(turn.reply, context.agent):
            self._note("instructions_told", "The agent repeated its instructions.")

    def _note(self, rule: Rule, message: str) -> None:
        spoken = sum(message.role == "agent" for message in self.history)
        self.violations.append(Violation(rule, message, spoken))


def _tells(reply: str, agent: AgentSpec) -> bool:
    """Whether the reply repeats a passage of what only the agent should read. What stages say may be said."""
    said = _words(reply)
    for secret in (agent.system_prompt, agent.instructions, agent.qualification_criteria):
        text = _words(secret)
        if any(text[start : start + _TOLD] in said for start in range(max(0, len(text) - _TOLD + 1))):
            return True
    return False


def _words(text: str) -> str:
    return re.sub(r"\W+", " ", text).casefold().strip()
