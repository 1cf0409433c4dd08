"""Rules over links: they lead somewhere, and what can be done next is linked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from server.contract import Json, Operation
from server.rules.view import Contract, name_of


def links(contract: Contract) -> Iterator[str]:
    """A link names an operation and its parameters, and its expressions find something."""
    by_id = {operation.id: operation for operation in contract.operations}
    for operation in contract.operations:
        for status, response in contract.responses(operation).items():
            for name, link in response.get("links", {}).items():
                where = f"{name_of(operation)} {status} link {name}"
                target = by_id.get(link.get("operationId", ""))
                if target is None:
                    yield f"{where}: there is no such operation"
                    continue
                for parameter, expression in link.get("parameters", {}).items():
                    if not contract.takes(target, parameter):
                        yield f"{where}: {target.id} has no parameter {parameter}"
                    if not _finds(contract, operation, response, expression):
                        yield f"{where}: {expression} finds nothing"
                if not isinstance(link.get("requestBody", ""), str):
                    yield f"{where}: requestBody must be a string"


def _finds(contract: Contract, operation: Operation, response: Json, expression: Any) -> bool:
    """Whether a runtime expression can have a value; those that the contract uses, others are refused."""
    body = re.fullmatch(r"\$response\.body#/(.+)", str(expression))
    if body:
        path = body[1].split("/")
        return any(_has(contract, media.get("schema", {}), path) for media in response.get("content", {}).values())
    parameter = re.fullmatch(r"\$request\.(path|query|header)\.(.+)", str(expression))
    found = {(parameter["in"], parameter["name"]) for parameter in contract.parameters(operation)}
    return parameter is not None and (parameter[1], parameter[2]) in found


def _has(contract: Contract, schema: Json, path: list[str]) -> bool:
    """Whether a document of this schema can have something at the path."""
    node = contract.at(schema)
    if not path:
        return True
    if any(_has(contract, option, path) for key in ("oneOf", "anyOf", "allOf") for option in node.get(key, ())):
        return True
    inner = node.get("items") if path[0].isdigit() else node.get("properties", {}).get(path[0])
    return inner is not None and _has(contract, inner, path[1:])


def complete_links(contract: Contract) -> Iterator[str]:
    """What creates an object links everything that can be done to it, a list links its item."""
    for operation in contract.operations:
        is_create = operation.method == "post" and "201" in operation.spec["responses"]
        if not is_create and not contract.takes(operation, "cursor"):
            continue
        linked = {
            link.get("operationId")
            for response in contract.successes(operation)
            for link in response.get("links", {}).values()
        }
        wanted = ("get", "put", "patch", "delete") if is_create else ("get",)
        item = _item_path(contract, operation)
        for target in contract.operations:
            if target.path == item and target.method in wanted and target.id not in linked:
                yield f"{name_of(operation)}: has no link to {target.id}"


def _item_path(contract: Contract, operation: Operation) -> str | None:
    """The path of one object of the collection the operation works on; `/start` and its like belong to their parent."""
    for base in (operation.path, operation.path.rpartition("/")[0]):
        for path in contract.document["paths"]:
            if path != operation.path and re.fullmatch(re.escape(base) + r"/\{\w+\}", path):
                return str(path)
    return None
