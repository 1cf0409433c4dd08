"""What more leads cost: the same requests to houses of three sizes, and to the depth of the largest."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from . import duel, servers, table, works
from .house import House
from .scale import Scale

_TARGET = 0.67
_DEEP_TARGET = 0.5
_CONNECTIONS = 4  # a slow page is a slow page, it need not be waited for sixteen times


def measure(houses: Sequence[House], scale: Scale, folder: Path) -> list[table.Row]:
    """Rows of the largest house against the smallest, with a target, and of the others, without.

    houses: the smallest first.
    """
    with contextlib.ExitStack() as running:
        started = [
            running.enter_context(servers.serving(_name(house), servers.newleaf_command("--no-worker"), house, folder))
            for house in houses
        ]
        kinds = [replace(work, connections=_CONNECTIONS) for work in works.GROWING]
        speeds = duel.fight(started, kinds, rounds=scale.rounds, seconds=scale.seconds)
        deep = _measure_depth(started[-1], scale)
    smallest, *larger = houses
    return [
        table.against(
            f"{_name(house)}: {work.name}",
            _name(smallest),
            by[_name(house)],
            by[_name(smallest)],
            _TARGET if house is houses[-1] else None,
        )
        for work in works.GROWING
        for by in [speeds[work.name]]
        for house in larger
    ] + deep


def _name(house: House) -> str:
    return f"{house.leads:,} leads"


def _measure_depth(server: servers.Server, scale: Scale) -> list[table.Row]:
    depth = server.house.leads * 9 // 10
    with server.client() as client:
        before = client.get("/api/leads", params={"limit": 1, "skip": depth - 1})
    following = before.headers["link"].partition("cursor=")[2].partition(">")[0]
    by_cursor = works.reading(f"page at {depth:,} by cursor", "/api/leads", limit=50, cursor=following)
    by_skip = works.reading(f"page at {depth:,} by skip", "/api/leads", limit=50, skip=depth)
    kinds = [replace(work, connections=_CONNECTIONS) for work in (works.LIST, by_cursor, by_skip)]
    speeds = duel.fight([server], kinds, rounds=scale.rounds, seconds=scale.seconds)
    first = speeds[works.LIST.name][server.name]
    return [
        table.against(by_cursor.name, "first page", speeds[by_cursor.name][server.name], first, _DEEP_TARGET),
        table.against(by_skip.name, "first page", speeds[by_skip.name][server.name], first, None),
    ]
