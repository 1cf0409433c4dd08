"""What more routes cost: the contract cut down to ten operations, and filled up to two hundred.

`few` and `many` are application factories for uvicorn. The routes that nobody asks for stand before those that are
asked for, and have as many segments, so a search from the first route to the last would meet them all.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from connexion import ConnexionMiddleware

from server import app, contract, spine
from server.settings import settings
from storage.tenancy import Caller

from . import duel, servers, table, works
from .house import House
from .scale import Scale

_ASKED_FOR = ("/api/leads", "/api/leads/{id}", "/api/leads/preview", "/api/leads/sync")
_FEW, _MANY = 10, 200
_TARGET = 0.95
_OWN = "filler_"


def __getattr__(name: str) -> Callable[..., Any]:
    if name.startswith(_OWN):
        return _filler
    raise AttributeError(name)


def _filler(user: Caller, id_: int) -> dict[str, Any]:
    return {"id": id_, "key": user.key_id}


def _filler_path(document: contract.Json, number: int) -> contract.Json:
    operation = {
        **document["paths"]["/api/leads/{id}"]["get"],
        "operationId": f"{_OWN}{number}",
        "x-openapi-router-controller": __name__,
    }
    return {"parameters": document["paths"]["/api/leads/{id}"]["parameters"], "get": operation}


def _count(paths: contract.Json) -> int:
    return sum(method in item for item in paths.values() for method in contract.METHODS)


def _document(count: int) -> contract.Json:
    document = contract.document()
    asked_for = {path: document["paths"][path] for path in _ASKED_FOR}
    fillers = {f"/api/filler-{number}/{{id}}": _filler_path(document, number) for number in range(count)}
    missing = count - _count(asked_for)
    document["paths"] = {**dict(list(fillers.items())[:missing]), **asked_for}
    assert _count(document["paths"]) == count
    return document


@contextlib.asynccontextmanager
async def _alive(_app: Any) -> AsyncIterator[None]:
    yield


def _build(count: int) -> ConnexionMiddleware:
    app.prepare(settings())
    return spine.build(_document(count), settings(), _alive)


def few() -> ConnexionMiddleware:
    """newleaf with ten operations."""
    return _build(_FEW)


def many() -> ConnexionMiddleware:
    """newleaf with two hundred."""
    return _build(_MANY)


def measure(made: House, scale: Scale, folder: Path) -> list[table.Row]:
    """Rows of many routes against few."""
    with contextlib.ExitStack() as running:
        started = []
        for name, factory in ((f"{_MANY} routes", "many"), (f"{_FEW} routes", "few")):
            command = servers.uvicorn_command(f"tests.bench.routes:{factory}", "--factory", "--no-access-log")
            house = made.copy(f"routes_{factory}", folder)
            started.append(running.enter_context(servers.serving(name, command, house, folder)))
        speeds = duel.fight(started, [works.GET], rounds=2 * scale.rounds + 1, seconds=scale.seconds)
    own, other = speeds[works.GET.name].values()
    return [table.against(f"{_MANY} routes: {works.GET.name}", f"{_FEW} routes", own, other, _TARGET)]
