"""Connexion's refusals in the words and the shape of the contract."""

from __future__ import annotations

import json
from typing import cast

from connexion.exceptions import (
    BadRequestProblem,
    OAuthProblem,
    ProblemException,
    UnsupportedMediaTypeProblem,
)
from jsonschema import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from server.contract import Json
from server.errors import UnsupportedMediaType
from server.schemas import pointer
from storage.errors import Invalid, Malformed, NewleafError, Problem, Unauthenticated


def _missing(error: ValidationError, required: list[str]) -> str:
    """The member that a `required` misses: jsonschema tells it in its message alone."""
    return max((name for name in required if error.message.startswith(repr(name))), key=len)


def _unknown(members: Json, schema: Json) -> str:
    return next(name for name in members if name not in schema.get("properties", {}))


def where(error: ValidationError) -> str:
    """JSON pointer to what a validation error is about: a member that is missing or unknown is pointed at itself."""
    path = list(error.absolute_path)
    if error.validator == "required":
        path.append(_missing(error, cast("list[str]", error.validator_value)))
    elif error.validator == "additionalProperties" and error.validator_value is False:
        path.append(_unknown(cast(Json, error.instance), cast(Json, error.schema)))
    return pointer(path).encode("utf-8", "replace").decode()  # Connexion lets lone surrogates into names


def _told(problem: ProblemException) -> NewleafError:
    cause = problem.__context__
    if isinstance(problem, OAuthProblem):
        return Unauthenticated("authentication_required", "Authentication required")
    if isinstance(problem, UnsupportedMediaTypeProblem):
        return UnsupportedMediaType("unsupported_media_type", "Unsupported content type")
    if isinstance(cause, json.JSONDecodeError):
        return Malformed("malformed_json", "Malformed JSON")
    path = where(cause) if isinstance(cause, ValidationError) else ""
    text = f"invalid by `{cause.validator}`" if isinstance(cause, ValidationError) else "Request body is invalid"
    return Invalid("validation_failed", "The request is invalid", problems=[Problem(path, text)])


class RefusalMiddleware:
    """Lets through what newleaf refuses, and says what Connexion refuses as newleaf would."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request. Raises NewleafError in place of Connexion's problems."""
        try:
            await self.app(scope, receive, send)
        except (BadRequestProblem, OAuthProblem, UnsupportedMediaTypeProblem) as problem:
            raise _told(problem) from problem
