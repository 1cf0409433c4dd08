"""Arguments as Connexion's own decorator takes them from the request."""

from __future__ import annotations

from typing import Any

from connexion.decorators.main import ASGIDecorator
from starlette.datastructures import UploadFile
from starlette.types import Receive, Scope

from server.arguments import ArgumentPlan
from server.requests import state


async def _given(**arguments: Any) -> dict[str, Any]:
    return arguments


class StockPlan(ArgumentPlan):
    """What one operation takes, read and converted by Connexion."""

    async def read(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        """The handler's arguments; of a raw body Connexion knows nothing.

        The request is the one that Connexion's context middleware has put forth.
        """
        if self.is_raw:
            return await super().read(scope, receive)
        given = await ASGIDecorator(pythonic_params=True)(_given)()
        files = {name: value for name, value in given.items() if isinstance(value, UploadFile)}
        state(scope).files = list(files.values())
        arguments = {name: value for name, value in given.items() if name in self.names and name not in files}
        arguments |= self.headers(scope)
        if files:  # handlers take them as members of the body
            arguments["body"] = {**arguments.get("body", {}), **files}
        return arguments
