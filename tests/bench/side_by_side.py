"""newleaf beside the references, over copies of one database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import agreement, duel, servers, table
from .house import House
from .scale import Scale
from .servers import Server
from .works import Work

BY_HAND = "Starlette by hand"
AS_MOST = "FastAPI + SQLAlchemy"

COMMANDS = {
    "newleaf": servers.newleaf_command("--no-worker"),
    BY_HAND: servers.uvicorn_command("tests.bench.references.starlette_sqlite:app", "--no-access-log"),
    AS_MOST: servers.uvicorn_command("tests.bench.references.fastapi_app:app", "--no-access-log"),
}
_TARGETS = {BY_HAND: 1.0, AS_MOST: 10.0}
_SYNC_TARGETS = {BY_HAND: 0.95, AS_MOST: 3.0}


@contextlib.contextmanager
def all_serving(made: House, names: Sequence[str], folder: Path) -> Iterator[list[Server]]:
    """The servers of these names, each over its own copy of the database."""
    with contextlib.ExitStack() as running:
        started = []
        for name in names:
            own = folder / name.replace(" ", "-")
            own.mkdir()
            house = made.copy_to(own / "newleaf.db")
            started.append(running.enter_context(servers.serving(name, COMMANDS[name], house, own)))
        yield started


def measure(
    made: House, references: Sequence[str], works: Sequence[Work], scale: Scale, folder: Path
) -> list[table.Row]:
    """A row for each work against each reference."""
    with all_serving(made, ["newleaf", *references], folder) as started:
        agreement.require(started)
        speeds = duel.fight(started, works, rounds=scale.rounds, seconds=scale.seconds)
    return [
        table.against(work.name, reference, by["newleaf"], by[reference], _target(work, reference))
        for reference in references
        for work in works
        for by in [speeds[work.name]]
    ]


def _target(work: Work, reference: str) -> float:
    return (_SYNC_TARGETS if work.name.startswith("sync") else _TARGETS)[reference]
