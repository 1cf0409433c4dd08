"""What a person sees before an import: headers, the first rows, how many there are, a mapping to start from."""

from __future__ import annotations

from dataclasses import dataclass

from engine.imports.mapping import suggest_mapping
from engine.imports.source import CsvSource, SourceRow

_SAMPLE_ROWS = 50


@dataclass(frozen=True, slots=True)
class Preview:
    """`total_rows` counts every row that is not blank and no footer, also those that cannot be read."""

    headers: tuple[str, ...]
    preview_rows: tuple[dict[str, str], ...]
    total_rows: int
    mapping: dict[str, str]


def preview(source: CsvSource, n: int = 5) -> Preview:
    """A preview of the file with its first n readable rows; reads the source to its end, keeping 50 rows at most.

    Raises CsvError where the file stops making sense.
    """
    samples: list[dict[str, str]] = []
    total = 0
    for row in source:
        total += 1
        if isinstance(row, SourceRow) and len(samples) < max(n, _SAMPLE_ROWS):
            samples.append(row.cells)
    return Preview(source.headers, tuple(samples[:n]), total, suggest_mapping(source.headers, samples))
