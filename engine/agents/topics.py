"""The things a conversation can be about, as the scripted model knows them: how each is named, asked for and read.

A topic is found by `mentioned` in a stage's prompt, its transition criteria and a question alike, and read from a
lead's message by `pattern`, or more loosely right after the question: "40" alone is a team size only then.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

MAX_VALUE = 200
MAX_READ = 1000  # characters of one message; keeps every pattern fast on hostile input

_AMOUNT = r"\d[\d,]*(?:\.\d+)?\s?(?:k|m|thousand|million)?\b"
_CURRENCY = r"(?:usd|eur|gbp|dollars?|euros?|pounds?)"
_RANGE = rf"(?:\s?(?:-|–|to)\s?[$€£]?{_AMOUNT})?"
_PERIOD = r"(?:\s?(?:/|per|a|each)\s?(?:month|year|quarter|week|hour|seat|user))?"
_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_MONTH = r"(?:january|february|march|april|may|june|july|august|september|october|november|december)"
_CLOCK = r"(?:\d{1,2}(?::\d{2})?\s?(?:am|pm|o'clock)\b|\d{1,2}:\d{2}\b|\bnoon\b)"
_SPAN = r"(?:\d+|an?|one|two|three|four|five|six|a few|a couple of)\s(?:day|week|month|quarter|year)s?"

EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+")
MONEY = re.compile(
    rf"(?:[$€£]\s?{_AMOUNT}{_RANGE}|\b{_AMOUNT}{_RANGE}\s?{_CURRENCY}\b|\b\d+(?:\.\d+)?k\b){_PERIOD}", re.I
)
BARE_AMOUNT = re.compile(rf"(?<!\w)[$€£]?{_AMOUNT}{_RANGE}{_PERIOD}", re.I)
HEADCOUNT = re.compile(
    r"\b(?:team|staff|company|crew) of (?:about |around |roughly )?(\d[\d,]*)"
    r"|\b(\d[\d,]*)\s?(?:\+\s?)?(?:people|persons|employees|staff|users|seats|agents|colleagues|reps|of us)\b",
    re.I,
)
WHOLE_NUMBER = re.compile(r"\b\d[\d,]*\b")
_SEASON = r"(?:week|month|quarter|year|spring|summer|autumn|fall|winter)"
_DATE = rf"\bq[1-4]\b|\b\d{{4}}-\d{{2}}-\d{{2}}\b|\b{_MONTH}(?:\s\d{{4}})?\b"
WHEN = re.compile(
    r"\b(?:as soon as possible|asap|immediately|right away)\b"
    rf"|\b(?:by|in|within|before|until|from|starting|early|late|around)\s(?:the\s)?(?:(?:end|start)\sof\s)?(?:next\s)?"
    rf"(?:{_SPAN}|{_MONTH}(?:\s\d{{4}})?|q[1-4]|(?:this|next)?\s?{_SEASON})\b"
    rf"|\b(?:this|next)\s(?:{_SEASON}|{_MONTH})\b|{_DATE}",
    re.I,
)
LOOSE_WHEN = re.compile(rf"\b(?:now|today|tomorrow)\b|\b{_SPAN}\b", re.I)
SLOT = re.compile(
    rf"\b(?:(?:next|this|on)\s)?(?:{_DAY}|tomorrow|today)(?:\s(?:morning|afternoon|evening))?(?:,?\s(?:at|around|after|before)?\s?{_CLOCK}|"
    rf"\s(?:at|around)\s\d{{1,2}}\b)?|\b{_CLOCK}",
    re.I,
)
NAME = re.compile(r"(?i:my name is|my name's|this is)\s([A-Z][\w'-]+(?:\s[A-Z][\w'-]+){0,2})")
BARE_NAME = re.compile(r"^\W*([A-Z][\w'-]+(?:\s[A-Z][\w'-]+){0,2})\W*$")
COMPANY = re.compile(r"\b(?i:work (?:at|for)|company is(?: called)?|we are|we're|from)\s((?:[A-Z][\w&'-]*\s?){1,4})")
PLACE = re.compile(r"\b(?i:based in|live in|located in|living in|here in)\s((?:[A-Z][\w'-]+\s?){1,3})")
YEARS = re.compile(r"\b(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten)\+?\syears?\b", re.I)
NEVER = re.compile(r"(?!)")
REFERENCE = re.compile(r"#\s?[\w-]*\d[\w-]*|\b[A-Z]{2,}-?\d[\w-]*\b|\b\d{5,}\b")
WISH = re.compile(
    r"\b(?:we|i)\b[^.!?,\n]*\b(?:need|want|looking for|struggle|struggling|lose|losing|cannot|can't)\b[^.!?,\n]*"
    r"|\b(?:looking for|struggling with)\b[^.!?,\n]*",
    re.I,
)


@dataclass(frozen=True)
class Topic:
    """key: name of the extracted fact. label: as in "noted your …". question: asked when the agent's prompt has none.

    pattern: reads the fact anywhere. loose: only after the question. is_open: any statement answers the question.
    """

    key: str
    label: str
    mentioned: re.Pattern[str]
    question: str
    pattern: re.Pattern[str]
    loose: re.Pattern[str] | None = None
    is_open: bool = False

    def read(self, text: str, asked: bool) -> str | None:
        """The fact as the lead put it; None if the message does not state it."""
        match = self.pattern.search(text)
        if match is None and asked and self.loose:
            match = self.loose.search(text)
        if match:
            return _tidy(next((group for group in match.groups() if group), match.group()))
        is_answer = is_statement(text) and not (_UNDECIDED.search(text) and len(text.split()) < _SHRUG)
        return _tidy(text) if asked and self.is_open and is_answer else None


def _topic(
    key: str,
    label: str,
    mentioned: str,
    question: str,
    pattern: re.Pattern[str] = NEVER,
    loose: re.Pattern[str] | None = None,
    is_open: bool = False,
) -> Topic:
    return Topic(key, label, re.compile(rf"\b(?:{mentioned})\b", re.I), question, pattern, loose, is_open)


TOPICS: tuple[Topic, ...] = (
    _topic("email", "email address", r"e-?mail(?: address)?", "What is the best email address to reach you?", EMAIL),
    _topic("budget", "budget", r"budget|price range|spend", "What budget do you have in mind?", MONEY, BARE_AMOUNT),
    _topic(
        "salary",
        "salary expectation",
        r"salary|compensation",
        "What salary are you looking for?",
        MONEY,
        BARE_AMOUNT,
    ),
    _topic(
        "company_size",
        "team size",
        r"team size|company size|headcount|how many (?:people|employees|users|seats|reps)"
        r"|size of (?:the|their|your) (?:team|company)|employees|seats",
        "How many people are on your team?",
        HEADCOUNT,
        WHOLE_NUMBER,
    ),
    _topic(
        "timeline",
        "timeline",
        r"timeline|time ?frame|how soon|deadline|start date|notice period"
        r"|when (?:do|would|could|can) you\b[^?.]*?\bstart",
        "When would you like to get started?",
        WHEN,
        LOOSE_WHEN,
    ),
    _topic(
        "meeting_time",
        "preferred time",
        r"day and time|time slot|slot|meeting time|appointment time|what time|which day",
        "Which day and time would suit you?",
        SLOT,
    ),
    _topic(
        "need",
        "needs",
        r"challenges?|problems?|pain points?|needs?|looking for|use case|goals?|hoping|what happened|issue",
        "What would you like to improve or solve?",
        WISH,
        is_open=True,
    ),
    _topic(
        "decision_maker",
        "decision process",
        r"decision[- ]makers?|decides?|decision|sign off|approves?",
        "Who decides on this besides you?",
        is_open=True,
    ),
    _topic("name", "name", r"full name|your name|their name", "May I have your name?", NAME, BARE_NAME),
    _topic(
        "company",
        "company",
        r"company name|which company|business name|where do you work",
        "Which company are you with?",
        COMPANY,
        is_open=True,
    ),
    _topic(
        "location",
        "location",
        r"location|located|based|postcode|city",
        "Where are you based?",
        PLACE,
        is_open=True,
    ),
    _topic(
        "role",
        "role",
        r"job title|your role|their role|current role",
        "What is your current role?",
        is_open=True,
    ),
    _topic(
        "experience",
        "experience",
        r"years of experience|experience",
        "How many years of experience do you have?",
        YEARS,
        WHOLE_NUMBER,
    ),
    _topic(
        "reference",
        "reference",
        r"(?:order|ticket|account|reference|invoice) (?:number|id)",
        "What is your order or account number?",
        REFERENCE,
    ),
    _topic(
        "feedback",
        "feedback",
        r"feedback|takeaways?|stood out|most useful|liked",
        "What stood out to you most?",
        is_open=True,
    ),
)
BY_KEY = {topic.key: topic for topic in TOPICS}

_FILLERS = frozenset(
    {
        "yes",
        "yeah",
        "yep",
        "yup",
        "sure",
        "ok",
        "okay",
        "fine",
        "great",
        "good",
        "perfect",
        "thanks",
        "thank",
        "you",
        "please",
        "hello",
        "hi",
        "hey",
        "no",
        "nope",
        "not",
        "hm",
        "hmm",
        "maybe",
        "later",
        "right",
        "course",
        "of",
    }
)
_UNDECIDED = re.compile(
    r"\b(?:not sure|unsure|don't know|no idea|depends|flexible|undecided|not decided|haven't decided)\b", re.I
)
_SHRUG = 8  # words: whoever says more than "I don't know" may be saying something
UNDECIDED = "undecided"
_INDISPENSABLE = frozenset({"email", "name", "reference", "meeting_time"})  # nobody can act on these undecided


def is_statement(text: str) -> bool:
    """Whether a message says something, rather than only asking, agreeing, declining or greeting."""
    words = re.findall(r"[\w'-]+", text.casefold())
    return bool(words) and "?" not in text and not all(word in _FILLERS for word in words)


def topics_in(text: str) -> list[Topic]:
    """The topics a text mentions, in the order of first mention."""
    found = [(match.start(), index) for index, topic in enumerate(TOPICS) if (match := topic.mentioned.search(text))]
    return [TOPICS[index] for _, index in sorted(found)]


def read_facts(text: str, asked: Collection[Topic], relevant: Collection[Topic]) -> Iterator[tuple[str, str]]:
    """(fact, value) for what a message states on relevant topics. Topics just asked for are read first and claim it."""
    text = text[:MAX_READ]
    claimed: set[str] = set()
    for topic in [*asked, *(topic for topic in relevant if topic not in asked)]:
        value = topic.read(text, topic in asked)
        if value and value.casefold() not in claimed:
            claimed.add(value.casefold())
            yield topic.key, value
        elif topic in asked and topic.key not in _INDISPENSABLE and _UNDECIDED.search(text):
            yield topic.key, UNDECIDED


def amount(text: str) -> float | None:
    """The largest number in a text, `5k` being 5000; None without one."""
    scale = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6}
    found = re.findall(r"(\d[\d,]*(?:\.\d+)?)\s?(k|m|thousand|million)?\b", text, re.I)
    return max((float(digits.replace(",", "")) * scale.get(unit.lower(), 1) for digits, unit in found), default=None)


def minimum(key: str, criteria: str) -> float | None:
    """The lower bound the criteria set for a fact, e.g. 10 for "at least 10 employees"; None without one."""
    bound = re.compile(r"at least|minimum|more than|over|above|from|or more|≥|>", re.I)
    for clause in re.split(r"[;\n]|\.\s|,\s|\band\b", criteria):
        if bound.search(clause) and BY_KEY[key].mentioned.search(clause.replace("people", "employees")):
            return amount(clause)
    return None


def _tidy(text: str) -> str:
    text = " ".join(text.split()).strip(" ,.;:!")
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"
