"""A long CSV file as a job: rows a second, and the memory of the server process that does it.

The file is confirmed as `POST /api/leads/upload` would confirm it, but from this process, so that the server's memory
is that of the import and not that of receiving a large body.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from engine import lead_import
from engine.jobs import doorbell
from storage import accounts, database, imports
from storage.imports import ImportBatch, Order, Upload
from storage.tenancy import SYSTEM, Tenant

from . import house, people, servers, table
from .house import House

_PIECE_BYTES = 256 * 1024
_LOOK_EVERY_S = 0.2
_ROWS_PER_S = 20_000
_GROWTH_MIB = 30
SHORTEST = lead_import.AT_ONCE + 1  # rows: what is shorter is imported at once


@dataclass(frozen=True, slots=True)
class Imported:
    """One file's import, and the server's memory in MiB (PSS) before, at its highest, and after."""

    house: House
    seconds: float
    idle_mib: float
    peak_mib: float
    after_mib: float

    @property
    def rows_per_s(self) -> float:
        """Rows a second, from the confirmation to the end."""
        return self.house.leads / self.seconds


def run(count: int, folder: Path) -> Imported:
    """Import this many people into a new house with a server that does background work."""
    made = house.found(f"sqlite:///{folder}/imported_{count}.db")
    file = people.write_csv(folder / f"{count}.csv", count)
    command, cores = servers.newleaf_command(), servers.BOTH_CORES  # no client wants one
    with servers.serving(f"import of {count:,}", command, made, folder, cores) as server:
        idle = server.pss_mib()
        opened = database.connect(made.url)
        doorbell.configure(made.url)
        try:
            tenant = _tenant(made)
            with database.connection():
                upload = imports.keep(tenant, _chunks(file))
            started = time.monotonic()
            batch = _confirm(tenant, upload)
            peak = _await_end(tenant, batch, server, idle)
            seconds = time.monotonic() - started
        finally:
            doorbell.close()
            opened.close_all()
            file.unlink()
        after = server.pss_mib()
    return Imported(replace(made, leads=count), seconds, idle, peak, after)


def _tenant(made: House) -> Tenant:
    with database.connection():
        return accounts.tenant_row(made.account_id, "live").tenant


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while chunk := source.read(_PIECE_BYTES):
            yield chunk


def _confirm(tenant: Tenant, upload: Upload) -> ImportBatch:
    with database.connection():
        order = Order(people.MAPPING, [], "skip", "US")
        return lead_import.confirm_upload(tenant, upload.oid, order, SYSTEM)


def _await_end(tenant: Tenant, batch: ImportBatch, server: servers.Server, idle: float) -> float:
    """The highest memory until the batch is completed. Raises RuntimeError where it comes to another end."""
    peak = idle
    while True:
        time.sleep(_LOOK_EVERY_S)
        peak = max(peak, server.pss_mib())
        with database.connection():
            now = imports.get(tenant, batch.oid)
        if now.status == "completed":
            return peak
        if now.status not in ("queued", "running"):
            raise RuntimeError(f"The import is {now.status}: {now.failure}")


def measure(counts: tuple[int, int], folder: Path) -> tuple[list[table.Row], House]:
    """Rows of a short and a long file's import, and the house that the long one made."""
    short, long = (run(count, folder) for count in counts)
    growth = long.peak_mib - short.peak_mib
    rows = [
        table.Row(
            f"import of {each.house.leads:,} rows",
            f"{_ROWS_PER_S:,} rows/s",
            f"{each.rows_per_s:,.0f} rows/s",
            "",
            each.rows_per_s / _ROWS_PER_S,
            1.0,
        )
        for each in (short, long)
    ]
    grown = f"{short.peak_mib:.0f} → {long.peak_mib:.0f} MiB at most"
    rows += [
        table.Row("memory of the import", f"{_GROWTH_MIB} MiB more", grown, "", _GROWTH_MIB / max(growth, 1), 1.0),
        table.Row("memory of an idle server", "", f"{long.idle_mib:.0f} MiB", ""),
        table.Row(f"… after {long.house.leads:,} rows", "", f"{long.after_mib:.0f} MiB", ""),
    ]
    return rows, long.house
