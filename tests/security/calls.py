"""Requests made from the contract: each operation with another's ids in every place that an id can stand.

A request holds slots instead of ids. Whose ids they become is said when it is sent, so that the very same requests are
made by an attacker with a victim's ids and by a bystander with ids that nobody has.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from server.contract import Operation, dereference, document, operations
from server.rules.view import is_raw

from .kinds import IN_PATHS, UNKNOWN, kind_of, kind_of_path_id

Place = tuple[str, ...]  # names of properties from the body down; "[]" is the first item of an array


@dataclass(frozen=True)
class Slot:
    """Where an id belongs: of which kind, the how manieth, the caller's own or another's."""

    kind: str
    index: int
    whose: Literal["own", "another's"] = "another's"


OWN_WIDTH = {  # of an attacker's own
    "lead": 3,
    "agent": 2,
    "conversation": 2,
    "api key": 2,
    "ab test": 3,
    "campaign": 3,
    "event subscription": 2,
    "event delivery": 2,
}
MOVED_PHONES = ("+12025550101", "+12025550102")  # the phones of an attacker's first two leads

_VARIANTS = [
    [{"agentConfigId": Slot("agent", 0, "own"), "weight": 1}, {"agentConfigId": other, "weight": 2}]
    for other in (Slot("agent", 1, "own"), Slot("agent", 1))
]

# What an operation does beyond its examples, tried on the attacker's own objects, in this order.
FURTHER_BODIES: dict[str, list[Any]] = {
    "confirm_upload": [
        {
            "content": f"Name,Mobile,Reference\nown lead,{MOVED_PHONES[0]},own-1\nown lead,+12025550176,own-2\n",
            "mapping": {"Name": "name", "Mobile": "phone", "Reference": "externalId"},
            "onDuplicate": "update",
        }
    ],
    "create_ab_test": [{"name": "own test", "variants": variants} for variants in _VARIANTS],
    "update_ab_test": [{"variants": variants} for variants in _VARIANTS],
    "change_ab_test_status": [{"status": "paused"}, {"status": "completed"}],
    "change_conversation_status": [{"status": "active"}, {"status": "completed"}],
    "merge_leads": [
        {"into": Slot("lead", 0, "own"), "from": [Slot("lead", 0)]},
        {"into": Slot("lead", 0), "from": [Slot("lead", 0, "own")]},
    ],
    "simulate_reply": [{"message": "STOP"}],
    "sync_leads": [
        {
            "leads": [
                {"lead_id": "own-1", "phone": MOVED_PHONES[1]},
                {"lead_id": "own-2", "phone": "+12025550177"},
                {"lead_id": "own-1", "phone": MOVED_PHONES[1]},
            ]
        }
    ],
}
FURTHER_QUERIES: dict[str, list[dict[str, Any]]] = {"list_agents": [{"single": "true"}]}


@dataclass(frozen=True)
class Call:
    """One request with slots. `about` tells where another's id stands in it."""

    operation: Operation
    about: str
    path: dict[str, Any] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, Any] = field(default_factory=dict)
    media_type: str | None = None
    body: Any = None

    def slots(self) -> list[Slot]:
        """All slots in it."""
        return slots_in((self.path, self.query, self.headers, self.body))


def fill(node: Any, value: Any) -> Any:
    """`node` with each slot replaced by what `value` answers for it."""
    if isinstance(node, Slot):
        return value(node)
    if isinstance(node, dict):
        return {name: fill(item, value) for name, item in node.items()}
    if isinstance(node, list | tuple):
        return [fill(item, value) for item in node]
    return node


def slots_in(node: Any) -> list[Slot]:
    """All slots at any depth."""
    found: list[Slot] = []
    fill(node, found.append)
    return found


@functools.cache
def all_operations() -> dict[str, Operation]:
    """Every operation of the contract by its id, references resolved."""
    spec = document()
    return {
        operation.id: Operation(operation.method, operation.path, dereference(spec, operation.spec))
        for operation in operations(spec)
    }


def calls_of(operation: Operation) -> list[Call]:
    """What is tried on an operation: another's id in one place after the other, in all at once, then own ids alone.

    Raises UnknownName.
    """
    base = _base(operation)
    tried = [*_in_parameters(operation, base), *_in_body(operation, base)]
    if tried:
        tried += [*_everywhere(operation, base), *_malformed(operation, base)]
    return [*tried, *_own(operation, base)]


def examples(operation: Operation) -> list[tuple[str | None, Any]]:
    """The bodies that the contract shows, each with its media type; one absent body where it takes none."""
    found: list[tuple[str | None, Any]] = []
    for media_type, content in operation.spec.get("requestBody", {}).get("content", {}).items():
        if "examples" in content:
            found += [(media_type, example["value"]) for example in content["examples"].values()]
        else:
            found.append((media_type, content["example"]))
    return found or [(None, None)]


def path_kind(operation: Operation, name: str) -> str | None:
    """The kind that a path parameter stands for."""
    return kind_of_path_id(operation.path) if name == "id" else IN_PATHS.get(name) or kind_of(name)


def _base(operation: Operation) -> Call:
    """The operation on own objects: the parameters that it must have, its first example as the body."""
    path, query, headers = {}, {}, {}
    for parameter in operation.spec["parameters"]:
        name, place = parameter["name"], parameter["in"]
        kind = path_kind(operation, name) if place == "path" else kind_of(name)
        if place == "path":
            path[name] = Slot(kind or name, 0, "own")
        elif place == "query" and parameter.get("required"):
            query[name] = parameter["example"]
        elif name == "Last-Event-ID":
            headers[name] = "0"  # from the beginning
    media_type, body = examples(operation)[0]
    return Call(operation, "own", path, query, headers, media_type, _slotted(operation, body, "own"))


def _in_parameters(operation: Operation, base: Call) -> Iterator[Call]:
    for parameter in operation.spec["parameters"]:
        name, place = parameter["name"], parameter["in"]
        kind = path_kind(operation, name) if place == "path" else kind_of(name)
        if kind is None:
            continue
        for index in range(_width(kind)):
            about = f"{place} {name} {index}"
            slot: Any = Slot(kind, index)
            members = {"path": base.path, "query": base.query, "header": base.headers}[place]
            value = [slot] if parameter["schema"].get("type") == "array" else slot
            changed = {**members, name: value}
            if place == "path":
                yield Call(operation, about, changed, base.query, base.headers, base.media_type, base.body)
            elif place == "query":
                yield Call(operation, about, base.path, changed, base.headers, base.media_type, base.body)
            else:
                yield Call(operation, about, base.path, base.query, changed, base.media_type, base.body)


def _in_body(operation: Operation, base: Call) -> Iterator[Call]:
    """Another's value in one place of the body: beside all that an example says, then beside what must be there."""
    content = operation.spec.get("requestBody", {}).get("content", {})
    if "application/json" not in content or is_raw(operation):
        return
    schema = content["application/json"]["schema"]
    for form in schema.get("oneOf") or schema.get("anyOf") or [schema]:
        shown = _shown(operation, form)
        for place, kind, is_list in places(form):
            for index in range(_width(kind)):
                value: Any = [Slot(kind, index)] if is_list else Slot(kind, index)
                for how, body in (("with", shown), ("alone", _only_required(form, shown))):
                    about = f"body {'.'.join(place)} {index} {how}"
                    changed = _put(copy.deepcopy(body), place, value, keep_siblings=how == "with")
                    yield Call(operation, about, base.path, base.query, {}, "application/json", changed)


def _shown(operation: Operation, form: dict[str, Any]) -> Any:
    """The first example of this form of the body, on own objects."""
    bodies = [body for media_type, body in examples(operation) if media_type == "application/json"]
    names = form.get("properties", {}).keys()
    fitting = [body for body in bodies if not names or body.keys() <= names]
    return _with_slots((fitting or bodies)[0], "own")


def _everywhere(operation: Operation, base: Call) -> Iterator[Call]:
    path = {name: Slot(slot.kind, 0) if slot.kind in UNKNOWN else slot for name, slot in base.path.items()}
    query = {name: Slot(kind, 0) if (kind := kind_of(name)) else value for name, value in base.query.items()}
    for media_type, body in examples(operation):
        yield Call(operation, "everywhere", path, query, {}, media_type, _slotted(operation, body, "another's"))


def _malformed(operation: Operation, base: Call) -> Iterator[Call]:
    """A body that cannot be, for another's object: what is wrong with it must not tell that the object exists."""
    if base.media_type is not None and "{id}" in operation.path:
        path = {name: Slot(slot.kind, 0) for name, slot in base.path.items()}
        yield Call(operation, "malformed", path, base.query, {}, "application/json", {"unheardOf": [None]})


def _own(operation: Operation, base: Call) -> Iterator[Call]:
    width = max((OWN_WIDTH.get(slot.kind, 1) for slot in base.path.values()), default=1)
    shown = [(media_type, _slotted(operation, body, "own")) for media_type, body in examples(operation)]
    further = [("application/json", body) for body in FURTHER_BODIES.get(operation.id, [])]
    for index in range(width):
        path = {name: Slot(slot.kind, index, "own") for name, slot in base.path.items()}
        for media_type, body in [*shown, *further]:
            for again in _each_own(body):
                yield Call(operation, f"own {index}", path, base.query, base.headers, media_type, again)
    for query in FURTHER_QUERIES.get(operation.id, []):
        yield Call(operation, f"own with {query}", base.path, {**base.query, **query})


def _each_own(body: Any) -> Iterator[Any]:
    """The body with each lead of one's own in turn, where it names one."""
    names_lead = any(slot.kind == "lead" for slot in slots_in(body))
    for index in range(OWN_WIDTH["lead"] if names_lead else 1):
        yield fill(body, lambda slot, index=index: Slot(slot.kind, index, "own") if slot.kind == "lead" else slot)


def _width(kind: str) -> int:
    return len(UNKNOWN.get(kind, [None]))


def places(schema: dict[str, Any], at: Place = ()) -> Iterator[tuple[Place, str, bool]]:
    """Every place in a body where another's value can stand: the place, the kind, whether it takes a list of them."""
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from places(part, at)
    if schema.get("type") == "array":
        yield from places(schema["items"], (*at, "[]"))
    for name, inner in schema.get("properties", {}).items():
        kind = kind_of(_full_name(name, at))
        if kind is None:
            yield from places(inner, (*at, name))
        else:
            yield (*at, name), kind, inner.get("type") == "array"


def _full_name(name: str, at: Place) -> str:
    above = [step for step in at if step != "[]"]
    return f"{above[-1]}.{name}" if name == "id" and above else name


def _slotted(operation: Operation, body: Any, whose: Literal["own", "another's"]) -> Any:
    """The same, but for a provider's event, whose ids are the provider's."""
    return body if is_raw(operation) else _with_slots(body, whose)


def _with_slots(body: Any, whose: Literal["own", "another's"], at: Place = ()) -> Any:
    """The example with slots for the ids in it; texts, phones and the like stay, unless they are to be another's."""
    if isinstance(body, list):
        return [_with_slots(item, whose, (*at, "[]")) for item in body]
    if not isinstance(body, dict):
        return body
    changed = {}
    for name, value in body.items():
        kind = kind_of(_full_name(name, at)) if value is not None else None
        if kind is None or (whose == "own" and kind not in _NAMES_OBJECTS):
            changed[name] = _with_slots(value, whose, (*at, name))
        else:
            slot = Slot(kind, 0, whose)
            changed[name] = [slot] if isinstance(value, list) else slot
    return changed


_NAMES_OBJECTS = ("account", "agent", "conversation", "import batch", "lead", "upload")


def _only_required(schema: dict[str, Any], body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    return {name: value for name, value in body.items() if name in schema.get("required", ())}


def _put(body: Any, place: Place, value: Any, *, keep_siblings: bool) -> Any:
    """The body with this value at this place; without siblings an item of an array holds nothing else."""
    if not place:
        return value
    step, rest = place[0], place[1:]
    if step == "[]":
        first = body[0] if isinstance(body, list) and body and keep_siblings else {}
        return [_put(first, rest, value, keep_siblings=keep_siblings)]
    members = body if isinstance(body, dict) else {}
    return {**members, step: _put(members.get(step), rest, value, keep_siblings=keep_siblings)}
