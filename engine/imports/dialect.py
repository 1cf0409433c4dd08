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
_LINE_END = re.compile(r"\r\n|\r|\n")
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


def split_lines(pieces: Iterable[str]) -> Iterator[str]:
    """Lines with their ends (LF, CRLF or CR alone, also mixed). Raises CsvError for a line beyond 1 MiB."""
    rest = ""
    for piece in pieces:
        rest += piece
        start = 0
        for end in _LINE_END.finditer(rest):
            if end[0] == "\r" and end.end() == len(rest):
                break  # its LF may come with the next piece
            yield rest[start : end.end()]
            start = end.end()
        rest = rest[start:]
        if len(rest) > MAX_LINE:
            raise CsvError("A line is longer than 1 MiB. This does not look like a CSV file.")
    if rest:
        yield rest


def detect(sample: str) -> Dialect:
    """The dialect of a text that begins like this; a comma where nothing tells."""
    lines = [line for line in split_lines([sample]) if line.strip(_NOTHING)]
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
