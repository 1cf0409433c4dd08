"""Arguments: what an operation takes from path, query, headers and body, as a plan compiled once from the contract.

Unlike stock Connexion it finds all problems at once, checks formats, fills no defaults into bodies, and names what it
refuses in the contract's words. Argument names are those of Connexion's `pythonic_params`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from connexion.decorators.parameter import pythonic
from starlette.datastructures import UploadFile
from starlette.types import Receive, Scope

from engine import channels
from handlers.answers import RawBody
from storage.errors import Invalid, Malformed, Problem

from . import bodies
from .contract import Operation
from .errors import UnsupportedMediaType
from .requests import header, state
from .schemas import Validator

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_JSON = "application/json"
_NUL = b"\\u0000"
_MULTIPART = "multipart/form-data"
_OF_THE_SPINE = ("Idempotency-Key", "If-Match")  # headers that no handler takes


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: how its text becomes a value, and what values are allowed."""

    name: str
    location: str
    argument: str
    required: bool
    default: Any
    validator: Validator

    @classmethod
    def of(cls, spec: dict[str, Any]) -> Parameter:
        """The parameter that this dereferenced Parameter Object describes."""
        schema = spec["schema"]
        return cls(
            spec["name"],
            spec["in"],
            pythonic(spec["name"]),
            bool(spec.get("required")),
            schema.get("default"),
            Validator(schema, spec["name"]),
        )

    def value(self, text: str) -> Any:
        """The text as the type of the schema; unchanged where it is none, so that the validator refuses it."""
        schema = self.validator.schema
        if schema["type"] == "integer":
            return int(text) if _INTEGER.fullmatch(text) else text
        if schema["type"] == "boolean":
            return {"true": True, "false": False}.get(text, text)
        if schema["type"] == "array":
            return text.split(",")
        return text

    def problems(self, value: Any) -> list[Problem]:
        """What is wrong with this value, each under the parameter's name."""
        return [Problem(self.name, problem.message) for problem in self.validator.problems(value)]


def _query(scope: Scope) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    try:
        text = scope["query_string"].decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=200)
    except ValueError:
        raise Malformed("malformed_query", "The query string is malformed") from None
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def _raw_body(scope: Scope, raw: bytes) -> RawBody:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in state(scope).incoming.items()}
    base = channels.endpoints().public_url or f"{scope['scheme']}://{headers.get('host', '')}"
    query = scope["query_string"].decode("latin-1")
    url = base + scope["path"] + (f"?{query}" if query else "")
    query_values = {name: values[-1] for name, values in _query(scope).items()}
    return RawBody(raw, headers, url, query_values, state(scope).address)


class ArgumentPlan:
    """Everything one operation takes."""

    def __init__(self, operation: Operation, *, body_limit: int, upload_limit: int) -> None:
        parameters = [Parameter.of(spec) for spec in operation.spec["parameters"]]
        self.by_query = {parameter.name: parameter for parameter in parameters if parameter.location == "query"}
        self.by_path = [parameter for parameter in parameters if parameter.location == "path"]
        self.passed = [each for each in parameters if each.location == "header" and each.name not in _OF_THE_SPINE]
        self.by_header = [parameter for parameter in parameters if parameter.location == "header"]
        self.limit = upload_limit if operation.spec.get("x-body-limit") == "upload" else body_limit
        self.is_raw = operation.spec.get("x-raw-body") is True
        body = operation.spec.get("requestBody", {})
        self.body_required = bool(body.get("required"))
        self.media = {
            media_type: Validator(content["schema"], "Request body")
            for media_type, content in body.get("content", {}).items()
        }

    @property
    def names(self) -> set[str]:
        """What a handler must accept."""
        names = {parameter.argument for parameter in [*self.by_query.values(), *self.by_path, *self.passed]}
        return names | {"body"} if self.media or self.is_raw else names

    async def read(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        """The handler's arguments. Raises Invalid with all problems, TooLarge, UnsupportedMediaType."""
        arguments: dict[str, Any] = {}
        problems = self._from_query(scope, arguments) + self._from_path(scope, arguments) + self._check_headers(scope)
        arguments |= self.headers(scope)
        raw = await bodies.read(scope, receive, self.limit)
        media_type, boundary = bodies.content_type(scope)
        request = state(scope)
        request.body_size = len(raw)
        if b"idempotency-key" in request.incoming:
            request.body_hash = bodies.digest(raw, boundary)
        if self.is_raw:
            arguments["body"] = _raw_body(scope, raw)
        elif self.media:
            problems += await self._from_body(scope, raw, media_type or _JSON, arguments)
        if problems:
            raise Invalid("validation_failed", problems[0].message, problems=problems)
        if _NUL in raw and "body" in arguments and media_type != _MULTIPART and not self.is_raw:
            bodies.refuse_nul(arguments["body"])
        return arguments

    def _from_query(self, scope: Scope, arguments: dict[str, Any]) -> list[Problem]:
        problems: list[Problem] = []
        given = _query(scope) if scope["query_string"] else {}
        for name, values in given.items():
            parameter = self.by_query.get(name)
            if parameter is None:
                problems.append(Problem(name[:100], f"Unknown query parameter {name[:100]}"))
            elif len(values) > 1:
                problems.append(Problem(name, f"{name} is given more than once"))
            else:
                value = parameter.value(values[0])
                problems += parameter.problems(value)
                arguments[parameter.argument] = value
        for name, parameter in self.by_query.items():
            if name not in given:
                if parameter.required:
                    problems.append(Problem(name, f"{name} is required"))
                elif parameter.default is not None:
                    arguments[parameter.argument] = parameter.default
        return problems

    def _from_path(self, scope: Scope, arguments: dict[str, Any]) -> list[Problem]:
        problems: list[Problem] = []
        for parameter in self.by_path:
            value = parameter.value(scope["path_params"][parameter.name])
            problems += parameter.problems(value)
            arguments[parameter.argument] = value
        return problems

    def headers(self, scope: Scope) -> dict[str, Any]:
        """The headers that the handler takes, as they came."""
        return {each.argument: value for each in self.passed if (value := header(scope, each.name.lower().encode()))}

    def _check_headers(self, scope: Scope) -> list[Problem]:
        problems: list[Problem] = []
        for parameter in self.by_header:
            value = header(scope, parameter.name.lower().encode())
            if value is not None:
                problems += parameter.problems(value)
            elif parameter.required:
                problems.append(Problem(parameter.name, f"{parameter.name} is required"))
        return problems

    async def _from_body(self, scope: Scope, raw: bytes, media_type: str, arguments: dict[str, Any]) -> list[Problem]:
        if not raw and header(scope, b"content-type") in (None, "", _JSON):
            return [Problem("", "Request body is required")] if self.body_required else []
        validator = self.media.get(media_type)
        if validator is None:
            accepted = ", ".join(self.media)
            raise UnsupportedMediaType("unsupported_media_type", f"Unsupported content type: send {accepted}")
        if media_type == _MULTIPART:
            form = await bodies.parse_multipart(scope, raw)
            arguments["body"] = form
            shown = {name: "" if isinstance(value, UploadFile) else value for name, value in form.items()}
            return validator.problems(shown)
        if not raw:
            return [Problem("", "Request body is required")] if self.body_required else []
        arguments["body"] = bodies.parse_json(raw)
        return validator.problems(arguments["body"])
