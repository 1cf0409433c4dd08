from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import clock, lead_bulk, lead_filters, lead_lists, leads
from storage.errors import Blocked, Invalid
from storage.lead_lists import LeadFilter
from storage.leads import Lead, LeadCounter, NewLead


def found(tenant, *conditions, **filters):
    given_filter = {"conditions": [dict(zip(("field", "operator", "value"), each, strict=True)) for each in conditions]}
    return [lead.name for lead in matching(tenant, {**given_filter, **filters})]


def matching(tenant, filters):
    """The leads that the filter lets through, oldest first, by either way to ask for them; and they are counted."""
    wanted = LeadFilter(conditions=lead_filters.matching(filters))
    newest_first, _ = lead_lists.page(tenant, wanted, limit=100)
    rows, _ = lead_lists.page(tenant, wanted, limit=100, sort="createdAt")
    assert [lead.number for lead in newest_first[::-1]] == [lead.number for lead in rows]
    assert lead_lists.count(tenant, wanted) == len(rows)
    return rows


def refused(filters, **kwargs):
    with pytest.raises((Blocked, Invalid)) as refusal:
        lead_filters.matching(filters, **kwargs)
    return refusal.value


class TestConditions:
    @pytest.fixture(autouse=True)
    def people(self, make_lead):
        make_lead(name="Ada", email="ada@example.com", tags=["VIP", "trade fair"], custom_fields={"seats": 25})
        make_lead(name="Zoë", phone="", status="qualified", external_id="100%_sure", timezone="Europe/Madrid")
        make_lead(name="STRASSE", source="form", phone_valid=False, custom_fields={'say "$.x"': "é😀", "seats": "250"})

    @pytest.mark.parametrize(
        ("condition", "names"),
        [
            (("id", "is", 2), ["Zoë"]),
            (("id", "is_not", 2.0), ["Ada", "STRASSE"]),
            (("id", "is_any_of", [1, 3, 9007199254740991]), ["Ada", "STRASSE"]),
            (("name", "is", "ada"), []),
            (("name", "is", "Ada"), ["Ada"]),
            (("name", "contains", "OË"), ["Zoë"]),
            (("name", "contains", "straße"), ["STRASSE"]),
            (("name", "contains", "%"), []),
            (("externalId", "contains", "0%_S"), ["Zoë"]),
            (("externalId", "contains", "1_0"), []),
            (("externalId", "is_not", "other"), ["Ada", "Zoë", "STRASSE"]),
            (("timezone", "is_not", "Europe/Madrid"), ["Ada", "STRASSE"]),
            (("status", "is_any_of", ["qualified", "contacted"]), ["Zoë"]),
            (("status", "is_any_of", []), []),
            (("phone", "is", ""), ["Zoë"]),
            (("phoneValid", "is", False), ["STRASSE"]),
            (("phoneValid", "is_not", False), ["Ada", "Zoë"]),
            (("tags", "is", "VIP"), ["Ada"]),
            (("tags", "is", "vip"), []),
            (("tags", "is_not", "VIP"), ["Zoë", "STRASSE"]),
            (("tags", "contains", "FAIR"), ["Ada"]),
            (("tags", "includes_any_of", ["x", "trade fair"]), ["Ada"]),
            (("tags", "is_any_of", ["x"]), []),
            (("customFields.seats", "is", 25), ["Ada"]),
            (("customFields.seats", "is_any_of", ["250", 25]), ["Ada", "STRASSE"]),
            (("customFields.seats", "is_not", "25"), ["Zoë", "STRASSE"]),
            (("customFields.seats", "contains", "5"), ["Ada", "STRASSE"]),
            (('customFields.say "$.x"', "contains", "É"), ["STRASSE"]),
            (("lastContactedAt", "is_not", "2026-01-01"), ["Ada", "Zoë", "STRASSE"]),
            (("lastContactedAt", "is_before", "2999-01-01"), []),
            (("createdAt", "is_after", "2020-01-01"), ["Ada", "Zoë", "STRASSE"]),
            (("createdAt", "is_after", "9999-12-31T23:59:59-00:00"), []),
        ],
        ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
    )
    def test_condition(self, tenant, condition, names):
        assert found(tenant, condition) == names

    def test_conditions_and_groups_combine(self, tenant):
        ada, zoe = ("name", "is", "Ada"), ("name", "is", "Zoë")
        either = {
            "match": "any",
            "conditions": [],
            "groups": [{"conditions": [{"field": "id", "operator": "is", "value": 3}]}],
        }

        assert found(tenant, ada, zoe) == []
        assert found(tenant, ada, zoe, match="any") == ["Ada", "Zoë"]
        assert found(tenant, ada, match="any", groups=[either]) == ["Ada", "STRASSE"]
        assert found(tenant, ada, groups=[either]) == []

    def test_no_conditions_hold_for_every_lead(self, tenant):
        assert found(tenant, match="any") == ["Ada", "Zoë", "STRASSE"]

    def test_as_many_conditions_as_are_allowed_can_be_asked(self, tenant):
        one = ("tags", "includes_any_of", [str(index) for index in range(100)])

        assert found(tenant, *[one] * 199, ("id", "is", 1), match="any") == ["Ada"]


class TestTimes:
    @pytest.fixture(autouse=True)
    def contacts(self, tenant, actor, make_lead):
        for at in ("2026-02-28T23:59:59.999Z", "2026-03-01T00:00:00.000Z", "2026-03-01T00:00:00.001Z"):
            leads.update(tenant, make_lead(name=at).number, {"last_contacted_at": at}, actor)
        make_lead(name="never")

    @pytest.mark.parametrize(
        "day", ["2026-03-01", "2026-03-01T01:00+01:00", "2026-03-01t00:00:00z", "2026-02-28 19:00:00.000-05:00"]
    )
    def test_before_and_after_exclude_the_moment_itself(self, tenant, day):
        assert found(tenant, ("lastContactedAt", "is_before", day)) == ["2026-02-28T23:59:59.999Z"]
        assert found(tenant, ("lastContactedAt", "is", day)) == ["2026-03-01T00:00:00.000Z"]
        assert found(tenant, ("lastContactedAt", "is_after", day)) == ["2026-03-01T00:00:00.001Z"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("field", "operator", "value", "code", "path"),
        [
            ("colour", "is", "red", "filter_unknown_field", "field"),
            ("customFields", "is", "red", "filter_unknown_field", "field"),
            ("name", "is_before", "2026-01-01", "filter_operator_mismatch", "operator"),
            ("name", "includes_any_of", ["a"], "filter_operator_mismatch", "operator"),
            ("createdAt", "contains", "2026", "filter_operator_mismatch", "operator"),
            ("phoneValid", "is_any_of", ["true"], "filter_operator_mismatch", "operator"),
            ("customFields.x", "is_after", "2026-01-01", "filter_operator_mismatch", "operator"),
            ("id", "is", "1", "filter_invalid_value", "value"),
            ("id", "is", True, "filter_invalid_value", "value"),
            ("id", "is", 1.5, "filter_invalid_value", "value"),
            ("name", "is", 1, "filter_invalid_value", "value"),
            ("name", "is", ["a"], "filter_invalid_value", "value"),
            ("name", "is_any_of", "a", "filter_invalid_value", "value"),
            ("name", "is_any_of", [1], "filter_invalid_value", "value"),
            ("tags", "includes_any_of", "a", "filter_invalid_value", "value"),
            ("customFields.x", "is", ["a"], "filter_invalid_value", "value"),
            ("status", "is", "old", "filter_invalid_value", "value"),
            ("phoneValid", "is", "true", "filter_invalid_value", "value"),
            ("createdAt", "is", "yesterday", "filter_invalid_value", "value"),
            ("createdAt", "is", "2026-02-30", "filter_invalid_value", "value"),
            ("createdAt", "is", "20260301", "filter_invalid_value", "value"),
        ],
    )
    def test_what_cannot_be_asked_is_named(self, field, operator, value, code, path):
        condition = {"field": field, "operator": operator, "value": value}

        refusal = refused({"conditions": [], "groups": [{"conditions": [condition]}]})

        assert refusal.code == code
        assert [problem.path for problem in refusal.problems] == [f"/filters/groups/0/conditions/0/{path}"]
        assert field in refusal.message

    def test_all_problems_are_told(self):
        wrong = {"field": "colour", "operator": "is", "value": "red"}

        refusal = refused({"conditions": [wrong, {**wrong, "field": "id"}]}, path="/advancedFilter")

        assert [problem.path for problem in refusal.problems] == [
            "/advancedFilter/conditions/0/field",
            "/advancedFilter/conditions/1/value",
        ]

    def test_groups_nest_two_deep(self):
        group = {"conditions": [], "groups": [{"conditions": [], "groups": [{"conditions": []}]}]}

        lead_filters.matching({"conditions": [], "groups": group["groups"]})
        assert refused({"conditions": [], "groups": [group]}).code == "filter_too_deep"

    def test_conditions_are_limited(self):
        one = {"field": "id", "operator": "is", "value": 1}

        assert refused({"conditions": [one], "groups": [{"conditions": [one] * 50}] * 4}).code == "filter_too_large"


# The property: the database answers what plain Python does. Few values, so that filters and leads meet.

TEXTS = [
    "",
    "a",
    "A",
    "straße",
    "STRASSE",
    "É",
    "é",
    "ΟΔΟΣ",
    "οδος",
    "ς",
    "İ",
    "%",
    "_",
    "a_b",
    "\\",
    "'",
    "😀 a",
    "25",
]
TIMES = [datetime(2026, 3, day, hour, tzinfo=UTC) for day in (1, 2) for hour in (0, 12)]

texts = st.sampled_from(TEXTS)
people = st.builds(
    dict,
    name=texts,
    email=texts,
    status=st.sampled_from(["new", "contacted"]),
    tags=st.lists(texts, max_size=3, unique=True),
    timezone=st.none() | texts,
    phone_valid=st.booleans(),
    custom_fields=st.dictionaries(st.sampled_from(["a", 'q"$[0]', "é"]), texts | st.sampled_from([25, True, 2.5])),
    last_contacted_at=st.none() | st.sampled_from(TIMES).map(clock.iso),
)
text_tests = st.one_of(
    st.tuples(st.sampled_from(["is", "is_not", "contains"]), texts),
    st.tuples(st.just("is_any_of"), st.lists(texts, max_size=3)),
)
tests = st.one_of(
    st.tuples(
        st.sampled_from(["name", "email", "timezone", "customFields.a", 'customFields.q"$[0]', "customFields.é"]),
        text_tests,
    ),
    st.tuples(st.just("tags"), text_tests | st.tuples(st.just("includes_any_of"), st.lists(texts, max_size=3))),
    st.tuples(st.just("status"), st.tuples(st.sampled_from(["is", "is_not"]), st.sampled_from(["new", "qualified"]))),
    st.tuples(st.just("phoneValid"), st.tuples(st.sampled_from(["is", "is_not"]), st.booleans())),
    st.tuples(
        st.just("lastContactedAt"),
        st.tuples(
            st.sampled_from(["is", "is_not", "is_before", "is_after"]),
            st.sampled_from(["2026-03-01", "2026-03-02", "2026-03-02T14:00:00+02:00"]),
        ),
    ),
).map(lambda test: {"field": test[0], "operator": test[1][0], "value": test[1][1]})


def groups_of(depth):
    inner = {} if depth == 0 else {"groups": st.lists(groups_of(depth - 1), max_size=2)}
    required = {"conditions": st.lists(tests, max_size=3)}
    return st.fixed_dictionaries(required, optional={"match": st.sampled_from(["all", "any"]), **inner})


def holds(group, lead):
    answers = [holds_condition(condition, lead) for condition in group["conditions"]]
    answers += [holds(inner, lead) for inner in group.get("groups", [])]
    return not answers or (any(answers) if group.get("match") == "any" else all(answers))


def holds_condition(condition, lead):
    field, operator, wanted = condition["field"], condition["operator"], condition["value"]
    if field == "tags":
        return holds_of_list(lead.tags, operator, wanted)
    columns = {"phoneValid": "phone_valid", "lastContactedAt": "last_contacted_at"}
    if field.startswith("customFields."):
        value = lead.custom_fields.get(field.removeprefix("customFields."))
    else:
        value = getattr(lead, columns.get(field, field))
    if field == "lastContactedAt":
        value, wanted = value and datetime.fromisoformat(value), datetime.fromisoformat(wanted)
        wanted = wanted if wanted.tzinfo else wanted.replace(tzinfo=UTC)
    if operator == "is_not":
        return value != wanted
    return (
        value is not None
        and {
            "is": lambda: value == wanted,
            "contains": lambda: wanted.casefold() in value.casefold(),
            "is_any_of": lambda: value in wanted,
            "is_before": lambda: value < wanted,
            "is_after": lambda: value > wanted,
        }[operator]()
    )


def holds_of_list(values, operator, wanted):
    return {
        "is": lambda: wanted in values,
        "is_not": lambda: wanted not in values,
        "contains": lambda: any(wanted.casefold() in value.casefold() for value in values),
        "is_any_of": lambda: bool(set(wanted) & set(values)),
        "includes_any_of": lambda: bool(set(wanted) & set(values)),
    }[operator]()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(people, min_size=1, max_size=6), groups_of(2))
def test_database_answers_what_plain_python_does(tenant, some, filters):
    Lead.remove(tenant).execute()
    stored = []
    for number, values in enumerate(some, 1):
        last_contacted_at = values.pop("last_contacted_at", None)
        stored.append(leads.build(tenant, NewLead(**values), clock.stamp()))
        stored[-1].number, stored[-1].last_contacted_at = number, last_contacted_at
    lead_bulk.write(tenant, stored)
    LeadCounter.update(live=len(stored)).where(LeadCounter.tenant_id == tenant.id).execute()

    expected = [lead.number for lead in stored if holds(filters, lead)]
    assert [lead.number for lead in matching(tenant, filters)] == expected
