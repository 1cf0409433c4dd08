"""Memory: a file is streamed, so its length must not show. Kept as lists, these rows would take tens of MiB."""

import itertools
import tracemalloc
from collections.abc import Iterable

from engine.imports import CsvSource, open_csv, preview, rows_to_leads


def generated(count: int) -> CsvSource:
    rows = (f"Lead {n},lead{n}@example.com\n".encode() for n in range(count))
    return open_csv(itertools.chain([b"Name,Mail\n"], rows))


def peak_bytes(items: Iterable[object], count: int) -> int:
    tracemalloc.start()
    try:
        assert sum(1 for _ in items) == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_reading_two_hundred_thousand_rows_takes_no_more_than_a_block():
    assert peak_bytes(generated(200_000), 200_000) < 2 * 1024 * 1024


def test_leads_are_not_gathered():
    leads = rows_to_leads(generated(20_000), {"Name": "name", "Mail": "email"})

    assert peak_bytes(leads, 20_000) < 2 * 1024 * 1024


def test_preview_keeps_a_few_rows_only():
    tracemalloc.start()

    seen = preview(generated(20_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert seen.total_rows == 20_000
    assert peak < 2 * 1024 * 1024
