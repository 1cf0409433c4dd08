"""What an agent's knowledge bases say to a lead, as passages for its turn, and as citations of what it then said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from engine.agents import Passage
from storage.tenancy import Tenant

MOST_PASSAGES = 5
_MAX_TITLE = 500


def look_up(tenant: Tenant, knowledge_base_oids: Sequence[str], said: str) -> tuple[Passage, ...]:
    """The passages that answer what was said, best first; none if nothing is relevant. Call it outside connections."""
    if not knowledge_base_oids or not said.strip():
        return ()
    from engine import knowledge  # agents without knowledge bases never load what it takes

    found = knowledge.search(tenant, knowledge_base_oids, said, limit=MOST_PASSAGES)
    return tuple(
        Passage(each.title, each.text, each.document_id, each.chunk_id, each.source_url or None, (each.start, each.end))
        for each in found
    )


def citations(passages: Sequence[Passage], used: Iterable[int]) -> list[dict[str, Any]]:
    """The used passages, by their positions, as the contract's citations."""
    quoted = [passages[place] for place in used]
    return [_citation(passage) for passage in quoted if passage.document_id and passage.chunk_id]


def _citation(passage: Passage) -> dict[str, Any]:
    start, end = passage.span
    cited = {
        "documentId": passage.document_id,
        "chunkId": passage.chunk_id,
        "title": passage.title[:_MAX_TITLE],
        "start": start,
        "end": end,
    }
    return cited | ({"sourceUrl": passage.source_url} if passage.source_url else {})
