"""The model that needs no model: a deterministic English speaker that follows the agent's stages.

It asks what the present stage's prompt and transition criteria ask for, acknowledges the answers, moves on when the
criteria are met, quotes passages when asked, and ends, disqualifies or hands off as the lead wishes. It obeys the same
schema and the same checks as a real model, because it runs behind the same library.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from engine.agents import guardrails
from engine.agents.prompt import MAX_PASSAGES
from engine.agents.result import MAX_REASON, MAX_REPLY, MAX_SUMMARY
from engine.agents.topics import BY_KEY, UNDECIDED, is_statement, topics_in
from engine.agents.types import Stage, TurnContext
from engine.agents.understanding import QUESTION, Talk, stage_topics, stages_ahead, understand

if TYPE_CHECKING:
    from pydantic_ai.models import Model

OPENING_LINE = re.compile(r"\b(?:open|start|begin) with\s*[“\"]([^”\"]+)[”\"]", re.I)
PERSONA = re.compile(r"\bYou are ([A-Z][a-z]+)\b")
MAX_QUOTE = 600

NO_ANSWER = "Good question! I don't have a confirmed answer to that, so a colleague will get back to you on it."
NO_FIT = (
    "Thank you for being open about that. I don't think we are the right fit at the moment, "
    "and I'd rather say so than take your time. All the best!"
)


def scripted_model(context: TurnContext) -> Model:
    """The scripted model for this one turn, as the library's model."""
    from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
    from pydantic_ai.models.function import AgentInfo, FunctionModel

    async def speak(_messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, next_turn(context))])

    return FunctionModel(speak, model_name="scripted")


def next_turn(context: TurnContext) -> dict[str, Any]:
    """The arguments of a TurnResult for this context."""
    talk = understand(context)
    if context.opening:
        return _say(talk, _greeting(talk), _question(talk, context.stage))
    if talk.wants_human:
        reason = "The lead asked for a person."
        return _say(talk, context.agent.handoff_message, outcome=reason, handoff=True, handoff_reason=reason)
    if refusal := talk.refusal:
        return _verdict(talk, False, refusal, _farewell(talk))
    if guardrails.forbidden_topic(talk.said, context.agent.guardrails):
        return _say(talk, guardrails.DEFLECTION, _question(talk, context.stage))
    if shortfall := talk.shortfall:
        return _verdict(talk, False, shortfall, NO_FIT)
    return _advance(talk)


def _advance(talk: Talk) -> dict[str, Any]:
    """Answers, acknowledges, and either asks on in this stage, moves to the next, or qualifies at the end.

    What a talkative lead has told already is not asked again: the question comes from the first stage still open.
    """
    stage = talk.context.stage
    answer, used = _answer(talk)
    lead_in = [_greeting(talk), answer, _acknowledgement(talk)]
    if stage is None or not talk.has_met(stage):
        return _say(talk, *lead_in, _question(talk, stage), used_passages=used)
    ahead = stages_ahead(talk.context.agent, stage)
    move: dict[str, Any] = {"next_stage_id": ahead[0].id if ahead else None, "used_passages": used}
    open_stage = next((other for other in ahead if talk.wanted(other) or not stage_topics(other)), None)
    if open_stage is None and talk.undecided:
        outcome = f"Undecided on {_listed([topic.label for topic in talk.undecided])}."
        return _say(talk, *lead_in, _closing(talk), outcome=outcome, end=True, **move)
    if open_stage is None:
        return _verdict(talk, True, _grounds(talk), *lead_in, _closing(talk), **move)
    return _say(talk, *lead_in, _question(talk, open_stage), **move)


def _question(talk: Talk, stage: Stage | None) -> str:
    """What to ask in a stage: its prompt's own question on the first thing still wanted, else the topic's."""
    if stage is None:
        return "How can I help you?"
    written = [question.strip() for question in QUESTION.findall(OPENING_LINE.sub("", stage.prompt))]
    if wanted := talk.wanted(stage):
        return next((question for question in written if wanted[0] in topics_in(question)), wanted[0].question)
    open_ended = [question for question in written if not topics_in(question)]
    return open_ended[0] if open_ended else f"Is there anything else I should know about {stage.name.lower()}?"


def _greeting(talk: Talk) -> str:
    """A salutation in our first message; with the stage's own opening line, if it has one and we speak first."""
    if talk.has_begun:
        return ""
    context = talk.context
    hello = f"Hi {talk.first_name}," if talk.first_name else "Hi,"
    persona = PERSONA.search(context.agent.system_prompt)
    hello += f" this is {persona.group(1)}." if persona else " thanks for getting in touch."
    line = OPENING_LINE.search(context.stage.prompt) if context.opening and context.stage else None
    return f"{hello} {line.group(1)}" if line else hello


def _acknowledgement(talk: Talk) -> str:
    """Repeats short facts so that the lead sees they arrived; what came in whole sentences is only thanked for."""
    short = {key: value for key, value in talk.news.items() if key != "name" and not BY_KEY[key].is_open}
    noted = [f"{BY_KEY[key].label} ({value})" for key, value in short.items() if value != UNDECIDED]
    later = [BY_KEY[key].label for key, value in talk.news.items() if value == UNDECIDED]
    if noted:
        return f"Thanks, I've noted your {_listed(noted)}."
    if later:
        return f"No problem, we can leave the {_listed(later)} open for now."
    if talk.news:
        return "Thanks, that helps."
    stage = talk.context.stage
    if talk.questions or not talk.has_begun or stage is None:
        return ""
    if talk.wanted(stage):
        return "Sorry, I didn't quite get that." if is_statement(talk.said) else ""
    return "Thanks!"


def _answer(talk: Talk) -> tuple[str, list[int]]:
    """(reply to the lead's question, numbers of the passages quoted); ("", []) when nothing was asked."""
    if not talk.questions:
        return "", []
    words = _stems(" ".join(talk.questions))
    scored = [
        (len(words & _stems(f"{passage.title} {sentence}")), -number, -place, sentence)
        for number, passage in enumerate(talk.context.passages[:MAX_PASSAGES], start=1)
        for place, sentence in enumerate(re.split(r"(?<=[.!?])\s+|\n+", passage.content))
        if sentence.strip()
    ]
    score, number, _, sentence = max(scored, default=(0, 0, 0, ""))
    return (sentence.strip()[:MAX_QUOTE], [-number]) if score else (NO_ANSWER, [])


def _farewell(talk: Talk) -> str:
    return f"Understood{_addressed(talk)}, thank you for letting me know. I won't take more of your time. All the best!"


def _closing(talk: Talk) -> str:
    done = f"That's all I need{_addressed(talk)}."
    if slot := talk.facts.get("meeting_time"):
        return f"{done} I've passed on {slot} as your preferred time, and a colleague will confirm it."
    if email := talk.facts.get("email"):
        return f"{done} A colleague will write to {email} with the next steps."
    return f"{done} A colleague will be in touch with the next steps."


def _grounds(talk: Talk) -> str:
    known = [f"{BY_KEY[key].label}: {value}" for key, value in talk.facts.items() if key not in ("name", "email")]
    grounds = "All stages answered" + (f" ({'; '.join(known)})." if known else ".")
    return grounds[:MAX_REASON]


def _verdict(talk: Talk, qualified: bool, reason: str, *parts: str, **more: Any) -> dict[str, Any]:
    verdict = {"qualified": qualified, "reason": reason}
    outcome = "Qualified." if qualified else f"Not qualified: {reason}"
    return _say(talk, *parts, outcome=outcome, qualification=verdict, end=True, **more)


def _say(talk: Talk, *parts: str, outcome: str = "", **more: Any) -> dict[str, Any]:
    reply = " ".join(part for part in parts if part)
    known = [f"{BY_KEY[key].label}: {value}" for key, value in talk.facts.items() if key != "name"]
    summary = f"{talk.facts.get('name', 'The lead')}: {'; '.join(known) or 'nothing known yet'}. {outcome}"
    return {
        "reply": reply[:MAX_REPLY],
        "extracted": dict(talk.news),
        "summary": summary[:MAX_SUMMARY].strip(),
        **more,
    }


def _addressed(talk: Talk) -> str:
    return f", {talk.first_name}" if talk.first_name else ""


def _stems(text: str) -> set[str]:
    """Words of four letters or more, cut to four: crude, yet it finds "pricing" for "prices"."""
    return {word[:4] for word in re.findall(r"\w{4,}", text.casefold()) if word not in _COMMON}


_COMMON = frozenset(
    {
        "what",
        "when",
        "where",
        "which",
        "does",
        "have",
        "with",
        "your",
        "this",
        "that",
        "there",
        "could",
        "would",
        "about",
        "from",
        "much",
        "many",
        "they",
    }
)


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
