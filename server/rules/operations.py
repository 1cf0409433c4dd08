"""Rules over operations: their keys, names, texts, scopes, parameters, statuses and headers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from server.contract import Operation, operations
from server.rules.view import Contract, is_get_one, is_raw, is_write, name_of

KEY_ORDER = (
    "operationId",
    "x-openapi-router-controller",
    "tags",
    "summary",
    "description",
    "x-required-scopes",
    "x-sufficient-scopes",
    "security",
    "x-rate-limit-tier",
    "x-body-limit",
    "x-raw-body",
    "x-effect",
    "parameters",
    "requestBody",
    "responses",
)
# What the server reads besides OpenAPI's own keys; a misspelt value would be ignored there.
EXTENSIONS = {"x-rate-limit-tier": "sync", "x-body-limit": "upload", "x-raw-body": True, "x-effect": "none"}
NEEDED_KEYS = ("operationId", "x-openapi-router-controller", "tags", "summary", "description", "responses")
STANDARD_HEADERS = {
    "X-Request-Id": "XRequestId",
    "RateLimit-Limit": "RateLimitLimit",
    "RateLimit-Remaining": "RateLimitRemaining",
    "RateLimit-Reset": "RateLimitReset",
    "RateLimit-Policy": "RateLimitPolicy",
}

# Operations exempt from a rule, and why.
UNCONDITIONAL = {"undo_import": "an import that may be undone does not change any more"}
UNPAGED = {
    "list_agent_templates": "a handful of constants that ship with the server",
    "list_integrations": "at most one for each channel",
}
# Parameters that need no example, and why.
WITHOUT_EXAMPLE = {"cursor": "a made-up one is refused, and fuzzers send examples"}


def references(contract: Contract) -> Iterator[str]:
    """Every reference names a component that exists."""

    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, list):
            for item in node:
                yield from walk(item)
        elif isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for value in node.values():
                yield from walk(value)

    for ref in dict.fromkeys(walk(contract.document)):
        section, _, name = ref.removeprefix("#/components/").partition("/")
        if not ref.startswith("#/components/") or name not in contract.document["components"].get(section, {}):
            yield f"{ref}: there is no such component"


def keys(contract: Contract) -> Iterator[str]:
    """An operation has all its keys, in the order of the house."""
    for operation in operations(contract.document):
        found = list(contract.written(operation))
        if found != [key for key in KEY_ORDER if key in found]:
            yield f"{name_of(operation)}: keys must be {', '.join(KEY_ORDER)}, in this order"
        for key in NEEDED_KEYS:
            if key not in found:
                yield f"{name_of(operation)}: {key} is missing"
        if ("x-required-scopes" in found) == ("security" in found):
            yield f"{name_of(operation)}: needs either x-required-scopes or `security: []`"


def names(contract: Contract) -> Iterator[str]:
    """An operationId is snake_case and unique; the controller is a module of `handlers`; the tag is a declared one."""
    seen: set[str] = set()
    tags = {tag["name"] for tag in contract.document.get("tags", ())}
    for operation in contract.operations:
        if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)+", operation.id):
            yield f"{name_of(operation)}: operationId {operation.id} is not snake_case of two words or more"
        if operation.id in seen:
            yield f"{name_of(operation)}: operationId {operation.id} is used twice"
        seen.add(operation.id)
        if not re.fullmatch(r"handlers\.[a-z_]+", operation.spec["x-openapi-router-controller"]):
            yield f"{name_of(operation)}: the controller must be a module of handlers"
        if len(operation.spec["tags"]) != 1 or operation.spec["tags"][0] not in tags:
            yield f"{name_of(operation)}: needs one tag, declared in the document"


def texts(contract: Contract) -> Iterator[str]:
    """A summary is a short phrase of verb and object, a description whole sentences that say more."""
    for operation in contract.operations:
        summary, description = operation.spec["summary"], operation.spec["description"].strip()
        if not re.fullmatch(r"[A-Z][a-z]+ .*[^.]", summary) or len(summary) >= 50:
            yield f"{name_of(operation)}: the summary must be verb and object, under 50 characters, without a full stop"
        if not description.endswith(".") or len(description) <= len(summary):
            yield f"{name_of(operation)}: the description must be sentences that say more than the summary"


def extensions(contract: Contract) -> Iterator[str]:
    """Extensions that steer the server have a value that it knows."""
    for operation in contract.operations:
        for key, value in EXTENSIONS.items():
            if operation.spec.get(key, value) != value:
                yield f"{name_of(operation)}: {key} can only be {value}"


def scopes(contract: Contract) -> Iterator[str]:
    """Required scopes are scopes; `security` is only ever written to open an operation."""
    known = contract.document["components"]["schemas"].get("Scope", {}).get("enum", [])
    for operation in contract.operations:
        for scope in operation.scopes:
            if scope not in known:
                yield f"{name_of(operation)}: {scope} is no scope"
        if "security" in operation.spec and not operation.is_public:
            yield f"{name_of(operation)}: security must be [] or absent"


def parameters(contract: Contract) -> Iterator[str]:
    """Parameters are unique, described and shown by example; every write can be repeated safely."""
    for operation in contract.operations:
        found = contract.parameters(operation)
        if len({(parameter["name"], parameter["in"]) for parameter in found}) < len(found):
            yield f"{name_of(operation)}: a parameter is there twice"
        for parameter in found:
            where = f"{name_of(operation)}: parameter {parameter['name']}"
            if not parameter.get("description") or "schema" not in parameter:
                yield f"{where} needs a description and a schema"
            if "example" not in parameter and parameter["name"] not in WITHOUT_EXAMPLE:
                yield f"{where} needs an example"
        in_path = {parameter["name"] for parameter in found if parameter["in"] == "path" and parameter.get("required")}
        if in_path != {*re.findall(r"\{(\w+)\}", operation.path)}:
            yield f"{name_of(operation)}: path parameters do not fit the path"
        if is_write(operation) and not is_raw(operation) and not contract.takes(operation, "Idempotency-Key"):
            yield f"{name_of(operation)}: a write takes Idempotency-Key"


def conditional_writes(contract: Contract) -> Iterator[str]:
    """Whatever changes or deletes an object that can be read alone takes If-Match."""
    for operation in contract.operations:
        owner = operation.path[: operation.path.rfind("}") + 1]
        is_readable = "get" in contract.document["paths"].get(owner, {})
        if operation.method not in ("put", "patch", "delete") or not is_readable or operation.id in UNCONDITIONAL:
            continue
        if not contract.takes(operation, "If-Match"):
            yield f"{name_of(operation)}: takes If-Match, because GET {owner} answers an ETag"


def statuses(contract: Contract) -> Iterator[str]:
    """Every status that can be answered is there, and they ascend."""
    for operation in contract.operations:
        found = list(operation.spec["responses"])
        has_body = "requestBody" in operation.spec
        conditional = contract.takes(operation, "If-Match")
        needed = {"400", "429", "500"}  # 400 always: an unknown query parameter is refused everywhere
        needed |= set() if operation.is_public else {"401", "403"}
        needed |= {"404"} if re.search(r"\{(id|\w+Id)\}", operation.path) else set()
        needed |= {"409", "422"} if is_write(operation) and not is_raw(operation) else set()
        needed |= {"422"} if contract.takes(operation, "cursor") else set()
        needed |= {"413"} if has_body else set()
        needed |= {"415"} if has_body and not is_raw(operation) else set()
        needed |= {"412"} if conditional else set()
        for status in sorted(needed - {*found}):
            yield f"{name_of(operation)}: {status} is missing"
        if "412" in found and not conditional:
            yield f"{name_of(operation)}: 412 needs If-Match"
        if found != sorted(found):
            yield f"{name_of(operation)}: responses must ascend"
        if not contract.successes(operation):
            yield f"{name_of(operation)}: has no success"


def headers(contract: Contract) -> Iterator[str]:
    """Responses are components whose headers are the shared ones, with those that their kind of answer needs."""
    for operation in contract.operations:
        for status, response in operation.spec["responses"].items():
            where = f"{name_of(operation)} {status}"
            if not response.get("$ref", "").startswith("#/components/responses/"):
                yield f"{where}: must be a named response"
            found = contract.at(response).get("headers", {})
            for name, component in _needed_headers(contract, operation, status).items():
                if found.get(name) != {"$ref": f"#/components/headers/{component}"}:
                    yield f"{where}: header {name} must be {component}"
            for name, header in found.items():
                if not header.get("$ref", "").startswith("#/components/headers/"):
                    yield f"{where}: header {name} must be a named one"


def _needed_headers(contract: Contract, operation: Operation, status: str) -> dict[str, str]:
    needed = dict(STANDARD_HEADERS)
    needed |= {"401": {"WWW-Authenticate": "WwwAuthenticate"}, "429": {"Retry-After": "RetryAfter"}}.get(status, {})
    if not status.startswith("2"):
        return needed
    needed |= {"Location": "Location"} if status == "201" else {}
    needed |= {"Idempotent-Replayed": "IdempotentReplayed"} if is_write(operation) and not is_raw(operation) else {}
    needed |= {"ETag": "ETag"} if is_get_one(operation) else {}
    needed |= {"Link": "Link", "X-Total-Count": "TotalCount"} if contract.takes(operation, "cursor") else {}
    return needed


def pages(contract: Contract) -> Iterator[str]:
    """A plain array is answered page by page."""
    for operation in contract.operations:
        bodies = contract.answers(operation)
        options = [option for body in bodies for option in (body, *contract.at(body).get("oneOf", ()))]
        is_list = any(contract.at(option).get("type") == "array" for option in options)
        if operation.method != "get" or not is_list or operation.id in UNPAGED:
            continue
        for name in ("skip", "limit", "cursor"):
            if not contract.takes(operation, name):
                yield f"{name_of(operation)}: a list takes {name}"


def errors(contract: Contract) -> Iterator[str]:
    """Every error has the one shape, as JSON and as RFC 9457, and the example shows its own status."""
    shapes = {"application/json": "ApiError", "application/problem+json": "ProblemDetails"}
    for operation in contract.operations:
        for status, response in contract.responses(operation).items():
            if status < "400":
                continue
            found = response.get("content", {})
            if {kind: media.get("schema") for kind, media in found.items()} != {
                kind: {"$ref": f"#/components/schemas/{name}"} for kind, name in shapes.items()
            }:
                yield f"{name_of(operation)} {status}: must be an Error and a ProblemDetails"
            elif str(found["application/problem+json"].get("example", {}).get("status")) != status:
                yield f"{name_of(operation)} {status}: the example shows another status"


def path_order(contract: Contract) -> Iterator[str]:
    """A fixed path stands before a templated one that would swallow it."""
    earlier: list[str] = []
    for path in contract.document["paths"]:
        for other in earlier:
            pattern = re.sub(r"\\\{\w+\\\}", "[^/{}]+", re.escape(other))
            if other != path and re.fullmatch(pattern, path):
                yield f"{path}: must stand before {other}"
        earlier.append(path)
