"""What the scripted model makes of a conversation: facts, wishes and refusals in plain English. No words of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.agents.stages import position, ways_out
from engine.agents.topics import BY_KEY, TOPICS, UNDECIDED, Topic, amount, is_statement, minimum, read_facts, topics_in
from engine.agents.types import AgentSpec, Stage, TurnContext

MAX_NAME = 40  # a first name used in a salutation
MAX_FACT = 200
OF_ONE_MATTER = {"meeting_time", "reference", "feedback"}  # what an earlier conversation left behind says nothing now

HUMAN = re.compile(
    r"\b(?:talk|speak|chat|connect me|transfer me|put me through)\s(?:to|with)\s(?:(?:an?|the|your|some)\s)?(?:\w+\s)?"
    r"(?:human|person|someone|somebody|agent|representative|rep|manager|specialist|colleague)\b"
    r"|\b(?:real|actual) (?:human|person)\b|\bhuman,? please\b",
    re.I,
)
# Each refusal with the reason it is stored under; the first that matches counts.
REFUSALS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.I), reason)
    for pattern, reason in (
        (
            r"\b(?:stop|quit) (?:contacting|messaging|texting|calling|writing|emailing)\b"
            r"|\b(?:leave me alone|remove me|unsubscribe)\b",
            "Asked not to be contacted.",
        ),
        (r"\bwrong (?:number|person)\b", "Wrong person."),
        (
            r"\bno budget\b(?! (?:limit|cap|constraint))|\b(?:don't|do not) have (?:a|any|the) budget\b"
            r"|\b(?:can't|cannot) afford (?:it|this|that|you)\b",
            "Has no budget.",
        ),
        (
            r"\balready (?:have|use|bought|found|signed)\b[^.!?\n]{0,30}\b(?:solution|provider|vendor|supplier|tool)\b"
            r"|\bwent with (?:another|someone else)\b",
            "Already has a solution.",
        ),
        (
            r"\bnot (?:really |at all )?interested\b|\bno,? (?:thanks|thank you)\b|\bno interest\b"
            r"|\b(?:don't|do not) need (?:it|this|that|anything|you)\b",
            "Is not interested.",
        ),
    )
)
INTEREST = re.compile(r"\b(?:interested|interest|open to|worth|would you like)\b", re.I)
DECLINE = re.compile(r"^\W*(?:no\b(?! (?:problem|worries))|nope|nah|not now|never)\b", re.I)
# It starts after a sentence's end, not anywhere in it: else a long text is read once for each of its characters.
QUESTION = re.compile(r"(?:^|(?<=[.!?\n“”\"]))[^.!?\n“”\"]*\?")
INTERROGATIVE = re.compile(
    r"\b(?:what|how|when|where|who|which|why|can|could|do|does|did|is|are|will|would|should)\b", re.I
)


@dataclass(frozen=True)
class Talk:
    """A conversation understood. facts: all that is known; news: what was told since our side spoke last."""

    context: TurnContext
    facts: dict[str, str]
    news: dict[str, str]
    said: str

    @property
    def first_name(self) -> str:
        """How to address the lead; empty if unknown."""
        name = self.facts.get("name", "").split()
        return name[0][:MAX_NAME] if name else ""

    @property
    def has_begun(self) -> bool:
        """Whether our side has spoken before."""
        return any(message.role in ("agent", "human") for message in self.context.history)

    @property
    def questions(self) -> list[str]:
        """What the lead asks. "Tuesday at 10?" is an answer, so what repeats a told fact is left out."""
        asked = [question.strip() for question in QUESTION.findall(self.said)]
        told = [value.casefold() for value in self.news.values()]
        return [
            question
            for question in asked
            if INTERROGATIVE.search(question) and not any(value in question.casefold() for value in told)
        ]

    @property
    def wants_human(self) -> bool:
        """Whether the lead asks for a person."""
        return bool(HUMAN.search(self.said))

    @property
    def refusal(self) -> str | None:
        """Why the lead wants to end this; None if it does not."""
        if reason := _stated_refusal(self.said):
            return reason
        ours = next((message.content for message in reversed(self.context.history) if message.role == "agent"), "")
        was_asked = any(INTEREST.search(question) for question in QUESTION.findall(ours))
        return "Is not interested." if was_asked and DECLINE.search(self.said) else None

    @property
    def shortfall(self) -> str | None:
        """Which fact misses a lower bound of the qualification criteria, in words; None if none does."""
        for key in ("budget", "company_size", "experience"):
            bound = minimum(key, self.context.agent.qualification_criteria)
            told = amount(self.facts.get(key, ""))
            if bound is not None and told is not None and told < bound:
                return f"{BY_KEY[key].label.capitalize()} {self.facts[key]} is below the minimum of {bound:,.0f}."
        return None

    @property
    def undecided(self) -> list[Topic]:
        """What the qualification criteria hang on and the lead left open: no ground for a verdict."""
        return [
            topic
            for topic in topics_in(self.context.agent.qualification_criteria)
            if self.facts.get(topic.key) == UNDECIDED
        ]

    def wanted(self, stage: Stage) -> list[Topic]:
        """What a stage asks for and the lead has not told yet."""
        return [topic for topic in stage_topics(stage) if topic.key not in self.facts]

    def has_met(self, stage: Stage) -> bool:
        """Whether the present stage is done: all it asks for is known or, if it names no topic, it was answered."""
        if stage_topics(stage):
            return not self.wanted(stage)
        return self.has_begun and (is_statement(self.said) or not self.questions)


def understand(context: TurnContext) -> Talk:
    """Reads the whole conversation, each lead message in the light of the question before it."""
    lead = context.lead
    lasting = BY_KEY.keys() - OF_ONE_MATTER
    facts = {key: value[:MAX_FACT] for key, value in lead.custom_fields.items() if key in lasting and value}
    facts |= {"email": lead.email[:MAX_FACT]} if lead.email else {}
    facts |= {"name": lead.name[:MAX_FACT]} if lead.name and lead.name != "Unknown" else {}
    relevant = _relevant(context.agent)
    news: dict[str, str] = {}
    asked: list[Topic] = []
    for message in context.history:
        if message.role in ("agent", "human"):
            asked, news = topics_in(" ".join(QUESTION.findall(message.content))), {}
        elif message.role == "lead":
            told = _told(_plain(message.content), asked, relevant, facts)
            facts |= told
            news |= told
    return Talk(context, facts, news, _plain(context.last_lead_message))


def stage_topics(stage: Stage) -> list[Topic]:
    """What a stage is after: its transition criteria say so, or else its prompt."""
    return topics_in(stage.transition_criteria) or topics_in(stage.prompt)


def stages_ahead(agent: AgentSpec, stage: Stage) -> list[Stage]:
    """The path of first choices from here to an end, each stage once."""
    path = [stage]
    while ways := ways_out(agent, path[-1]):
        following = agent.stages[position(agent, ways[0].id)]
        if following in path:
            break
        path.append(following)
    return path[1:]


def _told(text: str, asked: list[Topic], relevant: list[Topic], facts: dict[str, str]) -> dict[str, str]:
    """The facts of one message. A known fact is only replaced by an answer to a question about it."""
    if HUMAN.search(text) or _stated_refusal(text):
        return {}
    return {key: value for key, value in read_facts(text, asked, relevant) if key not in facts or BY_KEY[key] in asked}


def _relevant(agent: AgentSpec) -> list[Topic]:
    """What this agent's script is about anywhere; a salary is no budget to a recruiter."""
    script = [agent.qualification_criteria, *(f"{stage.prompt}\n{stage.transition_criteria}" for stage in agent.stages)]
    mentioned = topics_in("\n".join(script))
    return [topic for topic in TOPICS if topic in mentioned or topic.key in ("email", "name")]


def _stated_refusal(text: str) -> str | None:
    return next((reason for pattern, reason in REFUSALS if pattern.search(text)), None)


def _plain(text: str) -> str:
    return text.replace("’", "'")
