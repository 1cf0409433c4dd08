"""The vectors of knowledge bases in memory, some at a time, each kept for as long as its base does not change."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from storage import knowledge_chunks
from storage.knowledge import KnowledgeBase
from storage.knowledge_chunks import Stored
from storage.tenancy import Tenant

MAX_BYTES = 256 * 1024 * 1024
_RELOAD_ABOVE = 0.5  # of the chunks new: then all are read anew

Vector = NDArray[np.float32]
Key = tuple[int, str, str]  # tenant, base, embedder


class Base:
    """The chunks of one base at one version of it. frequencies: of words looked up so far."""

    def __init__(self, base_id: int, version: int, rows: Sequence[Stored], embedder: str) -> None:
        self.id = base_id
        self.version = version
        self.rows = {row.id: place for place, row in enumerate(rows)}
        self.ids = np.array([row.id for row in rows], np.int64)
        self.documents = np.array([row.document_id for row in rows], np.int64)
        self.lengths = np.array([row.length for row in rows], np.int64)
        usable = [np.frombuffer(row.vector, "<f4") if row.embedder == embedder else None for row in rows]
        width = next((vector.size for vector in usable if vector is not None), 0)
        fitting = [vector if vector is not None and vector.size == width else None for vector in usable]
        self.has_vector = np.array([vector is not None for vector in fitting], bool)
        self.matrix = np.zeros((len(rows), width), np.float32)
        for place, vector in enumerate(fitting):
            if vector is not None:
                self.matrix[place] = vector
        self.frequencies: dict[str, int] = {}

    @property
    def size(self) -> int:
        """How many chunks it has."""
        return len(self.ids)

    @property
    def words(self) -> int:
        """How many words they have together."""
        return int(self.lengths.sum())

    def nearest(self, look: Vector, most: int, documents: Iterable[int] | None = None) -> list[tuple[int, float]]:
        """At most so many chunks that are nearest to a vector, of these documents if they are given: (id, cosine)."""
        if not self.size or look.size != self.matrix.shape[1]:
            return []
        counted = self.has_vector
        if documents is not None:
            counted = counted & np.isin(self.documents, np.fromiter(documents, np.int64))
        cosines = np.where(counted, self.matrix @ look, -np.inf)
        places = np.argpartition(-cosines, min(most, self.size) - 1)[:most]
        return [(int(self.ids[place]), float(cosines[place])) for place in places if cosines[place] > -np.inf]

    def cosine(self, chunk_id: int, look: Vector) -> float | None:
        """How near this chunk is to a vector; None where they cannot be compared."""
        place = self.rows.get(chunk_id)
        if place is None or not self.has_vector[place] or look.size != self.matrix.shape[1]:
            return None
        return float(self.matrix[place] @ look)


_kept: OrderedDict[Key, Base] = OrderedDict()
_lock = threading.Lock()


def load(tenant: Tenant, base: KnowledgeBase, embedder: str) -> Base:
    """The base's chunks as they are at its version, or newer; from memory where it has not changed."""
    key = (tenant.id, base.oid, embedder)
    with _lock:
        kept = _kept.get(key)
        if kept is not None and kept.version == base.version:
            _kept.move_to_end(key)
            return kept
    fresh = Base(base.id, base.version, _rows(tenant, base, kept, embedder), embedder)
    with _lock:
        _kept[key] = fresh
        _kept.move_to_end(key)
        while len(_kept) > 1 and sum(each.matrix.nbytes for each in _kept.values()) > MAX_BYTES:
            _kept.popitem(last=False)
    return fresh


def forget() -> None:
    """Drop everything from memory."""
    with _lock:
        _kept.clear()


def _rows(tenant: Tenant, base: KnowledgeBase, kept: Base | None, embedder: str) -> list[Stored]:
    """All chunks of the base; those that are in memory already are not read again."""
    if kept is None:
        return knowledge_chunks.stored(tenant, base.id)
    present = knowledge_chunks.ids(tenant, base.id)
    new = [each for each in present if each not in kept.rows or not kept.has_vector[kept.rows[each]]]
    if len(new) > len(present) * _RELOAD_ABOVE:
        return knowledge_chunks.stored(tenant, base.id)
    read = {row.id: row for row in knowledge_chunks.stored(tenant, base.id, new)} if new else {}
    return [read.get(each) or _again(kept, each, embedder) for each in present if each in read or each in kept.rows]


def _again(kept: Base, chunk_id: int, embedder: str) -> Stored:
    place = kept.rows[chunk_id]
    document, length = int(kept.documents[place]), int(kept.lengths[place])
    return Stored(chunk_id, document, length, embedder, kept.matrix[place].astype("<f4").tobytes())
