"""The spine: Connexion's middlewares in newleaf's order, over an application of one Execution per operation.

access log → errors → address limit → docs → routing → gate (key, limits, scopes) → arguments → handler
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from connexion import ConnexionMiddleware
from connexion.middleware.abstract import RoutedAPI, RoutedMiddleware
from connexion.middleware.lifespan import Lifespan, LifespanMiddleware
from connexion.middleware.main import API
from connexion.spec import OpenAPISpecification
from starlette.types import Receive, Scope, Send

from .access import AccessMiddleware
from .arguments import ArgumentPlan
from .contract import Json, Operation, dereference, operations
from .docs import DocsMiddleware
from .errors import ErrorMiddleware
from .execution import Execution, Handler
from .limits import AddressLimitMiddleware, RateLimits
from .routing import RoutingMiddleware
from .security import GateMiddleware
from .settings import Settings
from .threads import Threads, WriterThread


class _Executions(RoutedAPI[Execution]):
    def __init__(self, *args: Any, application: Application, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._application = application
        self.add_paths()

    def make_operation(self, operation: Any) -> Execution:
        return self._application.execution(operation.operation_id, operation.function)


class Application(RoutedMiddleware[_Executions]):
    """The innermost app: finds the operation's Execution and runs it."""

    def __init__(self, document: Json, settings: Settings) -> None:
        super().__init__(_nothing)
        self.operations = {
            operation.id: Operation(operation.method, operation.path, dereference(document, operation.spec))
            for operation in operations(document)
        }
        self._settings = settings
        self.threads = Threads(settings.threads)
        self.writer = WriterThread()
        self._handlers: dict[str, Handler] = {}

    def add_api(self, specification: Any, **kwargs: Any) -> _Executions:
        """Build the executions of a document."""
        api = _Executions(specification, next_app=self.app, application=self, **kwargs)
        self.apis[api.base_path].append(api)
        for execution in api.operations.values():
            execution.read_one = self._reader(execution.operation)
        return api

    def execution(self, operation_id: str, handler: Handler) -> Execution:
        """The Execution of the operation that Connexion resolved to this handler."""
        operation = self.operations[operation_id.rpartition(".")[2]]
        self._handlers[operation.id] = handler
        plan = ArgumentPlan(
            operation,
            body_limit=self._settings.body_limit_bytes,
            upload_limit=self._settings.upload_limit_bytes,
        )
        return Execution(operation, handler, plan, self.threads, self.writer)

    def _reader(self, operation: Operation) -> Handler | None:
        """What reads the object that this write changes: the GET at its path, or at the nearest path above it."""
        takes_if_match = any(parameter["name"] == "If-Match" for parameter in operation.spec["parameters"])
        path = operation.path if takes_if_match else ""
        while path:
            for candidate in self.operations.values():
                if candidate.method == "get" and candidate.path == path:
                    return self._handlers[candidate.id]
            path = path.rpartition("/")[0]
            if "{" not in path:  # a list, which is not what changes
                break
        return None


class _Judged(OpenAPISpecification):
    """A document that was judged before it was shipped, by `newleaf openapi lint`: again takes half a second."""

    @classmethod
    def _validate_spec(cls, spec: Json) -> None:
        """Nothing is left to find."""


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """What follows the application: nothing, every routed request has ended before."""


def alive(application: Application, limits: RateLimits, lifespan: Lifespan) -> Lifespan:
    """The lifespan of an application, within that of what it stands on: at its end what was begun is finished first."""

    @asynccontextmanager
    async def lasting(app: Any) -> AsyncIterator[None]:
        async with lifespan(app):
            try:
                yield
            finally:
                application.writer.close()
                application.threads.close()
                await limits.close()

    return lasting


def build(document: Json, settings: Settings, lifespan: Lifespan) -> ConnexionMiddleware:
    """The ASGI application that serves this document."""
    application = Application(document, settings)
    limits = RateLimits(settings)
    app = ConnexionMiddleware(
        application,
        import_name="server",
        lifespan=alive(application, limits, lifespan),
        middlewares=[
            AccessMiddleware,
            ErrorMiddleware,
            partial(AddressLimitMiddleware, limits=limits),
            DocsMiddleware,
            LifespanMiddleware,
            RoutingMiddleware,
            partial(GateMiddleware, operations=application.operations, limits=limits),
        ],
        pythonic_params=True,
    )
    app.apis.append(API(_Judged(document), base_path=None, name=None, **vars(app.options)))
    # Left alone Connexion builds at the first request, and a server that cannot work would start and answer 500.
    app.app, app.middleware_stack = app._build_middleware_stack()
    return app
