"""An HTTP client that holds every answer against the contract, so that each test is a contract test too."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

import httpx
from jsonschema import Draft4Validator, FormatChecker

from server.contract import Operation, dereference, document, operations
from server.schemas import to_json_schema

_TEMPLATE = re.compile(r"\\\{[^}]*\\\}")


class ContractBroken(AssertionError):
    """An answer is not what the contract promises."""


@functools.cache
def _operations() -> list[tuple[str, re.Pattern[str], Operation]]:
    spec = document()
    found = [
        Operation(operation.method, operation.path, dereference(spec, operation.spec)) for operation in operations(spec)
    ]
    found.sort(key=lambda operation: "{" in operation.path)
    return [
        (operation.method.upper(), re.compile(_TEMPLATE.sub("[^/]+", re.escape(operation.path))), operation)
        for operation in found
    ]


def operation_of(method: str, path: str) -> Operation | None:
    """The operation of the contract that this request is for, None if there is none."""
    at_path = [entry for entry in _operations() if entry[1].fullmatch(path)]
    fixed = [entry for entry in at_path if "{" not in entry[2].path]
    return next((operation for verb, _, operation in fixed or at_path if verb == method), None)


@functools.cache
def _validator(schema: str) -> Draft4Validator:
    return Draft4Validator(to_json_schema(json.loads(schema)), format_checker=FormatChecker())


def _judge(schema: dict[str, Any], value: Any, where: str) -> None:
    for error in _validator(json.dumps(schema, sort_keys=True)).iter_errors(value):
        raise ContractBroken(f"{where}: {error.json_path}: {error.message}")


def check(response: httpx.Response) -> None:
    """Raises ContractBroken unless status, media type, headers and body are what the operation documents."""
    request = response.request
    path = request.url.path
    where = f"{request.method} {path} → {response.status_code}"
    operation = operation_of(request.method, path)
    if operation is None:
        _check_unrouted(response, where)
        return
    documented = operation.spec["responses"].get(str(response.status_code))
    if documented is None:
        raise ContractBroken(f"{where} is not documented: {response.text[:500]}")
    media_type = response.headers.get("content-type", "").partition(";")[0]
    if media_type not in documented["content"]:
        raise ContractBroken(f"{where} has undocumented media type {media_type}")
    if media_type.endswith("json"):
        _judge(documented["content"][media_type]["schema"], response.json(), where)
    _check_headers(response, documented["headers"], where)


def _check_headers(response: httpx.Response, documented: dict[str, Any], where: str) -> None:
    for name, header in documented.items():
        text = response.headers.get(name)
        if text is None:
            if header.get("required"):
                raise ContractBroken(f"{where} lacks the header {name}")
            continue
        value = int(text) if header["schema"]["type"] == "integer" else text
        _judge(header["schema"], value, f"{where} header {name}")


def _check_unrouted(response: httpx.Response, where: str) -> None:
    """Answers outside the contract still have its error shape and standard headers."""
    if response.request.url.path.startswith("/docs"):
        return
    for name in ("x-request-id", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"):
        if name not in response.headers:
            raise ContractBroken(f"{where} lacks the header {name}")
    if response.request.method != "HEAD" and response.headers["content-type"] == "application/json":
        _judge(dereference(document(), {"$ref": "#/components/schemas/ApiError"}), response.json(), where)


class ContractClient(httpx.Client):
    """A client with one API key whose every answer is checked. It speaks plain HTTP: nobody's certificates are read."""

    def __init__(self, base_url: str, key: str | None = None, **options: Any) -> None:
        headers = {"X-API-Key": key} if key else {}
        super().__init__(base_url=base_url, headers=headers, timeout=60, trust_env=False, verify=False, **options)
        self.event_hooks = {"response": [self._check]}

    @staticmethod
    def _check(response: httpx.Response) -> None:
        response.read()
        check(response)
