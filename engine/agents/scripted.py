"""The model that needs no model: a deterministic English speaker that follows the agent's stages.

It asks what the present stage's prompt and transition criteria ask for, reads the answers, moves on when the criteria
are met, quotes passages when asked, and ends, disqualifies or hands off as the lead wishes. It obeys the same schema
and the same checks as a real model, because it runs behind the same library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.agents import guardrails
from engine.agents.prompt import MAX_PASSAGES
from engine.agents.stages import position, ways_out
from engine.agents.topics import BY_KEY, Topic, amount, is_statement, minimum, read_facts, topics_in
from engine.agents.types import Stage, TurnContext

if TYPE_CHECKING:
    from pydantic_ai.models import Model

HUMAN = re.compile(
    r"\b(?:talk|speak|chat|connect|transfer|put)\b[^.?!]{0,30}\b(?:human|person|someone|somebody|agent|representative|rep|"
    r"manager|specialist|colleague)\b|\b(?:real|actual) (?:human|person)\b|\bhuman,? please\b",
    re.I,
)
# Each refusal with the reason it is stored under; the first that matches counts.
REFUSALS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b(?:stop|quit) (?:contacting|messaging|texting|calling|writing|emailing)|\bleave me alone|\bremove me\b|\bunsubscribe", re.I),
     "Asked not to be contacted."),
    (re.compile(r"\bwrong (?:number|person)\b", re.I), "Wrong person."),
    (re.compile(r"\bno budget\b(?! (?:limit|cap|constraint))|\b(?:don't|do not) have (?:a|any|the) budget\b|\b(?:can't|cannot) afford\b", re.I),
     "Has no budget."),
    (re.compile(r"\balready (?:have|use|bought|found|signed)|\bwent with (?:another|someone)", re.I), "Already has a solution."),
    (re.compile(r"\bnot (?:really |at all )?interested\b|\bno,? (?:thanks|thank you)\b|\b(?:don't|do not) need\b|\bno interest\b", re.I),
     "Is not interested."),
)
INTEREST = re.compile(r"\b(?:interested|interest|open to|worth|would you like|would you be)\b", re.I)
DECLINE = re.compile(r"^\W*(?:no|nope|nah|not now|never)\b", re.I)
ASKING = re.compile(r"\?|^\W*(?:what|how|when|where|who|which|why|can|could|do|does|is|are|will|would)\b", re.I)
QUESTION = re.compile(r"[^.!?\n“”\"]*\?")
OPENING_LINE = re.compile(r"\b(?:open|start|begin) with\s*[“\"]([^”\"]+)[”\"]", re.I)
PERSONA = re.compile(r"\bYou are ([A-Z][a-z]+)\b")


@dataclass(frozen=True)
class Talk:
    """What the script has understood: the context, all facts so far, and which of them the latest message added."""

    context: TurnContext
    facts: dict[str, str]
    news: dict[str, str]
    said: str

    @property
    def first_name(self) -> str:
        name = self.facts.get("name", "").split()
        return name[0] if name else ""

    def wanted(self, stage: Stage) -> list[Topic]:
        """What the stage asks for and the lead has not told yet."""
        asked = topics_in(stage.transition_criteria) or topics_in(stage.prompt)
        return [topic for topic in asked if topic.key not in self.facts]


def scripted_model(context: TurnContext) -> Model:
    """The scripted model for this one turn, as the library's model."""
    from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
    from pydantic_ai.models.function import AgentInfo, FunctionModel

    async def speak(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, next_turn(context))])

    return FunctionModel(speak, model_name="scripted")


def next_turn(context: TurnContext) -> dict[str, Any]:
    """The arguments of a TurnResult for this context."""
    talk = understand(context)
    if context.opening:
        return _say(talk, _greeting(talk, opening=True), _question(talk, context.stage))
    if HUMAN.search(talk.said):
        return _say(talk, context.agent.handoff_message, handoff=True, handoff_reason="The lead asked for a person.")
    if reason := _refusal(talk):
        return _verdict(talk, False, reason, _farewell(talk))
    if guardrails.forbidden_topic(talk.said, context.agent.guardrails):
        return _say(talk, guardrails.DEFLECTION, _question(talk, context.stage))
    if reason := _shortfall(talk):
        return _verdict(talk, False, reason, "Thank you for being open about that. I don't think we are the right fit at "
                        "the moment, and I'd rather say so than take your time. All the best!")
    return _advance(talk)


def understand(context: TurnContext) -> Talk:
    """Reads the whole conversation, each lead message in the light of the question before it."""
    lead = context.lead
    facts = {key: value for key, value in lead.custom_fields.items() if key in BY_KEY and value}
    facts |= {"email": lead.email} if lead.email else {}
    facts |= {"name": lead.name} if lead.name and lead.name != "Unknown" else {}
    news: dict[str, str] = {}
    asked: list[Topic] = []
    for message in context.history:
        if message.role in ("agent", "human"):
            asked, news = topics_in(" ".join(QUESTION.findall(message.content))), {}
        elif message.role == "lead":
            told = {key: value for key, value in read_facts(message.content, asked) if _is_news(key, facts, asked)}
            facts |= told
            news |= told
    return Talk(context, facts, news, context.last_lead_message)


def _is_news(key: str, facts: dict[str, str], asked: list[Topic]) -> bool:
    """A fact once told is only replaced by an answer to a question about it."""
    return key not in facts or BY_KEY[key] in asked


def _advance(talk: Talk) -> dict[str, Any]:
    """Answers, acknowledges, and either asks on in this stage, moves to the next, or qualifies at the end."""
    context, stage = talk.context, talk.context.stage
    answer, used = _answer(talk)
    lead_in = [_greeting(talk, opening=False), answer, _acknowledgement(talk)]
    if stage is None or not _is_met(talk, stage):
        return _say(talk, *lead_in, _question(talk, stage), used_passages=used)
    ways = ways_out(context.agent, stage)
    if not ways:
        return _verdict(talk, True, _grounds(talk), *lead_in, _closing(talk), used_passages=used)
    following = context.agent.stages[position(context.agent, ways[0].id)]
    question = _question(talk, following)
    return _say(talk, *lead_in, question, next_stage_id=following.id, used_passages=used)


def _is_met(talk: Talk, stage: Stage) -> bool:
    """Whether the stage's criteria hold: all it asks for is known, or, asking nothing we know, it was answered."""
    if topics_in(stage.transition_criteria) or topics_in(stage.prompt):
        return not talk.wanted(stage)
    was_asked = any(message.role == "agent" for message in talk.context.history)
    return was_asked and (is_statement(talk.said) or not ASKING.search(talk.said))


def _question(talk: Talk, stage: Stage | None) -> str:
    """What to ask in this stage: the prompt's own question on the first thing still wanted, else the topic's."""
    if stage is None:
        return "How can I help you?"
    written = [question.strip() for question in QUESTION.findall(OPENING_LINE.sub("", stage.prompt))]
    for topic in talk.wanted(stage)[:1]:
        return next((question for question in written if topic in topics_in(question)), topic.question)
    open_ended = [question for question in written if not topics_in(question)]
    if open_ended:
        return open_ended[0]
    return f"Is there anything else I should know about {stage.name.lower()}?"


def _greeting(talk: Talk, *, opening: bool) -> str:
    """A salutation in our first message; the stage's own opening line when we speak first and it has one."""
    if any(message.role in ("agent", "human") for message in talk.context.history):
        return ""
    persona = PERSONA.search(talk.context.agent.system_prompt)
    hello = f"Hi {talk.first_name}," if talk.first_name else "Hi,"
    hello += f" this is {persona.group(1)}." if persona else " thanks for getting in touch."
    line = OPENING_LINE.search(talk.context.stage.prompt) if opening and talk.context.stage else None
    return f"{hello} {line.group(1)}" if line else hello


def _acknowledgement(talk: Talk) -> str:
    """Repeats short facts so that the lead sees they arrived; longer ones are only thanked for."""
    noted = [f"{BY_KEY[key].label} ({value})" for key, value in talk.news.items() if key != "name" and len(value) <= 40]
    if noted:
        return f"Thanks, I've noted your {_listed(noted)}."
    if talk.news or is_statement(talk.said):
        return "Thanks, that helps."
    return "" if ASKING.search(talk.said) else "Great!"


def _answer(talk: Talk) -> tuple[str, list[int]]:
    """(reply to the lead's question, numbers of the passages quoted); ("", []) when nothing was asked."""
    if not ASKING.search(talk.said):
        return "", []
    words = _content_words(talk.said)
    scored = [
        (len(words & _content_words(f"{passage.title} {sentence}")), -number, sentence)
        for number, passage in enumerate(talk.context.passages[:MAX_PASSAGES], start=1)
        for sentence in re.split(r"(?<=[.!?])\s+|\n+", passage.content)
        if sentence.strip()
    ]
    score, number, sentence = max(scored, default=(0, 0, ""))
    if score == 0:
        return "Good question! I don't have a confirmed answer to that, so a colleague will get back to you on it.", []
    return sentence.strip()[:600], [-number]


def _refusal(talk: Talk) -> str | None:
    for pattern, reason in REFUSALS:
        if pattern.search(talk.said):
            return reason
    ours = next((message.content for message in reversed(talk.context.history) if message.role == "agent"), "")
    asked_interest = any(INTEREST.search(question) for question in QUESTION.findall(ours))
    return "Is not interested." if asked_interest and DECLINE.search(talk.said) else None


def _shortfall(talk: Talk) -> str | None:
    """Why the facts miss a lower bound of the qualification criteria; None if they do not."""
    for key in ("budget", "company_size", "experience"):
        bound = minimum(key, talk.context.agent.qualification_criteria)
        told = amount(talk.facts.get(key, ""))
        if bound is not None and told is not None and told < bound:
            return f"{BY_KEY[key].label.capitalize()} {talk.facts[key]} is below the minimum of {bound:,.0f}."
    return None


def _farewell(talk: Talk) -> str:
    name = f", {talk.first_name}" if talk.first_name else ""
    return f"Understood{name}, thank you for letting me know. I won't take more of your time. All the best!"


def _closing(talk: Talk) -> str:
    name = f", {talk.first_name}" if talk.first_name else ""
    if slot := talk.facts.get("meeting_time"):
        return f"That's all I need{name}. I've passed on {slot} as your preferred time, and a colleague will confirm it."
    if email := talk.facts.get("email"):
        return f"That's all I need{name}. A colleague will write to {email} with the next steps."
    return f"That's all I need{name}. A colleague will be in touch with the next steps."


def _grounds(talk: Talk) -> str:
    known = [f"{BY_KEY[key].label} {value}" for key, value in talk.facts.items() if key not in ("name", "email")]
    return (f"All stages answered: {_listed(known)}." if known else "All stages answered.")[:500]


def _summary(talk: Talk) -> str:
    facts = [f"{BY_KEY[key].label}: {value}" for key, value in talk.facts.items() if key != "name"]
    return f"{talk.facts.get('name') or 'The lead'}: {'; '.join(facts) if facts else 'nothing known yet'}."[:2000]


def _verdict(talk: Talk, qualified: bool, reason: str, *parts: str, **more: Any) -> dict[str, Any]:
    return _say(talk, *parts, qualification={"qualified": qualified, "reason": reason}, end=True, **more)


def _say(talk: Talk, *parts: str, **more: Any) -> dict[str, Any]:
    reply = " ".join(part for part in parts if part)
    return {"reply": reply[:4096], "extracted": dict(talk.news), "summary": _summary(talk), **more}


def _content_words(text: str) -> set[str]:
    """Stems crude enough to match price with prices: the first five letters of words of four or more."""
    return {word[:5] for word in re.findall(r"\w{4,}", text.casefold()) if word not in _COMMON}


_COMMON = frozenset("what when where which does have with your this that there could would about from much many they".split())


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
