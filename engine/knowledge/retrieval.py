"""Finding passages: by words (BM25) and by meaning (vectors); nothing where nothing is relevant.

    question → its sentences → for each: 50 by BM25 + 50 by vector → 20 by reciprocal rank → those relevant enough

A passage's relevance to a sentence is a mean of two things: how much of the sentence's words it has, each weighed by
how rare it is in the knowledge bases asked, and the cosine of the two vectors. It decides what is answered at all, and
in which order; tests/samples/test_retrieval.py measures both. All counts are of the bases asked and no others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

import structlog

from storage import knowledge, knowledge_chunks
from storage.database import connection
from storage.knowledge_chunks import Filters
from storage.tenancy import Tenant

from .embed import LOCAL_SIMILARITY, Embedder, EmbeddingsUnavailable, embedder_of
from .terms import COMMON, terms

if TYPE_CHECKING:
    from .vectors import Base, Vector

RELEVANT = 0.36  # from 0 to 1: a passage below it answers nothing
MAX_QUERY = 4096  # characters; the end of a longer one counts
_MAX_SENTENCES = 6
_SENTENCE_END = re.compile(r"(?<=[.!?。？！])\s+|\n+|(?<=[。？！])")
_LEAST_SENTENCE = 2  # words, or characters where words have no spaces
_MAX_TERMS = 48
_DEPTH = 50  # of either ranking
_FUSED = 20
_RANK_CONSTANT = 60  # of reciprocal rank fusion, as in Cormack et al. 2009
_SATURATION, _LENGTH_WEIGHT = 1.2, 0.75  # k1 and b of BM25
_SUPPOSED = 100  # chunks added to every count, half of them with each common word: a small base tells little of words
_COMMON_WORTH = 0.5  # of a common word beside others, in a passage's relevance
_CANDIDATES = 500  # chunks with the rarest words, about so many, are ranked by words
_LISTED = 400  # documents: more are not named to the database

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """A passage: characters [start, end) of its document's content. score: its relevance from 0 to 1."""

    document_id: str
    chunk_id: str
    title: str
    text: str
    start: int
    end: int
    score: float
    source_url: str | None = None
    source_type: str = "text"
    heading: str = ""
    knowledge_base_id: str = ""


def search(
    tenant: Tenant,
    knowledge_base_oids: Sequence[str],
    query: str,
    *,
    limit: int = 5,
    filters: Filters | None = None,
) -> list[Found]:
    """The passages of these knowledge bases that answer the query, best first; none if nothing is relevant.

    Of a message with several sentences each is looked up by itself: greetings do not hide the question. Ids that are
    no knowledge base of the tenant's are passed over.
    """
    from . import vectors  # its library takes a tenth of a second, which not every start should

    sentences = _sentences(query[-MAX_QUERY:])
    with connection():
        asked = knowledge.among(tenant, knowledge_base_oids) if sentences else []
    if not asked:
        return []
    embedder = embedder_of(tenant)
    looks = _vectors_of(embedder, sentences)  # the endpoint is asked while no connection is held
    with connection():
        bases = [vectors.load(tenant, base, embedder.name) for base in asked]
        allowed = (
            None if filters is None else knowledge_chunks.documents_matching(tenant, [b.id for b in bases], filters)
        )
        corpus = _Corpus(tenant, bases, allowed, embedder)
        relevance: dict[int, float] = {}
        for sentence, look in zip(sentences, looks, strict=True):
            for chunk, value in corpus.ranked(sentence, look).items():
                relevance[chunk] = max(value, relevance.get(chunk, 0.0))
        best = sorted((chunk for chunk in relevance if relevance[chunk] >= RELEVANT), key=lambda c: (-relevance[c], c))
        return _shown(tenant, asked, best[:limit], relevance)


def _sentences(query: str) -> list[str]:
    """What is looked up: the last sentences, and if there are several the whole, too."""
    parts = [part.strip() for part in _SENTENCE_END.split(query)]
    sentences = [part for part in parts if len(terms(part)) >= _LEAST_SENTENCE][-_MAX_SENTENCES:]
    whole = " ".join(query.split())
    return [part for part in dict.fromkeys([*sentences, whole]) if not COMMON.issuperset(terms(part))]


def _vectors_of(embedder: Embedder, sentences: Sequence[str]) -> Sequence[Vector | None]:
    try:
        return list(embedder.embed(sentences))
    except EmbeddingsUnavailable as error:
        _log.warning("embeddings_unavailable", reason=str(error))
        return [None] * len(sentences)


class _Corpus:
    """The knowledge bases asked as one body of chunks. allowed: row ids of the documents that count, None for all."""

    def __init__(self, tenant: Tenant, bases: Sequence[Base], allowed: set[int] | None, embedder: Embedder) -> None:
        self._tenant = tenant
        self._bases = bases
        self._allowed = allowed
        self._embedder = embedder
        self._size = sum(base.size for base in bases)
        self._mean_length = sum(base.words for base in bases) / self._size if self._size else 1.0

    def ranked(self, sentence: str, look: Vector | None) -> dict[int, float]:
        """The chunks that words and vectors agree on most, each with its relevance to the sentence."""
        rarity = self._rarity(terms(sentence))
        holding = self._holding(rarity)
        by_words = self._by_words(rarity, holding)
        by_meaning = [] if look is None else self._by_meaning(look)
        fused = _fused([by_words[:_DEPTH], by_meaning])[:_FUSED]
        words = {chunk: held for chunk, (_, held) in holding.items()}
        missing = [chunk for chunk in fused if chunk not in words]
        words.update(knowledge_chunks.words_of(self._tenant, missing))
        return {chunk: self._relevance(chunk, words.get(chunk, ""), rarity, look) for chunk in fused}

    def _rarity(self, words: Iterable[str]) -> dict[str, float]:
        """The inverse document frequency of each word."""
        found = {}
        for word in list(dict.fromkeys(words))[:_MAX_TERMS]:
            size = self._size + _SUPPOSED
            frequency = sum(self._frequency(base, word) for base in self._bases)
            frequency += _SUPPOSED // 2 if word in COMMON else 0
            found[word] = log(1 + (size - frequency + 0.5) / (frequency + 0.5))
        return found

    def _frequency(self, base: Base, word: str) -> int:
        if word not in base.frequencies:
            base.frequencies[word] = knowledge_chunks.frequency(self._tenant, base.id, word)
        return base.frequencies[word]

    def _holding(self, rarity: Mapping[str, float]) -> dict[int, tuple[int, str]]:
        """Chunks with the rarest words: length and words by row id."""
        documents = sorted(self._allowed) if self._allowed is not None and len(self._allowed) <= _LISTED else None
        found: dict[int, tuple[int, str]] = {}
        for base in self._bases:
            chosen: list[str] = []
            expected = 0
            for word in sorted(rarity, key=lambda word: (-rarity[word], word)):
                frequency = base.frequencies[word]
                if frequency and (not expected or expected + frequency <= _CANDIDATES):
                    chosen.append(word)
                    expected += frequency
            if chosen:
                rows = knowledge_chunks.holding(self._tenant, base.id, chosen, 2 * _CANDIDATES, documents)
                for chunk, document, length, words in rows:
                    if self._allowed is None or document in self._allowed:
                        found[chunk] = length, words
        return found

    def _by_words(self, rarity: Mapping[str, float], holding: Mapping[int, tuple[int, str]]) -> list[int]:
        """The chunks by BM25, best first. Source: Robertson and Zaragoza 2009, with Lucene's positive idf."""
        spaced = [(f" {word} ", value) for word, value in rarity.items()]
        scores = {}
        for chunk, (length, words) in holding.items():
            padded = f" {words} "
            damping = _SATURATION * (1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * length / self._mean_length)
            counts = ((value, padded.count(word)) for word, value in spaced if word in padded)
            scores[chunk] = sum(value * n * (_SATURATION + 1) / (n + damping) for value, n in counts)
        return sorted(scores, key=lambda chunk: (-scores[chunk], chunk))

    def _by_meaning(self, look: Vector) -> list[int]:
        near = [pair for base in self._bases for pair in base.nearest(look, _DEPTH, self._allowed)]
        return [chunk for chunk, _ in sorted(near, key=lambda pair: (-pair[1], pair[0]))[:_DEPTH]]

    def _relevance(self, chunk: int, words: str, rarity: Mapping[str, float], look: Vector | None) -> float:
        held = set(words.split(" "))
        worth = {word: value * (_COMMON_WORTH if word in COMMON else 1.0) for word, value in rarity.items()}
        covered = sum(value for word, value in worth.items() if word in held) / (sum(worth.values()) or 1.0)
        cosine = None
        if look is not None:
            cosine = next((near for base in self._bases if (near := base.cosine(chunk, look)) is not None), None)
        if cosine is None:
            return covered
        weight, scale = self._embedder.weight, LOCAL_SIMILARITY / self._embedder.least_similarity
        return max(0.0, min(1.0, (1 - weight) * covered + weight * cosine * scale))


def _fused(rankings: Sequence[Sequence[int]]) -> list[int]:
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, chunk in enumerate(ranking, start=1):
            scores[chunk] = scores.get(chunk, 0.0) + 1 / (_RANK_CONSTANT + rank)
    return sorted(scores, key=lambda chunk: (-scores[chunk], chunk))


def _shown(
    tenant: Tenant, asked: Sequence[knowledge.KnowledgeBase], best: Sequence[int], relevance: Mapping[int, float]
) -> list[Found]:
    oids = {base.id: base.oid for base in asked}
    rows = knowledge_chunks.shown(tenant, best)
    return [
        Found(
            document_id=document.oid,
            chunk_id=chunk.oid,
            title=document.title,
            text=chunk.text,
            start=chunk.start_at,
            end=chunk.end_at,
            score=round(relevance[chunk.id], 4),
            source_url=document.source_url,
            source_type=document.source_type,
            heading=chunk.heading,
            knowledge_base_id=oids[document.knowledge_base_id],
        )
        for chunk, document in (rows[each] for each in best if each in rows)
    ]
