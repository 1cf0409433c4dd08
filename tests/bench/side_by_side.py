"""newleaf beside the references, over copies of one database."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from . import agreement, duel, servers, table
from .house import House
from .scale import Scale
from .servers import Server
from .works import Work

BY_HAND = "Starlette by hand"
AS_MOST = "FastAPI + SQLAlchemy"

_COMMANDS = {
    "newleaf": servers.newleaf_command("--no-worker"),
    BY_HAND: servers.uvicorn_command("tests.bench.references.by_hand.app:app", "--no-access-log"),
    AS_MOST: servers.uvicorn_command("tests.bench.references.as_most.app:app", "--no-access-log"),
}

# How many times as fast newleaf shall be: as a rule, and where a work has a target of its own.
Targets = Mapping[str, Mapping[str, float]]
ON_SQLITE: Targets = {BY_HAND: {"": 1.0, "sync 100": 0.95}, AS_MOST: {"": 10.0, "sync 100": 3.0}}
ON_POSTGRES: Targets = {BY_HAND: {"": 1.0}, AS_MOST: {"": 5.0}}


@contextlib.contextmanager
def all_serving(made: House, names: Sequence[str], folder: Path) -> Iterator[list[Server]]:
    """The servers of these names, each over its own copy of the database."""
    own = Path(tempfile.mkdtemp(dir=folder))
    with contextlib.ExitStack() as running:
        started = []
        for number, name in enumerate(names):
            house = made.copy(f"side_{number}", own)
            started.append(running.enter_context(servers.serving(name, _COMMANDS[name], house, own)))
        yield started


def measure(
    made: House, targets: Targets, works: Sequence[Work], scale: Scale, folder: Path, label: str = ""
) -> list[table.Row]:
    """A row for each work against each reference that has targets. Raises Disagreement before anything is timed."""
    with all_serving(made, ["newleaf", *targets], folder) as started:
        agreement.require(started)
        speeds = duel.fight(started, works, rounds=scale.rounds, seconds=scale.seconds)
    return [
        table.against(label + work.name, reference, by["newleaf"], by[reference], goals.get(work.name, goals[""]))
        for reference, goals in targets.items()
        for work in works
        for by in [speeds[work.name]]
    ]
