"""Memory: an import of any length takes the same. NEWLEAF_TEST_IMPORT_ROWS makes it longer than 50,000 rows.

Kept as a list of LeadRow these rows would take 50 MiB, as Lead several times that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import lead_import
from engine.jobs import worker
from storage import imports, leads
from storage.database import transaction
from storage.imports import Order

ROWS = int(os.environ.get("NEWLEAF_TEST_IMPORT_ROWS", "50000"))
MAPPING = {"Name": "name", "Mail": "email", "Company": "company"}  # without phones: reading them takes most of the time
BOUND_BYTES = 24 * 1024 * 1024
STATM = Path("/proc/self/statm")


def generated(count: int) -> Iterator[bytes]:
    yield b"Name,Mail,Company\n"
    for number in range(count):
        yield f"Lead {number},lead{number}@example.com,Company {number % 1000}\n".encode()


def resident_bytes() -> int:
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not STATM.exists(), reason="needs /proc to see what is resident")
def test_memory_does_not_grow_with_the_file(database, engine, tenant, actor):
    if engine == "sqlite":
        database.execute_sql("PRAGMA cache_size = -4000")  # else its 64 MiB fill up meanwhile and hide what we keep
    upload = imports.keep(tenant, generated(ROWS))
    with transaction():
        batch = lead_import.confirm_upload(tenant, upload.oid, Order(MAPPING), actor)
    lane = lead_import.lane_of(batch.oid)
    for _ in range(10):
        worker.work_next(lane)

    before = most = resident_bytes()
    while worker.work_next(lane):
        most = max(most, resident_bytes())

    assert imports.get(tenant, batch.oid).imported == leads.count(tenant) == ROWS
    assert most - before < BOUND_BYTES
