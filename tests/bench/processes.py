"""What is said of whole processes: how soon a server answers, and what a second one adds."""

from __future__ import annotations

import contextlib
import statistics
from pathlib import Path

from . import duel, servers, table, works
from .house import House
from .scale import Scale

_START_S = 3.0


def measure_start(made: House, scale: Scale, folder: Path) -> list[table.Row]:
    """The row of the time from the command to the first answer."""
    taken, cpu_s = [], []
    for number in range(scale.starts):
        with servers.serving(f"start {number}", servers.newleaf_command(), made, folder) as server:
            taken.append(server.started_s)
            cpu_s.append(server.cpu_s())
    median = statistics.median(taken)
    told = f"{median:.2f} s ({min(taken):.2f}…{max(taken):.2f}), {statistics.median(cpu_s):.2f} s of processor"
    return [table.Row("start to first answer", f"{_START_S:g} s", told, "", _START_S / median, 1.0)]


def measure_two(made: House, scale: Scale, folder: Path) -> list[table.Row]:
    """Rows of two server processes against one; the client takes its part of the two cores too."""
    with contextlib.ExitStack() as running:
        started = [
            running.enter_context(
                servers.serving(
                    f"{count} server processes",
                    servers.newleaf_command("--no-worker", "--workers", str(count)),
                    made.copy(f"workers_{count}", folder),
                    folder,
                    servers.BOTH_CORES,
                )
            )
            for count in (2, 1)
        ]
        kinds = (works.LIST, works.GET, works.CREATE)
        speeds = duel.fight(started, kinds, rounds=scale.rounds, seconds=scale.seconds)
    return [table.against(f"two processes: {work.name}", "one", *speeds[work.name].values(), None) for work in kinds]
