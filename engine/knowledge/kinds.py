"""What kinds of files are understood, and of which one a file is: by its first bytes, its name, its sender's word."""

from __future__ import annotations

import re
from pathlib import PurePath

from storage.errors import Blocked

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HTML = "text/html"
MARKDOWN = "text/markdown"
CSV = "text/csv"
TEXT = "text/plain"

_BY_SUFFIX = {
    ".pdf": PDF,
    ".docx": DOCX,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".csv": CSV,
    ".tsv": CSV,
    ".txt": TEXT,
    ".text": TEXT,
    ".log": TEXT,
}
_BY_DECLARATION = {
    PDF: PDF,
    "application/x-pdf": PDF,
    DOCX: DOCX,
    HTML: HTML,
    "application/xhtml+xml": HTML,
    MARKDOWN: MARKDOWN,
    "text/x-markdown": MARKDOWN,
    CSV: CSV,
    "text/tab-separated-values": CSV,
    TEXT: TEXT,
}
_PDF_HEAD = 1024  # the header may stand anywhere in it
_SAMPLE = 4096
_HTML_START = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,1000}<(?:!doctype html|html|head|body)\b", re.IGNORECASE)
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def kind_of(data: bytes, file_name: str | None = None, declared: str | None = None) -> str:
    """The media type that a file is read as. Raises Blocked for an empty file, and for one that is of no known kind."""
    if not data.strip():
        raise Blocked("empty_file", "The file is empty")
    if b"%PDF-" in data[:_PDF_HEAD]:
        return PDF
    named = _BY_SUFFIX.get(PurePath(file_name or "").suffix.lower())
    said = _BY_DECLARATION.get((declared or "").partition(";")[0].strip().lower())
    if data.startswith(b"PK\x03\x04"):
        if named == DOCX or said == DOCX or b"word/" in data:
            return DOCX
        raise _unsupported()
    kind = (said if said not in (None, TEXT) else named) or said
    if kind in (PDF, DOCX):  # it says so and is not: reading it will tell
        return kind
    if _HTML_START.match(data):
        return HTML
    if kind is None or _is_binary(data):
        raise _unsupported()
    return kind


def _is_binary(data: bytes) -> bool:
    """Whether these bytes are no text: many of them stand for nothing that is written, whatever the encoding."""
    sample = data[:_SAMPLE]
    if sample.startswith(_UTF16_MARKS) or _looks_like_utf16(sample):
        return False
    control = sum(byte < 9 or 13 < byte < 27 or 27 < byte < 32 for byte in sample)
    return control > len(sample) // 50


def _looks_like_utf16(sample: bytes) -> bool:
    even, odd = sample[0::2], sample[1::2]
    return any(
        zeros.count(0) > 0.4 * len(zeros) and others.count(0) < 0.1 * len(others)
        for zeros, others in ((odd, even), (even, odd))
    )


def _unsupported() -> Blocked:
    return Blocked("unsupported_file", "Only PDF, DOCX, HTML, Markdown, CSV and plain text files can be read")
