"""What breaks a client when one bundled document takes the place of another.

A request that was right must stay right, and an answer must hold what a client relies on: its properties, their types,
no value of an enum it has never seen. Answers may grow new properties, and bounds of answers may move. The operationId
counts too: it is the method's name in generated clients.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from .contract import Json, dereference

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_UPPER = ("maximum", "maxLength", "maxItems", "maxProperties")
_LOWER = ("minimum", "minLength", "minItems", "minProperties")
_EXACT = ("pattern", "format", "multipleOf", "uniqueItems", "exclusiveMinimum", "exclusiveMaximum", "not")


def breaking_changes(old: Json, new: Json) -> list[str]:
    """A line for each change that breaks clients of `old`, in its order; schemas of neither may recurse."""
    return list(dict.fromkeys(_document(old, new)))


def _document(old: Json, new: Json) -> Iterator[str]:
    for path, item in old["paths"].items():
        if path not in new["paths"]:
            yield f"{path}: the path is gone"
            continue
        for method in (method for method in _METHODS if method in item):
            where = f"{method.upper()} {path}"
            if method in new["paths"][path]:
                yield from _operation(_whole(old, path, method), _whole(new, path, method), where)
            else:
                yield f"{where}: the operation is gone"


def _whole(document: Json, path: str, method: str) -> Json:
    """The operation without references, parameters of the path and security of the document included."""
    item = document["paths"][path]
    own: Json = dereference(document, item[method])
    shared = dereference(document, item.get("parameters", []))
    parameters = {(each["in"], each["name"]): each for each in [*shared, *own.get("parameters", [])]}
    return {"security": document.get("security", []), **own, "parameters": parameters}


def _operation(old: Json, new: Json, where: str) -> Iterator[str]:
    if old.get("operationId") != new.get("operationId"):
        yield f"{where}: operationId was {old.get('operationId')}, is {new.get('operationId')}"
    if _is_open(old["security"]) and not _is_open(new["security"]):
        yield f"{where}: needs a key now"
    for scope in new.get("x-required-scopes", []):
        if scope not in old.get("x-required-scopes", []):
            yield f"{where}: needs the scope {scope} now"
    for scope in old.get("x-sufficient-scopes", []):
        if scope not in new.get("x-sufficient-scopes", []):
            yield f"{where}: the scope {scope} does not suffice any more"
    yield from _parameters(old["parameters"], new["parameters"], where)
    yield from _request_body(old.get("requestBody"), new.get("requestBody"), where)
    yield from _responses(old["responses"], new["responses"], where)


def _is_open(security: list[Json]) -> bool:
    return not security or {} in security


def _parameters(old: Json, new: Json, where: str) -> Iterator[str]:
    for key, parameter in old.items():
        at = f"{where} parameter {key[1]}"
        if key not in new:
            yield f"{at}: is gone"
            continue
        if new[key].get("required") and not parameter.get("required"):
            yield f"{at}: is required now"
        for word in ("style", "explode"):
            if parameter.get(word) != new[key].get(word):
                yield f"{at}: {word} was {parameter.get(word)}, is {new[key].get(word)}"
        yield from narrowed(parameter.get("schema", {}), new[key].get("schema", {}), at)
    for key, parameter in new.items():
        if key not in old and parameter.get("required"):
            yield f"{where} parameter {key[1]}: is new and required"


def _request_body(old: Json | None, new: Json | None, where: str) -> Iterator[str]:
    if new is None:
        if old is not None:
            yield f"{where} body: is gone"
        return
    if new.get("required") and not (old or {}).get("required"):
        yield f"{where} body: is required now"
    for media_type, media in (old or {}).get("content", {}).items():
        at = f"{where} body {media_type}"
        if media_type in new["content"]:
            yield from narrowed(media.get("schema", {}), new["content"][media_type].get("schema", {}), at)
        else:
            yield f"{at}: is gone"


def _responses(old: Json, new: Json, where: str) -> Iterator[str]:
    for status, response in old.items():
        at = f"{where} {status}"
        if status not in new:
            if str(status).startswith("2"):
                yield f"{at}: is gone"
            continue
        for name in response.get("headers", {}):
            if name not in new[status].get("headers", {}):
                yield f"{at} header {name}: is gone"
        for media_type, media in response.get("content", {}).items():
            found = new[status].get("content", {}).get(media_type)
            if found is None:
                yield f"{at} {media_type}: is gone"
            else:
                yield from weakened(media.get("schema", {}), found.get("schema", {}), f"{at} {media_type}")


def narrowed(old: Json, new: Json, at: str) -> Iterator[str]:
    """Why a value that `old` takes may be refused by `new`: what breaks a request."""
    if not _fits(old, new):
        yield f"{at}: the type was {old.get('type', 'any')}, is {new['type']}"
    if _takes_null(old) and not _takes_null(new):
        yield f"{at}: takes null no more"
    yield from _bounds(old, new, at)
    refused = _values(old) - _values(new) if "enum" in old and "enum" in new else set()
    if "enum" in new and "enum" not in old:
        yield f"{at}: only some values are taken now"
    yield from (f"{at}: takes {value} no more" for value in sorted(refused))
    for name in new.get("required", []):
        if name not in old.get("required", []):
            yield f"{at}.{name}: is required now"
    known = new.get("properties", {})
    for name, schema in old.get("properties", {}).items():
        if name in known:
            yield from narrowed(schema, known[name], f"{at}.{name}")
        else:
            yield f"{at}.{name}: is gone"
    yield from _further_properties(old, new, at)
    yield from narrowed(old["items"], new["items"], f"{at}[]") if "items" in old and "items" in new else ()
    for word in ("oneOf", "anyOf"):
        choices = new.get(word, [])
        for index, schema in enumerate(old.get(word, [])):
            if not any(not list(narrowed(schema, choice, at)) for choice in choices):
                yield f"{at}: alternative {index + 1} of {word} is taken no more"
        if choices and word not in old:
            yield f"{at}: {word} is new"
    if old.get("allOf", []) != new.get("allOf", []):
        yield f"{at}: allOf is another"


def weakened(old: Json, new: Json, at: str) -> Iterator[str]:
    """What a client may rely on by `old` that `new` no longer promises: what breaks an answer."""
    if not _fits(new, old):
        yield f"{at}: the type was {old['type']}, is {new.get('type', 'any')}"
    if _takes_null(new) and not _takes_null(old):
        yield f"{at}: may be null now"
    if "enum" in old:
        fresh = _values(new) - _values(old) if "enum" in new else {"any other value"}
        yield from (f"{at}: may be {value} now" for value in sorted(fresh))
    known = new.get("properties", {})
    for name, schema in old.get("properties", {}).items():
        if name not in known:
            yield f"{at}.{name}: is gone"
            continue
        if name in old.get("required", []) and name not in new.get("required", []):
            yield f"{at}.{name}: may be absent now"
        yield from weakened(schema, known[name], f"{at}.{name}")
    yield from weakened(old["items"], new["items"], f"{at}[]") if "items" in old and "items" in new else ()
    was, now = old.get("additionalProperties"), new.get("additionalProperties")
    if isinstance(was, dict) and isinstance(now, dict):
        yield from weakened(was, now, f"{at}.*")
    for word in ("oneOf", "anyOf"):
        choices = old.get(word, [])
        for index, schema in enumerate(new.get(word, [])):
            if choices and not any(not list(weakened(choice, schema, at)) for choice in choices):
                yield f"{at}: alternative {index + 1} of {word} is new"
        if choices and word not in new:
            yield f"{at}: {word} is gone"
    if old.get("allOf", []) != new.get("allOf", []):
        yield f"{at}: allOf is another"


def _fits(given: Json, accepting: Json) -> bool:
    """Whether a value of the one schema is of the right type for the other, null aside."""
    mine, theirs = given.get("type"), accepting.get("type")
    return theirs is None or mine == theirs or (mine, theirs) == ("integer", "number")


def _takes_null(schema: Json) -> bool:
    return bool(schema.get("nullable")) or not {"type", "enum", "oneOf", "anyOf", "allOf"} & schema.keys()


def _bounds(old: Json, new: Json, at: str) -> Iterator[str]:
    tighter = [word for word in _UPPER if new.get(word, inf) < old.get(word, inf)]
    for word in _LOWER:
        least = -inf if word == "minimum" else 0
        tighter += [word] if new.get(word, least) > old.get(word, least) else []
    tighter += [word for word in _EXACT if new.get(word) and new[word] != old.get(word)]
    yield from (f"{at}: {word} is {new[word]} now" for word in tighter)


def _further_properties(old: Json, new: Json, at: str) -> Iterator[str]:
    was, now = old.get("additionalProperties", True), new.get("additionalProperties", True)
    if now is False and was is not False:
        yield f"{at}: further properties are refused now"
    elif isinstance(now, dict):
        if was is True:
            yield f"{at}: further properties are restricted now"
        elif isinstance(was, dict):
            yield from narrowed(was, now, f"{at}.*")


def _values(schema: Json) -> set[str]:
    return {str(value) for value in schema.get("enum", [])}
