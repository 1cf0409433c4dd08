"""The rules that bind an agent whatever its model says. Decisions only: facts in, verdict out.

Phrases match whole words, ignoring case, accents' composition and the amount of white space between words.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from engine.agents.types import Guardrails, TurnContext

_SHOWN = 200  # characters of a phrase in a reason
DEFLECTION = "I'm not able to help with that topic here, but I'm happy to continue with your original request."


@dataclass(frozen=True)
class HandOff:
    """The conversation goes to a person before any model is asked."""

    rule: Literal["max_total_messages", "escalation_trigger"]
    reason: str


def before_model(context: TurnContext) -> HandOff | None:
    """The verdict on a turn before the model is asked; None lets it be asked. An opening is never handed off."""
    if context.opening:
        return None
    rules = context.agent.guardrails
    if trigger := first_mentioned(context.last_lead_message, rules.escalation_triggers):
        shown = trigger if len(trigger) <= _SHOWN else f"{trigger[: _SHOWN - 1]}…"
        return HandOff("escalation_trigger", f"The lead mentioned “{shown}”.")
    if 0 < rules.max_total_messages <= context.message_total:
        return HandOff("max_total_messages", f"The limit of {rules.max_total_messages} messages is reached.")
    return None


def forbidden_topic(text: str, rules: Guardrails) -> str | None:
    """The first forbidden topic this text mentions, as it was configured; None if it is clean."""
    return first_mentioned(text, rules.forbidden_topics)


def is_idle(rules: Guardrails, last_message_at: datetime, now: datetime) -> bool:
    """Whether a conversation has been silent for longer than the agent allows (0 minutes: never)."""
    minutes = rules.inactivity_timeout_minutes
    return minutes > 0 and now - last_message_at > timedelta(minutes=minutes)


def phrases(listed: str) -> list[str]:
    """The phrases of a setting, set apart by commas, semicolons or newlines; blanks left out."""
    return [phrase for part in re.split(r"[,;\n]", listed) if (phrase := part.strip())]


def first_mentioned(text: str, listed: str) -> str | None:
    """The first of the listed phrases that occurs in the text as whole words; None if none does."""
    folded = _folded(text)
    for phrase in phrases(listed):
        words = r"\s+".join(re.escape(word) for word in _folded(phrase).split())
        if re.search(rf"(?<!\w){words}(?!\w)", folded):
            return phrase
    return None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
