"""Filters over leads: `{"conditions": […], "match": "all" | "any", "groups": […]}` to a condition of the database.

Which operator fits which kind of field:

              is  is_not  contains  is_any_of  includes_any_of  is_before  is_after
    text      x   x       x         x
    choice    x   x       x         x
    number    x   x                 x
    flag      x   x
    time      x   x                 x                           x          x
    list      x   x       x         x          x

A list `is` a value if the value is one of its elements. `is_not` also holds where there is no value. `contains` ignores
case; everything else compares exactly. A date without a time is the start of that day in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from peewee import SQL, NodeList, Value, fn

from . import clock
from .database import is_sqlite
from .errors import Blocked, Invalid, Problem
from .lead_conditions import Condition, holding, joined
from .lead_text import custom_text, holds_folded, search_key
from .leads import Lead

Node = Any  # of Peewee, true or false of a lead

MAX_DEPTH = 2  # of groups below the filter itself
MAX_CONDITIONS = 200  # with 100 values each still a statement that both engines take
CUSTOM_PREFIX = "customFields."
_TAGS_BY_TEXT = 10  # with more of them, looking for each takes longer than it saves

_STATUSES = ("new", "contacted", "qualified", "disqualified")
_ASSIGNERS = ("manual", "ab_test", "auto")
_TIME = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of field: how a value of it is read (ValueError says what it must be), and what can be asked of it."""

    read: Callable[[Any], Any]
    operators: Mapping[str, Callable[[Any, Any], Node]]


@dataclass(frozen=True, slots=True)
class _Field:
    kind: _Kind
    column: Any
    choices: tuple[str, ...] = ()
    is_selective: bool = False


def matching(filters: Mapping[str, Any], *, path: str = "/filters") -> list[Condition]:
    """The condition that a filter of the contract's shape stands for; no conditions at all hold for every lead.

    Conditions that must all hold come one by one, so that each may be what the leads are found by.

    path: where the filter stands in the request, as a JSON pointer. Raises Invalid with all problems: unknown field,
    operator that does not fit it, value of the wrong type, groups nested too deep; Blocked for too many conditions.
    """
    problems: list[_Refusal] = []
    if sum(1 for _ in _conditions(filters)) > MAX_CONDITIONS:
        raise Blocked("filter_too_large", f"A filter has at most {MAX_CONDITIONS} conditions")
    parts = _parts(filters, path, 0, problems)
    if problems:
        first = problems[0]
        raise Invalid(first.code, first.message, problems=[Problem(each.path, each.message) for each in problems])
    return [_joined(filters, parts)] if _is_any(filters) else parts


@dataclass(frozen=True, slots=True)
class _Refusal:
    code: str
    path: str
    message: str


def _conditions(group: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from group["conditions"]
    for inner in group.get("groups", ()):
        yield from _conditions(inner)


def _parts(group: Mapping[str, Any], path: str, depth: int, problems: list[_Refusal]) -> list[Condition]:
    if depth > MAX_DEPTH:
        problems.append(_Refusal("filter_too_deep", path, f"Groups nest at most {MAX_DEPTH} deep"))
        return []
    parts = [
        _condition(condition, f"{path}/conditions/{index}", problems)
        for index, condition in enumerate(group["conditions"])
    ]
    for index, inner in enumerate(group.get("groups", ())):
        parts.append(_joined(inner, _parts(inner, f"{path}/groups/{index}", depth + 1, problems)))
    return parts


def _is_any(group: Mapping[str, Any]) -> bool:
    return bool(group.get("match", "all") == "any")


def _joined(group: Mapping[str, Any], parts: Sequence[Condition]) -> Condition:
    any_of = _is_any(group)
    return joined(parts, lambda nodes: _combined(nodes, any_of=any_of), "any" if any_of else "all")


def _combined(parts: Sequence[Node], *, any_of: bool) -> Node:
    """The parts as a balanced tree: a chain of hundreds would exceed the depth that SQLite and Peewee bear."""
    if not parts:
        return SQL("1 = 1")
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    left, right = _combined(parts[:middle], any_of=any_of), _combined(parts[middle:], any_of=any_of)
    return (left | right) if any_of else (left & right)


def _condition(condition: Mapping[str, Any], path: str, problems: list[_Refusal]) -> Condition:
    name, operator, value = condition["field"], condition["operator"], condition["value"]
    field = _CUSTOM_FIELD if name.startswith(CUSTOM_PREFIX) else _FIELDS.get(name)
    if field is None:
        problems.append(_Refusal("filter_unknown_field", f"{path}/field", f"Unknown field: {name}"))
    elif operator not in field.kind.operators:
        message = f"Operator {operator} does not fit field {name}; fitting: {', '.join(field.kind.operators)}"
        problems.append(_Refusal("filter_operator_mismatch", f"{path}/operator", message))
    else:
        try:
            return _made(name, field, operator, _read(field, operator, value))
        except ValueError as error:
            message = f"Value for field {name} with operator {operator} {error}"
            problems.append(_Refusal("filter_invalid_value", f"{path}/value", message))
    return joined([], lambda _: SQL("1 = 1"), "refused")


def _made(name: str, field: _Field, operator: str, value: Any) -> Condition:
    ask = field.kind.operators[operator]
    if name == "tags" and ask in (_has, has_any):
        return has_tags(value if isinstance(value, list) else [value])
    is_list = isinstance(value, list)
    values = value if is_list else [value]

    def make(given: Sequence[Any]) -> Node:
        return ask(field.column, list(given) if is_list else given[0])

    is_exact = ask in (_is, _is_any_of)
    made = Condition((name, operator, len(values)), values, make, field.is_selective and is_exact)
    if name == "status" and is_exact:
        made = replace(made, statuses=values)
    if field is not _CUSTOM_FIELD:
        return made

    def make_custom(given: Sequence[Any]) -> Node:
        return ask(_custom_field(given[0]), list(given[1:]) if is_list else given[1])

    values = [name.removeprefix(CUSTOM_PREFIX), *values]
    return replace(made, shape=(CUSTOM_PREFIX, operator, len(values)), values=values, make=make_custom)


def has_tags(tags: Sequence[str]) -> Condition:
    """The condition that a lead has at least one of these tags; the text tells most leads, the tags tell exactly.

    PostgreSQL gets the condition on the text apart, as it pays only for rare tags.
    """
    exact = Condition(("tags", len(tags)), tags, lambda given: has_any(Lead.tags, list(given)))
    keys = [search_key(tag) for tag in tags]
    if not all(keys):
        return exact
    if len(tags) > _TAGS_BY_TEXT:
        return replace(exact, tags=tags)
    some = joined([holding(f"\n{key}\n") for key in keys], lambda nodes: _combined(nodes, any_of=True), "any")
    both = replace(joined([some, exact], lambda nodes: nodes[0] & nodes[1], "all"), tags=tags)
    return both if is_sqlite() else replace(exact, tags=tags, by_text=both)


def _read(field: _Field, operator: str, value: Any) -> Any:
    if operator in ("is_any_of", "includes_any_of"):
        if not isinstance(value, list):
            raise ValueError("must be a list")
        return [_read_one(field, each) for each in value]
    return field.kind.read(value) if operator == "contains" else _read_one(field, value)


def _read_one(field: _Field, value: Any) -> Any:
    read = field.kind.read(value)
    if field.choices and read not in field.choices:
        raise ValueError(f"must be one of {', '.join(field.choices)}")
    return read


def _read_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


def _read_custom(value: Any) -> str:
    if not isinstance(value, str | int | float):
        raise ValueError("must be a string, a number or a boolean")
    return custom_text(value)


def _read_number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValueError("must be a whole number")
    return int(value)


def _read_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _read_time(value: Any) -> str:
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            return clock.iso(clock.parse(value.upper()))
        except OverflowError:  # its offset leads out of the calendar; what it says without is near enough
            return clock.iso(clock.parse(value[:19]))
        except ValueError:
            pass
    raise ValueError("must be a date or a date-time in ISO 8601")


def _custom_field(name: str) -> NodeList:
    """The value of one custom field; None where the lead has none of that name."""
    if is_sqlite():  # a JSON path cannot quote every name
        each = fn.json_each(Lead.custom_fields)
        return NodeList((SQL("(SELECT value FROM"), each, SQL("WHERE key ="), Value(name), SQL(")")))
    return NodeList((fn.jsonb_extract_path_text(Lead.custom_fields, name),))


def _is(column: Any, value: Any) -> Node:
    return column == value


def _is_not(column: Any, value: Any) -> Node:
    return (column != value) | column.is_null()


def _is_any_of(column: Any, values: Any) -> Node:
    return column.in_(values)


def _is_before(column: Any, value: Any) -> Node:
    return column < value


def _is_after(column: Any, value: Any) -> Node:
    return column > value


def _some(elements: Any, condition: Node) -> NodeList:
    """Whether the condition holds for some `element.value` of a JSON array."""
    each = fn.json_each(elements) if is_sqlite() else fn.jsonb_array_elements_text(elements)
    return NodeList((SQL("EXISTS (SELECT 1 FROM"), each, SQL("AS element WHERE"), condition, SQL(")")))


def has_any(elements: Any, values: Sequence[Any]) -> Node:
    """The condition that a JSON array of strings has at least one of these values."""
    if is_sqlite():
        return _some(elements, SQL("element.value").in_(list(values)))
    listed = NodeList([each if isinstance(each, Value) else Value(each) for each in values], glue=", ")
    return NodeList((elements, SQL("?| ARRAY["), listed, SQL("]::text[]")))


def _has(elements: Any, value: Any) -> Node:
    return has_any(elements, [value])


def _has_not(elements: Any, value: Any) -> Node:
    return NodeList((SQL("NOT"), has_any(elements, [value])))


def _some_holds(elements: Any, part: Any) -> Node:
    return _some(elements, holds_folded(SQL("element.value"), part))


_TEXT_OPERATORS = {"is": _is, "is_not": _is_not, "contains": holds_folded, "is_any_of": _is_any_of}
_TEXT = _Kind(_read_text, _TEXT_OPERATORS)
_CUSTOM = _Kind(_read_custom, _TEXT_OPERATORS)
_NUMBER = _Kind(_read_number, {"is": _is, "is_not": _is_not, "is_any_of": _is_any_of})
_FLAG = _Kind(_read_flag, {"is": _is, "is_not": _is_not})
_MOMENT = _Kind(
    _read_time,
    {"is": _is, "is_not": _is_not, "is_any_of": _is_any_of, "is_before": _is_before, "is_after": _is_after},
)
_LIST = _Kind(
    _read_text,
    {"is": _has, "is_not": _has_not, "contains": _some_holds, "is_any_of": has_any, "includes_any_of": has_any},
)

_CUSTOM_FIELD = _Field(_CUSTOM, None)
_FIELDS = {
    "id": _Field(_NUMBER, Lead.number, is_selective=True),
    "name": _Field(_TEXT, Lead.name),
    "phone": _Field(_TEXT, Lead.phone, is_selective=True),
    "phoneValid": _Field(_FLAG, Lead.phone_valid),
    "email": _Field(_TEXT, Lead.email),
    "status": _Field(_TEXT, Lead.status, _STATUSES),
    "source": _Field(_TEXT, Lead.source),
    "tags": _Field(_LIST, Lead.tags),
    "assignedAgentId": _Field(_TEXT, Lead.assigned_agent_id),
    "abTestId": _Field(_TEXT, Lead.ab_test_id),
    "agentAssignedBy": _Field(_TEXT, Lead.agent_assigned_by, _ASSIGNERS),
    "externalId": _Field(_TEXT, Lead.external_id, is_selective=True),
    "importBatchId": _Field(_TEXT, Lead.import_batch_id, is_selective=True),
    "timezone": _Field(_TEXT, Lead.timezone),
    "optedOut": _Field(_LIST, Lead.opted_out),
    "lastContactedAt": _Field(_MOMENT, Lead.last_contacted_at),
    "createdAt": _Field(_MOMENT, Lead.created_at),
    "updatedAt": _Field(_MOMENT, Lead.updated_at),
}
