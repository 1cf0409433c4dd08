"""Rounds: every server does the same work in turn, again and again, so that what slows the machine slows them all."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from . import client
from .servers import Server
from .works import Work


@dataclass(slots=True)
class Speed:
    """How fast one server did one work: requests a second of each round, and its processor time a request."""

    rounds: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    client_shares: list[float] = field(default_factory=list)  # of its core: at 1 the client is what is measured

    @property
    def median(self) -> float:
        """Requests a second in the median round."""
        return statistics.median(self.rounds)

    def add(self, load: client.Load, cpu_s: float) -> None:
        """Count a round."""
        self.rounds.append(load.per_second)
        self.cpu_us.append(cpu_s / load.requests * 1e6)
        self.client_shares.append(load.client_seconds / load.seconds)


class Streams:
    """The requests of each server to each work: one stream over all rounds, so that nothing is sent twice."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], Iterator[bytes]] = {}

    def of(self, server: Server, work: Work) -> Iterator[bytes]:
        """Where the last round stopped."""
        key = (server.name, work.name)
        if key not in self._open:
            self._open[key] = work.requests(server.house)
        return self._open[key]


def measure(server: Server, work: Work, requests: Iterator[bytes], seconds: float, speed: Speed) -> None:
    """One round of one server, after a short one that does not count."""
    run = {"status": work.status, "connections": work.connections}
    client.load(server.port, requests, seconds=min(0.2, seconds / 4), **run)
    before = server.cpu_s()
    load = client.load(server.port, requests, seconds=seconds, **run)
    speed.add(load, server.cpu_s() - before)


def fight(
    servers: Sequence[Server], works: Sequence[Work], *, rounds: int, seconds: float
) -> dict[str, dict[str, Speed]]:
    """The speed of each server in each work, by the work's name and the server's."""
    streams = Streams()
    speeds = {work.name: {server.name: Speed() for server in servers} for work in works}
    for work in works:
        for number in range(rounds):
            turn = servers if number % 2 == 0 else list(reversed(servers))
            for server in turn:
                measure(server, work, streams.of(server, work), seconds, speeds[work.name][server.name])
    return speeds
