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

MAX_COLUMNS = 200
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
    """A row's number (the header is 1) and its texts as written, of which there may be fewer or more than headers."""

    number: int
    texts: list[str]
    headers: tuple[str, ...]

    @property
    def cells(self) -> dict[str, str]:
        """The texts by header, in that order; those beyond the header, where there is one, as "Column N"."""
        width = len(self.headers)
        cells = dict.fromkeys(self.headers, "")
        cells.update(zip(self.headers, self.texts, strict=False))
        beyond = enumerate(self.texts[width:], width + 1)
        cells.update((f"Column {place}", text) for place, text in beyond if text.strip())
        return cells


class CsvSource:
    """Headers at once, rows by iterating, once: SourceRow, or RowError for a record that cannot be read.

    Blank rows and the report footer are skipped but counted in row numbers. Raises CsvError while iterating if the
    bytes stop making sense.
    """

    def __init__(self, encoding: str, pieces: Iterable[str]) -> None:
        pieces = iter(pieces)
        sample = next(pieces, "")
        dialect = detect(sample)
        self.encoding = encoding
        self.delimiter = dialect.delimiter
        self._feed = _Feed(chain([sample], pieces))
        if dialect.has_directive:
            next(line for line in self._feed.lines if line.strip())
        self._records = _records(self._feed, dialect)
        self.headers = self._read_headers()

    def __iter__(self) -> Iterator[SourceRow | RowError]:
        headers = self.headers
        empty_lines = 0
        held: list[SourceRow] = []  # a footer, unless a real row follows
        for number, record in self._records:
            if isinstance(record, RowError):
                row: SourceRow | RowError = record
            elif not (record and record[0].strip()) and not any(cell.strip() for cell in record):
                empty_lines += len(record) <= 1
                continue
            elif empty_lines >= 2 and self._may_be_footer(record, held):
                held.append(SourceRow(number, record, headers))
                continue
            else:
                row = self._row(number, record)
            if held:
                yield from held
                held.clear()
            empty_lines = 0
            yield row

    def _read_headers(self) -> tuple[str, ...]:
        for _, record in self._records:
            if isinstance(record, RowError):
                raise CsvError(f"The header row cannot be read: {record.message}")
            if len(record) > MAX_COLUMNS:
                raise CsvError(f"The file has {len(record)} columns; {MAX_COLUMNS} is the most.")
            if any(cell.strip() for cell in record):
                return clean_headers(record)
        return ()

    def _row(self, number: int, record: list[str]) -> SourceRow | RowError:
        text = "".join(record)
        if self._feed.may_hold_no_text and _NOT_TEXT.search(text):
            return RowError(number, "The row contains characters that are not text (NUL or half a character).")
        if ("\n" in text or "\r" in text) and self._swallowed_rows(record):
            return RowError(number, "A quote opened in this row is not closed and takes in the rows below it.")
        return SourceRow(number, record, self.headers)

    def _swallowed_rows(self, record: Sequence[str]) -> bool:
        """Whether a cell holds whole rows: lines with as many delimiters as a wide row has. Prose has not that many."""
        separators = len(self.headers) - 1
        return separators >= 7 and any(
            line.count(self.delimiter) >= separators
            for cell in record
            if "\n" in cell or "\r" in cell
            for line in cell.splitlines()[1:-1]
        )

    def _may_be_footer(self, record: Sequence[str], held: Sequence[SourceRow]) -> bool:
        return (
            len(held) < MAX_FOOTER_ROWS
            and len(record) < len(self.headers)
            and not any("@" in cell or _PHONE_CELL.fullmatch(cell.strip()) for cell in record)
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

    def __init__(self, pieces: Iterable[str]) -> None:
        self.lines = chain.from_iterable(self._watched(pieces))
        self.row = 0
        self.has_ended = False
        self.may_hold_no_text = False

    def _watched(self, pieces: Iterable[str]) -> Iterator[list[str]]:
        length = last = row = 0
        for lines in split_lines(self._seen(pieces)):
            length = length + last if self.row == row else 0  # of whole pieces that no record ended in
            if length > MAX_RECORD:
                raise CsvError(f"Row {self.row + 1} is longer than 1 MiB. Is a quote left open?")
            last, row = sum(map(len, lines)), self.row
            yield lines
        self.has_ended = True
        yield [_END]

    def _seen(self, pieces: Iterable[str]) -> Iterator[str]:
        for piece in pieces:
            if "\x00" in piece or not (piece.isascii() or _NOT_TEXT.search(piece) is None):
                self.may_hold_no_text = True
            yield piece


def _records(feed: _Feed, dialect: Dialect) -> Iterator[tuple[int, list[str] | RowError]]:
    reader = dialect.reader(feed.lines)
    while True:
        try:
            for record in reader:
                feed.row += 1
                if feed.has_ended:
                    if record != [_END]:
                        message = "A quote opened in this row is never closed; the rest is not read."
                        yield feed.row, RowError(feed.row, message)
                    return
                yield feed.row, record
            return
        except csv.Error:
            feed.row += 1
            yield feed.row, RowError(feed.row, "A cell is longer than 128 KiB. Is a quote left open?")
