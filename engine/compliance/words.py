"""Whether a message asks for silence, or to be written to again.

A word counts only alone, a sentence only whole: "I must cancel Monday's call" asks for neither.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Literal

from engine.compliance.vocabulary import ANOTHER_WAY, CALLING, CLEAR_WORDS, CLOSINGS, LANGUAGES, POLITENESS

CONFIRMATION = "You will get no more messages from us. Reply START if you change your mind."

Wish = Literal["stop", "start"]

_LONGEST = 1000  # characters: in a longer message a wish is one thing among many, the agent reads it
_LONGEST_SENTENCE = 160

_STOP_WORDS = frozenset().union(*(language.stop_words for language in LANGUAGES))
_STOP_WORDS_ALONE = frozenset().union(*(language.stop_words_alone for language in LANGUAGES))
_START_WORDS = frozenset().union(*(language.start_words for language in LANGUAGES))


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


_STOP_SENTENCES = _any_of(pattern for language in LANGUAGES for pattern in language.stop_sentences)
_START_SENTENCES = _any_of(pattern for language in LANGUAGES for pattern in language.start_sentences)
_SHORT_CODE = re.compile(r"stop(?: (?:au|to|an|al|a))? \d{3,8}")  # "STOP au 36111", as French messages have it
_REPEATED = re.compile(r"\b(\w+)(?: \1\b)+")
_POLITE_FIRST = re.compile(rf"(?:{POLITENESS}) ")
_POLITE_LAST = re.compile(rf"(.*) (?:{POLITENESS})")
_CALLING = re.compile(rf"\b(?:{CALLING})\b")
_ANOTHER_WAY = re.compile(rf"\b(?:{ANOTHER_WAY})\b")
_CLOSING = re.compile(rf"(?:{CLOSINGS})(?:\W|$)")
_NO = re.compile(r"\A\s*(?:no+|nope|non|nein|não|nao|nee)\s*[,.!;:\n–—-]+\s*", re.IGNORECASE)
_SENTENCE_ENDS = re.compile(r"[.!?;:…\n\r]+")


def wish(text: str) -> Wish | None:
    """Whether a lead's message asks for silence, or to be written to again; None for any other message."""
    if len(text) > _LONGEST:
        return None
    body = _NO.sub("", _without_signature(text))
    whole = plain(body)
    if whole in _STOP_WORDS_ALONE or _asks_for_silence(whole) or _asks_among_others(body):
        return "stop"
    return "start" if _says(whole, _START_WORDS, _START_SENTENCES) else None


def _asks_for_silence(said: str) -> bool:
    return _says(said, _STOP_WORDS, _STOP_SENTENCES) or _SHORT_CODE.fullmatch(said) is not None


def _asks_among_others(body: str) -> bool:
    """Whether one sentence of several asks for silence, and none of the others for another way."""
    sentences = [said for part in _SENTENCE_ENDS.split(body) if (said := plain(part))]
    if len(sentences) < 2:
        return False
    asking = [said for said in sentences if _is_sentence(said) and not _CALLING.search(said)]
    return bool(asking) and not any(_ANOTHER_WAY.search(said) for said in sentences if said not in asking)


def _is_sentence(said: str) -> bool:
    """A bare word among other sentences may belong to them: "Stop! You make me laugh."."""
    return any(core in CLEAR_WORDS or (" " in core and _STOP_SENTENCES.fullmatch(core)) for core in _cores(said))


def _says(said: str, words: frozenset[str], sentences: re.Pattern[str]) -> bool:
    return any(
        core in words or core.replace(" ", "") in words or sentences.fullmatch(core) is not None
        for core in _cores(said)
    )


def _cores(said: str) -> Iterator[str]:
    """The sentence, and what is left of it without one word of politeness after the other."""
    core = _REPEATED.sub(r"\1", said)
    if len(core) > _LONGEST_SENTENCE:
        return
    yield core
    while first := _POLITE_FIRST.match(core):
        core = core[first.end() :]
        yield core
    while last := _POLITE_LAST.fullmatch(core):
        core = last[1]
        yield core


def plain(text: str) -> str:
    """Lower case, without accents, apostrophes and punctuation, single spaces."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    letters = "".join(char for char in folded if not unicodedata.combining(char) and char not in "'’`´ʼ")
    return " ".join(re.sub(r"[^\w]+|_+", " ", letters).split())


def _without_signature(text: str) -> str:
    lines = text.strip().splitlines()
    for number, line in enumerate(lines[1:], 1):
        if _CLOSING.match(plain(line) or line.strip()):
            return "\n".join(lines[:number])
    return text
