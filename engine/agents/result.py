"""What a turn answers: TurnResult is what the model must fill in, Turn what the caller stores.

Bounds stand here so that nothing a model writes is longer than what the conversation's columns and channels hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints

from engine.agents.types import LeadStatus

MAX_REPLY = 4096  # the longest text WhatsApp and Telegram take in one message
MAX_SUMMARY = 2000
MAX_REASON = 500
MAX_FACTS = 20

# NUL is refused by PostgreSQL, lone surrogates by every UTF-8 encoder, the other controls by some channel.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")

ConversationStatus = Literal["active", "completed", "handed_off"]


def printable(text: str) -> str:
    """The text without control characters (newline and tab stay) and lone surrogates, stripped."""
    return _UNPRINTABLE.sub("", text).strip()


def _spoken(text: str) -> str:
    if not (text := printable(text)):
        raise ValueError("must contain visible text")
    return text


def _language(code: object) -> str:
    """A language's code in lower case; a slip of the model in this alone is not worth another question."""
    text = str(code or "").strip().casefold()
    return text if re.fullmatch(r"[a-z]{2,3}", text) else ""


Printable = AfterValidator(printable)
Reply = Annotated[str, StringConstraints(min_length=1, max_length=MAX_REPLY), AfterValidator(_spoken)]
Reason = Annotated[str, StringConstraints(max_length=MAX_REASON), Printable]
FactName = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_spoken)]
FactValue = Annotated[str, StringConstraints(max_length=500), Printable]


class Qualification(BaseModel):
    """Whether the lead meets the qualification criteria, and why."""

    qualified: bool
    reason: Annotated[str, StringConstraints(min_length=1, max_length=MAX_REASON), AfterValidator(_spoken)]


class TurnResult(BaseModel):
    """The agent's next turn."""

    reply: Reply = Field(description="The message to send to the lead, ready to send.")
    next_stage_id: Annotated[str, StringConstraints(max_length=128)] | None = Field(
        default=None, description="Id of the stage to move to, from the allowed ones; null to stay."
    )
    qualification: Qualification | None = Field(
        default=None, description="Only once the criteria are clearly met or clearly missed; otherwise null."
    )
    handoff: bool = Field(default=False, description="True if a person should take over now.")
    handoff_reason: Reason = Field(default="", description="Why a person should take over; empty otherwise.")
    summary: Annotated[str, StringConstraints(max_length=MAX_SUMMARY), Printable] = Field(
        default="", description="The whole conversation so far in one to three sentences, for a colleague."
    )
    extracted: dict[FactName, FactValue] = Field(
        default_factory=dict,
        max_length=MAX_FACTS,
        description="Facts the lead stated, e.g. email, budget, company_size, timeline.",
    )
    used_passages: Annotated[list[int], Field(max_length=20)] = Field(
        default_factory=list, description="Numbers of the passages the reply relies on."
    )
    end: bool = Field(default=False, description="True if the conversation is finished with this reply.")
    language: Annotated[str, BeforeValidator(_language)] = Field(
        default="", description="ISO 639-1 code of the language the lead writes, such as es; empty if unknown."
    )


@dataclass(frozen=True)
class Usage:
    """What all requests of one turn took together; model is "" when none was asked.

    cost_micros: millionths of a US dollar; None where nobody knows the model's price.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    model: str = ""
    cost_micros: int | None = None


@dataclass(frozen=True)
class StagePosition:
    """The stage after the turn; `index` points into AgentSpec.stages."""

    index: int
    id: str
    name: str


@dataclass(frozen=True)
class Turn:
    """What to store and send.

    stage: None for an agent without stages. stage_changed: the stage differs from the one before the turn.
    passages_used: positions (from 0) in the context's passages. guardrail: the rule that spoke instead of, or
    after, the model: max_total_messages, escalation_trigger, forbidden_topic, foreign_link, stage_max_messages;
    else None. language: of the lead, as an ISO 639-1 code; "" if unknown.
    """

    reply: str
    stage: StagePosition | None
    stage_changed: bool
    lead_status: LeadStatus
    conversation_status: ConversationStatus
    qualification: Qualification | None = None
    handoff_reason: str = ""
    summary: str = ""
    extracted: Mapping[str, str] = field(default_factory=dict)
    passages_used: tuple[int, ...] = ()
    guardrail: str | None = None
    usage: Usage = Usage()
    language: str = ""
