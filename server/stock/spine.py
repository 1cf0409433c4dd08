"""The stock spine: Connexion's middlewares where it has one, newleaf's where it has none.

access log → errors → address limit → docs → [refusals → routing → security] → limits, scopes, size →
[parameters and body → context → arguments] → handler; what stands in brackets is Connexion's, in newleaf's words.
"""

from __future__ import annotations

from functools import partial

from connexion import ConnexionMiddleware
from connexion.middleware.context import ContextMiddleware
from connexion.middleware.lifespan import Lifespan, LifespanMiddleware
from connexion.middleware.request_validation import RequestValidationMiddleware
from connexion.middleware.routing import RoutingMiddleware
from connexion.middleware.security import SecurityMiddleware

from server.access import AccessMiddleware
from server.contract import Json
from server.docs import DocsMiddleware
from server.errors import ErrorMiddleware
from server.execution import Execution, Handler
from server.limits import AddressLimitMiddleware, RateLimits
from server.settings import Settings
from server.spine import Application, alive

from .arguments import StockPlan
from .gate import GateMiddleware, RoutedMiddleware, with_checks
from .refusals import RefusalMiddleware
from .validation import VALIDATORS, OneValueURIParser


class StockApplication(Application):
    """The innermost app, whose operations get their arguments from Connexion."""

    def __init__(self, document: Json, settings: Settings) -> None:
        super().__init__(document, settings)
        self.settings = settings

    def execution(self, operation_id: str, handler: Handler) -> Execution:
        """The Execution of the operation that Connexion resolved to this handler."""
        made = super().execution(operation_id, handler)
        made.plan = StockPlan(
            made.operation,
            body_limit=self.settings.body_limit_bytes,
            upload_limit=self.settings.upload_limit_bytes,
        )
        return made


def build(document: Json, settings: Settings, lifespan: Lifespan) -> ConnexionMiddleware:
    """The ASGI application that serves this document."""
    application = StockApplication(document, settings)
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
            RefusalMiddleware,
            RoutingMiddleware,
            RoutedMiddleware,
            SecurityMiddleware,
            partial(GateMiddleware, operations=application.operations, limits=limits, settings=settings),
            RequestValidationMiddleware,
            ContextMiddleware,
        ],
        pythonic_params=True,
        strict_validation=True,
        uri_parser_class=OneValueURIParser,
        validator_map=VALIDATORS,
    )
    app.add_api(with_checks(document))
    app.app, app.middleware_stack = app._build_middleware_stack()
    return app
