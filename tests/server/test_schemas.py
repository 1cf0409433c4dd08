"""Compiled validators judge as the reference implementation of JSON schema does, over the contract's own schemas."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator, FormatChecker

from server.contract import dereference, document
from server.schemas import Validator, to_json_schema
from storage.errors import Problem

DOCUMENT = document()
REQUESTS = sorted(
    name
    for name, schema in DOCUMENT["components"]["schemas"].items()
    if schema.get("type") == "object" and name.endswith(("Create", "Update", "Request", "Condition", "Item", "Content"))
)
# FormatChecker knows fewer formats than the compiled validator; where both know one they agree.
_SCALARS = (
    st.none() | st.booleans() | st.integers(-5, 3_000_000_000) | st.floats(allow_nan=False) | st.text(max_size=12)
)
_ANYTHING = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner)
)


def _near(schema: dict) -> st.SearchStrategy:
    """Objects with the schema's own member names and whatever values, most of them wrong in some way."""
    names = sorted(schema["properties"])
    examples = {name: member.get("example") for name, member in schema["properties"].items()}
    value = st.sampled_from(names).flatmap(
        lambda name: st.tuples(st.just(name), st.just(examples[name]) | _ANYTHING if examples[name] else _ANYTHING)
    )
    return st.lists(value, max_size=len(names)).map(dict)


@pytest.mark.parametrize("name", REQUESTS)
def test_compiled_validator_agrees_with_the_reference(name: str) -> None:
    schema = dereference(DOCUMENT, DOCUMENT["components"]["schemas"][name])
    compiled = Validator(schema, "Request body")
    reference = Draft4Validator(to_json_schema(schema), format_checker=FormatChecker())

    @settings(max_examples=25, deadline=None)
    @given(_near(schema))
    def judge(value: object) -> None:
        assert bool(compiled.problems(value)) is not reference.is_valid(value)

    judge()


def test_every_problem_is_named_with_a_pointer_and_no_value() -> None:
    schema = dereference(DOCUMENT, DOCUMENT["components"]["schemas"]["LeadCreate"])
    secret = "hunter2-" * 40

    problems = Validator(schema, "Request body").problems({"status": secret, "tags": secret, "name": secret, "x": 1})

    assert {problem.path for problem in problems} == {"/phone", "/status", "/tags", "/name", "/x"}
    assert secret not in str(problems)


def test_problems_are_those_of_the_schema_that_knows_the_members() -> None:
    schema = dereference(DOCUMENT, DOCUMENT["components"]["schemas"]["IntegrationInput"])

    problems = Validator(schema, "Request body").problems({"wabaId": "1", "phoneNumberId": "x", "appSecret": "short"})

    assert {problem.path for problem in problems} == {"/phoneNumberId", "/appSecret", "/accessToken"}


def test_of_a_large_value_the_first_problem_alone_is_told() -> None:
    judge = Validator({"type": "array", "items": {"type": "object", "required": ["a"]}}, "body")

    assert len(judge.problems([{}] * 499)) == 499
    assert judge.problems([{}] * 500) == [Problem("/0/a", "a is required")]
    assert judge.problems([{"a": 1}] * 500) == []
