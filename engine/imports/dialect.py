"""How a CSV text is written: its lines, its delimiter, its quotes.

Judged by the first lines. A delimiter is good if it cuts the header into many cells and the rows into as many.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from engine.imports.decode import CsvError

DELIMITERS = (",", ";", "\t", "|")
FULL_SAMPLE = 32 * 1024  # characters; a shorter text is the whole file
MAX_LINE = 1024 * 1024  # characters; a CSV line is never that long, a binary file's "line" is

_NOTHING = " \t\r\n,;|"
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_OTHER_ENDS = "\v\f\x1c\x1d\x1e"
_OTHER_UNICODE_ENDS = re.compile("[\x85\u2028\u2029]")
_DIRECTIVE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # Excel's own first line


@dataclass(frozen=True, slots=True)
class Dialect:
    """What csv.reader must know; `has_directive` means that the first line is `sep=;` and no row."""

    delimiter: str = ","
    quotechar: str = '"'
    escapechar: str | None = None
    has_directive: bool = False

    def reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """The records of these lines; lenient: stray quotes are text, spaces before a quote are skipped."""
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quotechar,
            escapechar=self.escapechar,
            skipinitialspace=True,
        )


def split_lines(pieces: Iterable[str]) -> Iterator[list[str]]:
    """Lines with their ends (LF, CRLF or CR alone, also mixed), as many at a time as a piece holds.

    Raises CsvError for a line beyond 1 MiB.
    """
    rest = ""
    for piece in pieces:
        lines = _lines(rest + piece)
        rest = "" if not lines or lines[-1].endswith("\n") else lines.pop()  # after a CR an LF may come
        yield lines
        if len(rest) > MAX_LINE:
            raise CsvError("A line is longer than 1 MiB. This does not look like a CSV file.")
    if rest:
        yield [rest]


def _lines(text: str) -> list[str]:
    if _has_other_ends(text):
        return _LINE.findall(text)
    return text.splitlines(keepends=True)


def _has_other_ends(text: str) -> bool:
    """Whether Python would also split at what ends no line of a CSV file."""
    if any(end in text for end in _OTHER_ENDS):
        return True
    return not text.isascii() and _OTHER_UNICODE_ENDS.search(text) is not None


def detect(sample: str) -> Dialect:
    """The dialect of a text that begins like this; a comma where nothing tells."""
    lines = [line for some in split_lines([sample]) for line in some if line.strip(_NOTHING)]
    if not lines:
        return Dialect()
    if directive := _DIRECTIVE.fullmatch(lines[0]):
        return Dialect(delimiter=directive[1], has_directive=True)
    if len(lines) > 1 and not lines[-1].endswith(("\r", "\n")) and len(sample) >= FULL_SAMPLE:
        lines.pop()  # the sample ends inside a row
    escapes = (None, "\\") if '\\"' in sample else (None,)
    candidates = [
        Dialect(delimiter, _quotechar(lines[0], delimiter), escape) for delimiter in DELIMITERS for escape in escapes
    ]
    return max(candidates, key=lambda dialect: _score(lines, dialect))


def _quotechar(header: str, delimiter: str) -> str:
    cells = [cell.strip() for cell in header.split(delimiter)]
    single = all(len(cell) > 1 and cell[0] == cell[-1] == "'" for cell in cells)
    return "'" if single else '"'


def _score(lines: Sequence[str], dialect: Dialect) -> tuple[bool, float]:
    """Whether header and rows are cut at all (not every row is: footers), then how often, weighed by how alike."""
    widths: list[int] = []
    try:
        for record in islice(dialect.reader(lines), 200):
            if any(cell.strip() for cell in record):
                widths.append(len(record))
    except csv.Error:
        pass  # judged by the records before it
    if not widths:
        return False, 0.0
    header, *rows = widths
    likeness = sum(min(width, header) / max(width, header) for width in rows) / len(rows) if rows else 1.0
    is_cut = header > 1 and (not rows or max(rows) > 1)
    return is_cut, header * likeness if is_cut else likeness
