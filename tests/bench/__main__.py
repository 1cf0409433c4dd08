"""The run: `python -m tests.bench [--quick] [--only …] [--json FILE]`; exits 1 when a ratio misses its target."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import click

from . import house, scale, servers, side_by_side, table, works

LEADS = 10_000  # in the house of the works that are compared side by side


@click.command()
@click.option("--quick", is_flag=True, help="Fewer, shorter rounds and smaller houses: three minutes, not twenty.")
@click.option("--only", default="", help=f"Comma-separated: {', '.join(works.SIDE_BY_SIDE)}.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the ratios here.")
def main(quick: bool, only: str, json_path: Path | None) -> None:
    """Measure newleaf beside its references and print the table."""
    started = time.monotonic()
    os.sched_setaffinity(0, servers.CLIENT_CORES)
    chosen = scale.QUICK if quick else scale.FULL
    names = only.split(",") if only else list(works.SIDE_BY_SIDE)
    with tempfile.TemporaryDirectory(prefix="newleaf-bench-") as name:
        folder = Path(name)
        made = house.furnish(house.found(f"sqlite:///{folder}/made.db"), LEADS, folder)
        rows = side_by_side.measure(
            made, [side_by_side.BY_HAND], [works.SIDE_BY_SIDE[each] for each in names], chosen, folder
        )
    table.show(rows, f"newleaf, {time.monotonic() - started:.0f} s")
    if json_path is not None:
        table.write_json(rows, json_path)
    sys.exit(any(row.verdict == "MISS" for row in rows))


main()
