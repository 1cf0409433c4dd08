"""What a turn is asked with: the agent's configuration, the lead, the conversation so far. Plain frozen values.

AgentSpec.from_config reads the contract's AgentConfig JSON (camelCase); everything else is filled by the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Role = Literal["agent", "lead", "human", "system"]
LeadStatus = Literal["new", "contacted", "qualified", "disqualified"]

DEFAULT_LANGUAGE = "English"
DEFAULT_HANDOFF_MESSAGE = "I'll connect you with a specialist who can help further!"


@dataclass(frozen=True)
class NextStage:
    """A way out of a stage; `condition` is prose for the model, empty when only an id was configured."""

    id: str
    condition: str = ""


@dataclass(frozen=True)
class Stage:
    """One step of the agent's script. max_messages: 0 means no limit."""

    id: str
    name: str
    order: int = 0
    prompt: str = ""
    transition_criteria: str = ""
    max_messages: int = 0
    next_stages: tuple[NextStage, ...] = ()


@dataclass(frozen=True)
class Guardrails:
    """Limits of one agent; 0 messages or minutes mean none. Topics and triggers: phrases between , ; or newlines."""

    max_total_messages: int = 40
    inactivity_timeout_minutes: int = 1440
    forbidden_topics: str = ""
    escalation_triggers: str = ""


@dataclass(frozen=True)
class ModelChoice:
    """The agent's own wish for a language model; what is None is left to the deployment."""

    provider: str | None = None
    name: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True)
class AgentSpec:
    """An agent as the engine sees it. `stages` stand in script order; a conversation's stage index points into them."""

    name: str
    system_prompt: str = ""
    goal: str = ""
    language: str = DEFAULT_LANGUAGE
    instructions: str = ""
    qualification_criteria: str = ""
    handoff_message: str = DEFAULT_HANDOFF_MESSAGE
    stages: tuple[Stage, ...] = ()
    guardrails: Guardrails = Guardrails()
    model: ModelChoice = ModelChoice()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> AgentSpec:
        """The agent of a contract AgentConfig object. Absent and null members take the contract's defaults."""
        return cls(
            name=config.get("name") or "Agent",
            system_prompt=config.get("systemPrompt") or "",
            goal=config.get("goal") or "",
            language=config.get("language") or DEFAULT_LANGUAGE,
            instructions=config.get("instructions") or "",
            qualification_criteria=config.get("qualificationCriteria") or "",
            handoff_message=config.get("handoffMessage") or DEFAULT_HANDOFF_MESSAGE,
            stages=_stages(config.get("stages") or ()),
            guardrails=_guardrails(config.get("guardrails") or {}),
            model=_model_choice(config.get("model") or {}),
        )


@dataclass(frozen=True)
class LeadFacts:
    """What is known of the lead. Untrusted: leads and importers write these. phone is shown to models masked."""

    name: str = ""
    email: str = ""
    phone: str = ""
    status: LeadStatus = "new"
    custom_fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class HistoryMessage:
    """One message of the conversation; `human` is a colleague of the account, `agent` the AI."""

    role: Role
    content: str


@dataclass(frozen=True)
class Passage:
    """A piece of the agent's knowledge found for this turn, and where it stands: characters `span` of its document."""

    title: str
    content: str
    document_id: str = ""
    chunk_id: str = ""
    source_url: str | None = None
    span: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class TurnContext:
    """Everything one turn may know.

    stage_index: into agent.stages. history: oldest first, the lead's latest message last (empty for an opening).
    opening: the agent speaks first. messages_in_stage, message_total: messages of all roles so far, the latest
    included. now: aware UTC, told to the model. searched: the agent's knowledge was asked about what the lead said
    last; without passages it knows nothing about that.
    """

    agent: AgentSpec
    lead: LeadFacts
    now: datetime
    history: tuple[HistoryMessage, ...] = ()
    passages: tuple[Passage, ...] = ()
    stage_index: int = 0
    opening: bool = False
    messages_in_stage: int = 0
    message_total: int = 0
    searched: bool = False

    @property
    def stage(self) -> Stage | None:
        """The present stage; the nearest one if the script got shorter meanwhile; None for an agent without stages."""
        stages = self.agent.stages
        return stages[max(0, min(self.stage_index, len(stages) - 1))] if stages else None

    @property
    def last_lead_message(self) -> str:
        """What the lead said since our side spoke last, joined by newlines; empty when we spoke last."""
        said: list[str] = []
        for message in reversed(self.history):
            if message.role in ("agent", "human"):
                break
            if message.role == "lead":
                said.append(message.content)
        return "\n".join(reversed(said))


def _stages(rows: Iterable[Mapping[str, Any]]) -> tuple[Stage, ...]:
    stages = [
        Stage(
            id=str(row.get("id") or index),
            name=row.get("name") or f"Stage {index + 1}",
            order=row["order"] if row.get("order") is not None else index,
            prompt=row.get("prompt") or "",
            transition_criteria=row.get("transitionCriteria") or "",
            max_messages=row.get("maxMessages") or 0,
            next_stages=_next_stages(row),
        )
        for index, row in enumerate(rows)
    ]
    return tuple(sorted(stages, key=lambda stage: stage.order))


def _next_stages(row: Mapping[str, Any]) -> tuple[NextStage, ...]:
    """Both spellings of the contract, `nextStages` (with conditions) first, each target once."""
    exits = {way["id"]: NextStage(way["id"], way.get("condition") or "") for way in row.get("nextStages") or ()}
    for id_ in row.get("nextStageIds") or ():
        exits.setdefault(id_, NextStage(id_))
    return tuple(exits.values())


def _guardrails(row: Mapping[str, Any]) -> Guardrails:
    default = Guardrails()
    total, idle = row.get("maxTotalMessages"), row.get("inactivityTimeoutMinutes")
    return Guardrails(
        max_total_messages=default.max_total_messages if total is None else total,
        inactivity_timeout_minutes=default.inactivity_timeout_minutes if idle is None else idle,
        forbidden_topics=row.get("forbiddenTopics") or "",
        escalation_triggers=row.get("escalationTriggers") or "",
    )


def _model_choice(row: Mapping[str, Any]) -> ModelChoice:
    return ModelChoice(
        provider=row.get("provider") or None,
        name=row.get("name") or None,
        temperature=row.get("temperature"),
        max_tokens=row.get("maxTokens"),
    )
