"""The run: `python -m tests.bench [--quick] [--only …] [--json FILE]`; exits 1 when a ratio misses its target."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from . import growth, house, importing, processes, routes, scale, servers, side_by_side, table, works
from .house import House
from .scale import Scale

_LEADS = 10_000  # in the houses of everything but growth
_ROOM_BYTES = 4 * 2**30
_WORKS = ("list", "get", "filter", "create", "sync")

Rows = list[table.Row]


class _Run:
    """The parts of a run, each over houses that are built when first asked for."""

    def __init__(self, chosen: Scale, folder: Path) -> None:
        self.scale = chosen
        self.folder = folder
        self._made: House | None = None

    @property
    def made(self) -> House:
        """The house that most parts copy."""
        if self._made is None:
            self._made = self._furnished("made", _LEADS)
        return self._made

    def _furnished(self, name: str, leads: int) -> House:
        return house.furnish(house.found(f"sqlite:///{self.folder}/{name}.db"), leads, self.folder)

    def sqlite(self) -> Rows:
        """newleaf beside both references."""
        kinds = [works.SIDE_BY_SIDE[name] for name in _WORKS]
        return side_by_side.measure(self.made, side_by_side.ON_SQLITE, kinds, self.scale, self.folder)

    def by_hand(self, names: Sequence[str]) -> Rows:
        """newleaf beside the reference written by hand, for these works alone."""
        targets = {side_by_side.BY_HAND: side_by_side.ON_SQLITE[side_by_side.BY_HAND]}
        kinds = [works.SIDE_BY_SIDE[name] for name in names]
        return side_by_side.measure(self.made, targets, kinds, self.scale, self.folder)

    def postgres(self) -> Rows:
        """The same over PostgreSQL."""
        with house.postgres(self.folder / "postgres") as url:
            made = house.furnish(house.found(url), _LEADS, self.folder)
            kinds = [works.SIDE_BY_SIDE[name] for name in _WORKS]
            targets = side_by_side.ON_POSTGRES
            return side_by_side.measure(made, targets, kinds, self.scale, self.folder, "PostgreSQL: ")

    def start(self) -> Rows:
        """How soon a server answers."""
        return processes.measure_start(self.made, self.scale, self.folder)

    def routes(self) -> Rows:
        """What more routes cost."""
        return routes.measure(self.made, self.scale, self.folder)

    def workers(self) -> Rows:
        """What a second server process adds."""
        return processes.measure_two(self.made, self.scale, self.folder)

    def growth(self) -> Rows:
        """A long import, and what the leads it brings cost the reads."""
        rows, large = importing.measure((importing.SHORTEST, self.scale.large), self.folder)
        smaller = [self._furnished(f"house_{leads}", leads) for leads in (self.scale.small, self.scale.middle)]
        return rows + growth.measure([*smaller, large], self.scale, self.folder)


_PARTS: dict[str, Callable[[_Run], Rows]] = {
    "sqlite": _Run.sqlite,
    "start": _Run.start,
    "routes": _Run.routes,
    "growth": _Run.growth,
    "postgres": _Run.postgres,
    "workers": _Run.workers,
}


def _parts(only: str) -> tuple[list[str], list[str]]:
    """The works and the parts that `--only` names; every part where it names nothing. Raises UsageError."""
    names = [name for name in only.split(",") if name] or list(_PARTS)
    for name in names:
        if name not in works.SIDE_BY_SIDE and name not in _PARTS:
            raise click.UsageError(f"--only takes {', '.join([*works.SIDE_BY_SIDE, *_PARTS])}; not {name}.")
    return [name for name in names if name in works.SIDE_BY_SIDE], [name for name in names if name in _PARTS]


def _memory() -> Path | None:
    """Where files are in memory; None where that is not to be had."""
    place = Path("/dev/shm")
    has_room = place.is_dir() and shutil.disk_usage(place).free > _ROOM_BYTES
    return place if has_room and os.access(place, os.W_OK) else None


def _measured(run: _Run, kinds: Sequence[str], parts: Sequence[str]) -> Iterator[Rows]:
    if kinds:
        yield run.by_hand(kinds)
    for part in parts:
        click.echo(f"measuring: {part}", err=True)
        yield _PARTS[part](run)


@click.command()
@click.option("--quick", is_flag=True, help="Fewer, shorter rounds and smaller houses: three minutes, not twenty.")
@click.option(
    "--only", default="", help=f"Comma-separated, works: {', '.join(works.SIDE_BY_SIDE)}; {', '.join(_PARTS)}."
)
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="Where the databases lie; in memory if not given, for a disk makes all alike.",
)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the ratios here.")
@click.option(
    "--markdown", "markdown_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the table here."
)
def main(quick: bool, only: str, folder: Path | None, json_path: Path | None, markdown_path: Path | None) -> None:
    """Measure newleaf beside its references and print the table."""
    kinds, parts = _parts(only)
    started = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends the run ends its servers
    os.sched_setaffinity(0, servers.CLIENT_CORES)
    rows: Rows = []
    try:
        with tempfile.TemporaryDirectory(prefix="newleaf-bench-", dir=folder or _memory()) as name:
            run = _Run(scale.QUICK if quick else scale.FULL, Path(name))
            for measured in _measured(run, kinds, parts):
                rows += measured
    finally:  # what one part cannot measure shall not hide what the others did
        table.show(rows, f"newleaf, measured in {time.monotonic() - started:.0f} s")
    if json_path is not None:
        table.write_json(rows, json_path)
    if markdown_path is not None:
        table.write_markdown(rows, markdown_path)
    sys.exit(any(row.verdict == "MISS" for row in rows))


if __name__ == "__main__":
    main()
