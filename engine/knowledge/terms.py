"""The words of a text as they are indexed and looked up: folded, without accents, with their commonest endings off.

One rule for every language, meant for English and Spanish; what it does to others it does to question and text alike.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+")
_PART = re.compile(r"\w+|[^\w\s]")
_UNSPACED = re.compile(
    "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f\u0e00-\u0e7f]+"
)  # Japanese, Chinese, Thai: no spaces between words
_MAX_WORD = 40
_SHORTEST_STEM = 3
# English and Spanish together; the first that fits counts, so a longer one stands before its own end.
_ENDINGS = (
    *("aciones", "acion", "ations", "ation", "imiento", "mente"),
    *("ings", "ing", "edly", "ando", "iendo", "ados", "adas", "ado", "ada", "idos", "idas", "ido", "ida"),
    *("aron", "ieron", "ed", "ies", "es", "as", "os", "ar", "er", "ir", "s", "o", "a", "e", "y"),
)


def terms(text: str) -> list[str]:
    """The words of a text in order, repeated as they are."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(each for each in decomposed if not unicodedata.combining(each))
    return [term for word in _WORD.findall(plain) for term in _reduced(word)]


def _reduced(word: str) -> Iterator[str]:
    if word.isascii():
        yield stem(word[:_MAX_WORD])
        return
    place = 0
    for run in _UNSPACED.finditer(word):
        if run.start() > place:
            yield stem(word[place : run.start()][:_MAX_WORD])
        characters = run[0]
        yield from (characters[at : at + 2] for at in range(max(1, len(characters) - 1)))
        place = run.end()
    if place < len(word):
        yield stem(word[place:][:_MAX_WORD])


def stem(word: str) -> str:
    """A word without the endings of plural, gender and the commonest verbs, where enough of it is left."""
    if word.isalpha() and not word.endswith("ss"):
        for ending in _ENDINGS:
            if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
                return word[: -len(ending)]
    return word


_COMMON_ENGLISH = """
a about after again all also am an and any are as at be been before being both but by can could did do does doing each
every few for from get got had has have having he her here him his how i if in into is it its just me more most much my
no nor not now of off on once only or other our out over own same shall she should so some such than that the their them
then there these they this those to too under until up us very was we were what when where which while who whom whose
why will with would you your
"""
_COMMON_SPANISH = """
a al algo alguna algunos ante antes aquel aqui asi aun aunque cada como con contra cual cuales cuando cuanta cuantas
cuanto cuantos de del desde donde dos e el ella ellas ellos en entre era eran es esa esas ese eso esos esta estan estar
estas este esto estos fue ha haber hace han hasta hay he la las le les lo los mas me mi mis mucho muy nada ni no nos
nosotros nuestra nuestro o otra otro para pero poco por porque puede pueden puedo que quien quienes se sea ser si sin
sobre solo son soy su sus tambien tan te tener tengo tiene tienen todo todos tu tus un una unas uno unos usted ustedes
y ya yo
"""
COMMON = frozenset(map(stem, (_COMMON_ENGLISH + _COMMON_SPANISH).split()))  # say little, wherever they stand


def without_common(text: str) -> str:
    """The text's words and marks without those that say little; the text itself if that leaves nothing."""
    return " ".join(part for part in _PART.findall(text) if not _is_common(part)) or text


@lru_cache(maxsize=50_000)
def _is_common(word: str) -> bool:
    found = terms(word)
    return len(found) == 1 and found[0] in COMMON
