"""A CSV file as headers and rows, read once, in bounded memory.

A record that cannot be read becomes a RowError and the next one is tried. Report footers are left out: Salesforce ends
a report with blank lines and a few lines of title, copyright and author. The rule: after two or more empty lines, up to
20 rows that reach to the end of the file, each with fewer cells than the header and without an e-mail address or a cell
made of phone characters, are a footer. Anything else after empty lines is data.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from engine.imports.decode import CsvError, decode
from engine.imports.dialect import Dialect, detect, split_lines

MAX_COLUMNS = 1000
MAX_RECORD = 1024 * 1024  # characters; a cell may have 128 KiB, csv's own limit
MAX_FOOTER_ROWS = 20
PIECE = 64 * 1024

_END = "\x00end of file\x00"  # fed after the last line: a record that swallows it has an open quote
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\x00]")
_PHONE_CELL = re.compile(r"[+\d\s().\-/]{7,}")


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that is not imported; `row` counts like a spreadsheet: the header is 1."""

    row: int
    message: str


class SourceRow(NamedTuple):
    """A row's number (the header is 1) and its text by header, as written; cells beyond the header are "Column N"."""

    number: int
    cells: dict[str, str]


class CsvSource:
    """Headers at once, rows by iterating, once: SourceRow, or RowError for a record that cannot be read.

    Blank rows and the report footer are skipped but counted in row numbers. Raises CsvError while iterating if the
    bytes stop making sense.
    """

    def __init__(self, encoding: str, pieces: Iterable[str]) -> None:
        pieces = iter(pieces)
        sample = next(pieces, "")
        dialect = detect(sample)
        lines = split_lines(chain([sample], pieces))
        if dialect.has_directive:
            next(line for line in lines if line.strip())
        self.encoding = encoding
        self.delimiter = dialect.delimiter
        self._records = _records(lines, dialect)
        self.headers = self._read_headers()

    def __iter__(self) -> Iterator[SourceRow | RowError]:
        empty_lines = 0
        held: list[SourceRow] = []  # a footer, unless a real row follows
        for number, record in self._records:
            if isinstance(record, list) and not any(cell.strip() for cell in record):
                empty_lines += len(record) <= 1
                continue
            if isinstance(record, list) and self._may_be_footer(record, held, empty_lines):
                held.append(SourceRow(number, self._cells(record)))
                continue
            yield from held
            held.clear()
            empty_lines = 0
            yield self._row(number, record)

    def _read_headers(self) -> tuple[str, ...]:
        for _, record in self._records:
            if isinstance(record, RowError):
                raise CsvError(f"The header row cannot be read: {record.message}")
            if len(record) > MAX_COLUMNS:
                raise CsvError(f"The file has {len(record)} columns; {MAX_COLUMNS} is the most.")
            if any(cell.strip() for cell in record):
                return clean_headers(record)
        return ()

    def _row(self, number: int, record: list[str] | RowError) -> SourceRow | RowError:
        if isinstance(record, RowError):
            return record
        if _NOT_TEXT.search("".join(record)):
            return RowError(number, "The row contains characters that are not text (NUL or half a character).")
        if self._swallowed_rows(record):
            return RowError(number, "A quote opened in this row is not closed and takes in the rows below it.")
        return SourceRow(number, self._cells(record))

    def _cells(self, record: Sequence[str]) -> dict[str, str]:
        width = len(self.headers)
        cells = dict.fromkeys(self.headers, "")
        cells.update(zip(self.headers, record, strict=False))
        cells.update((f"Column {place}", text) for place, text in enumerate(record[width:], width + 1) if text.strip())
        return cells

    def _may_be_footer(self, record: Sequence[str], held: Sequence[SourceRow], empty_lines: int) -> bool:
        return (
            empty_lines >= 2
            and len(held) < MAX_FOOTER_ROWS
            and len(record) < len(self.headers)
            and not any("@" in cell or _PHONE_CELL.fullmatch(cell.strip()) for cell in record)
        )

    def _swallowed_rows(self, record: Sequence[str]) -> bool:
        """Whether a cell holds whole rows: lines with as many delimiters as a wide row has. Prose has not that many."""
        separators = len(self.headers) - 1
        return separators >= 7 and any(
            line.count(self.delimiter) >= separators
            for cell in record
            if "\n" in cell or "\r" in cell
            for line in cell.splitlines()[1:-1]
        )


def open_csv(chunks: Iterable[bytes]) -> CsvSource:
    """A CSV file from its bytes, in chunks of any size; encoding, delimiter and quotes are detected.

    An empty file has no headers and no rows. Raises CsvError where the file cannot be a CSV file.
    """
    encoding, pieces = decode(chunks)
    return CsvSource(encoding, pieces)


def open_text(content: str) -> CsvSource:
    """A CSV file from text that is already decoded; else like open_csv."""
    content = content.removeprefix("\ufeff")
    return CsvSource("text", (content[start : start + PIECE] for start in range(0, len(content), PIECE)))


def clean_headers(record: Sequence[str]) -> tuple[str, ...]:
    """Trimmed, without invisible characters; empty ones are named "Column 3", repeated ones "Phone (2)"."""
    headers: list[str] = []
    taken: set[str] = set()
    for place, cell in enumerate(record, 1):
        base = " ".join(_INVISIBLE.sub("", cell).split()) or f"Column {place}"
        name, count = base, 1
        while name in taken:
            count += 1
            name = f"{base} ({count})"
        taken.add(name)
        headers.append(name)
    return tuple(headers)


class _Feed:
    """The lines csv.reader pulls, watched: how long the current record gets, and whether the file has ended."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._length = 0
        self.row = 0
        self.has_ended = False

    def begin_record(self) -> None:
        self.row += 1
        self._length = 0

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        if self.has_ended:
            raise StopIteration
        line = next(self._lines, None)
        if line is None:
            self.has_ended = True
            return _END
        self._length += len(line)
        if self._length > MAX_RECORD:
            raise CsvError(f"Row {self.row} is longer than 1 MiB. Is a quote left open?")
        return line


def _records(lines: Iterator[str], dialect: Dialect) -> Iterator[tuple[int, list[str] | RowError]]:
    feed = _Feed(lines)
    reader = dialect.reader(feed)
    while True:
        feed.begin_record()
        try:
            record = next(reader, None)
        except csv.Error:
            yield feed.row, RowError(feed.row, "A cell is longer than 128 KiB. Is a quote left open?")
            continue
        if record is None or record == [_END]:
            return
        if feed.has_ended:
            yield feed.row, RowError(feed.row, "A quote opened in this row is never closed; the rest is not read.")
            return
        yield feed.row, record
