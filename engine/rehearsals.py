"""An agent tried out: its next turn in a made-up conversation, or whole conversations with played leads.

Nothing is stored and nobody is written to. What a model is paid for counts to the account's month all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine import agent_knowledge, budgets, compliance, turns
from engine.agents import (
    AgentSpec,
    HistoryMessage,
    LeadFacts,
    ModelError,
    ModelMisconfigured,
    ModelUnavailable,
    Passage,
    Turn,
    TurnContext,
    Usage,
    take_turn,
)
from engine.agents.leads import PERSONAS, Outcome
from engine.agents.simulation import Played, Setting, simulate, total
from engine.agents.stages import position
from engine.conversations import spec_of
from storage import agents, clock
from storage.database import connection, transaction
from storage.errors import Blocked, Conflict, NewleafError, Problem, Unavailable
from storage.tenancy import Tenant

USUAL_TURNS = 12


@dataclass(frozen=True)
class Rehearsed:
    """A turn that was not stored, and the passages that it could rely on."""

    turn: Turn
    version: int
    passages: tuple[Passage, ...]

    @property
    def citations(self) -> list[dict[str, Any]]:
        """What the reply rests on, in the contract's shape."""
        return agent_knowledge.citations(self.passages, self.turn.passages_used)


@dataclass(frozen=True)
class Report:
    """What came of the conversations with played leads."""

    agent_oid: str
    version: int
    played: list[Played]
    usage: Usage

    @property
    def passed(self) -> bool:
        """Whether every conversation went as expected."""
        return all(each.passed for each in self.played)


@dataclass(frozen=True)
class Rehearsal:
    """An agent ready to be tried. Made within a connection; its methods hold none while a model thinks."""

    tenant: Tenant
    oid: str
    version: int
    spec: AgentSpec
    knowledge_base_oids: tuple[str, ...]

    def next_turn(self, history: Sequence[HistoryMessage], lead: LeadFacts, stage_id: str | None = None) -> Rehearsed:
        """The agent's next turn; its opening where nothing was said. stage_id: the present stage; None for the first.

        Raises Blocked (an unknown stage, an exhausted budget, a model that gave no turn), Conflict (a setting of the
        model is wrong), Unavailable.
        """
        self._require_budget()
        context = TurnContext(
            agent=self.spec,
            lead=lead,
            now=clock.now(),
            history=tuple(history),
            stage_index=self._stage_index(stage_id),
            opening=not history,
            message_total=len(history),
        )
        if self.knowledge_base_oids and context.last_lead_message:
            context = replace(context, passages=self._look_up(context.last_lead_message), searched=True)
        try:
            turn = take_turn(context, turns.model_of(self.tenant))
        except ModelError as error:
            self._count(error.usage)
            refusal = _refusal(error)
        else:
            self._count(turn.usage)
            return Rehearsed(turn, self.version, context.passages)
        raise refusal

    def simulate(
        self,
        personas: Sequence[str] = (),
        *,
        max_turns: int = USUAL_TURNS,
        expected: Mapping[str, frozenset[Outcome]] | None = None,
        within_s: float | None = None,
        read: Callable[[], float] = time.monotonic,
    ) -> Report:
        """Conversations with these personas, all of them if none is named. Raises Blocked, Conflict as `next_turn`.

        within_s: what is still under way then ends unfinished, though not amid a turn; None waits for all.
        """
        self._require_budget()
        deadline = None if within_s is None else read() + within_s
        setting = Setting(
            agent=self.spec,
            config=turns.model_of(self.tenant),
            now=clock.now(),
            max_turns=max_turns,
            opts_out=lambda said: compliance.wish(said) == "stop",
            look_up=self._look_up if self.knowledge_base_oids else None,
            is_over=lambda: deadline is not None and read() > deadline,
        )
        try:
            played = simulate(setting, [PERSONAS[id_] for id_ in personas or PERSONAS], expected)
        except ModelMisconfigured as error:
            refusal = _refusal(error)
        else:
            spent = total([each.usage for each in played])
            self._count(spent)
            return Report(self.oid, self.version, played, spent)
        raise refusal

    def _require_budget(self) -> None:
        with connection():
            exhausted = budgets.exhausted(self.tenant, clock.now(), (budgets.TOKENS, budgets.COST))
        if exhausted:
            message = f"The account's budget of this month is used up ({exhausted}). Raise it, or wait."
            raise Blocked("budget_exhausted", message)

    def _count(self, spent: Usage | None) -> None:
        if spent and (spent.input_tokens or spent.output_tokens):
            with transaction():
                turns.count(self.tenant, spent)

    def _look_up(self, said: str) -> tuple[Passage, ...]:
        return agent_knowledge.look_up(self.tenant, self.knowledge_base_oids, said)

    def _stage_index(self, stage_id: str | None) -> int:
        if stage_id is None:
            return 0
        try:
            return position(self.spec, stage_id)
        except KeyError:
            message = "The agent has no such stage"
            raise Blocked("stage_unknown", message, problems=[Problem("/stageId", message)]) from None


def of(tenant: Tenant, oid: str) -> Rehearsal:
    """A rehearsal of the agent as it is now. Raises NotFound."""
    agent = agents.get(tenant, oid)
    return Rehearsal(tenant, oid, agent.version, spec_of(agent), tuple(agent.knowledge_base_ids))


def _refusal(error: ModelError) -> NewleafError:
    if isinstance(error, ModelUnavailable):
        return Unavailable(error.code, error.message)
    if isinstance(error, ModelMisconfigured):
        return Conflict(error.code, error.message)
    return Blocked(error.code, error.message)
