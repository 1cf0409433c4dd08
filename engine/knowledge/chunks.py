"""Cutting a text into passages: whole paragraphs and list items where they fit, each with the headings above it."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from semantic_text_splitter import MarkdownSplitter

LEAST, MOST = 500, 1000  # characters: a passage is filled up to the first and never longer than the second
OVERLAP = 100  # characters that neighbours share where a paragraph had to be cut
MAX_HEADING = 300

_HEADING = re.compile(r"^(#{1,6})[ \t]+(\S.*)$|^\*\*([^*\n]{1,150})\*\*:?[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_BOLD_LEVEL = 7  # a bold line of its own heads what follows, below all real headings
_WORD = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Characters [start, end) of the text; `heading` is the path of headings above them, outermost first."""

    start: int
    end: int
    text: str
    heading: str


def split(text: str) -> list[Chunk]:
    """The passages of a text in order; every word of it is in one."""
    headings = list(_headings(text))
    places = [place for place, _ in headings]
    chunks = []
    for start, piece in _splitter().chunk_indices(text):
        if not _WORD.search(piece):
            continue
        above = bisect.bisect_right(places, start) - 1
        chunks.append(Chunk(start, start + len(piece), piece, headings[above][1] if above >= 0 else ""))
    return chunks


@cache
def _splitter() -> MarkdownSplitter:
    return MarkdownSplitter((LEAST, MOST), overlap=OVERLAP)


def _headings(text: str) -> Iterator[tuple[int, str]]:
    """Where each heading stands, with the path that it and those above it make."""
    fenced = [(found.start(), found.end()) for found in _FENCE.finditer(text)]
    path: list[tuple[int, str]] = []
    for found in _HEADING.finditer(text):
        if any(start <= found.start() < end for start, end in fenced):
            continue
        level = len(found[1]) if found[1] else _BOLD_LEVEL
        title = (found[2] or found[3]).strip().rstrip("#").strip()
        path = [above for above in path if above[0] < level] + [(level, title)]
        yield found.start(), " › ".join(name for _, name in path)[-MAX_HEADING:]
