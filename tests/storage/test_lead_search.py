from __future__ import annotations

import pytest

from storage import lead_search, leads


def found(tenant, q, phones=(), limit=50):
    return [lead.name for lead in lead_search.search(tenant, q, phones, limit=limit)]


def test_best_match_stands_first_and_newest_among_equals(tenant, make_lead):
    make_lead(name="Nevada Example")
    make_lead(name="Bob", email="bob-ada@example.com")
    make_lead(name="Adam")
    make_lead(name="ADA")
    make_lead(name="Mr Ada")
    make_lead(name="Ada Example")
    make_lead(name="Grace")

    assert found(tenant, "ada") == ["ADA", "Ada Example", "Adam", "Mr Ada", "Bob", "Nevada Example"]
    assert found(tenant, "ada", limit=2) == ["ADA", "Ada Example"]


@pytest.mark.parametrize(
    "q",
    [
        "ada example",
        "ADA  EXAMPLE",
        "example ada",
        "@example.com",
        "newsletter",
        "crm-1",
        "zuß",
        "12025550142",
        "+1202",
    ],
)
def test_every_searched_property_finds(tenant, make_lead, q):
    make_lead(
        name="Ada Example",
        phone="+12025550142",
        email="a@example.com",
        tags=["Newsletter", "ZUSS"],
        external_id="CRM-1",
    )
    make_lead(name="Grace", phone="+4930123456")

    assert found(tenant, q) == ["Ada Example"]


def test_words_are_found_apart_after_those_together(tenant, make_lead):
    make_lead(name="Ada Example")
    make_lead(name="Example Ada")

    assert found(tenant, "ada example") == ["Ada Example", "Example Ada"]


@pytest.mark.parametrize("q", ["%", "_d_", "a%a", "*", "\\", "'", '"', " "])
def test_no_character_is_a_wildcard(tenant, make_lead, q):
    make_lead(name="Ada")

    assert found(tenant, q) == []


def test_characters_that_could_be_wildcards_find_themselves(tenant, make_lead):
    make_lead(name="100%_\\")
    make_lead(name="1000")

    assert found(tenant, "0%_\\") == ["100%_\\"]


def test_phone_is_found_by_digits_best_first(tenant, make_lead):
    make_lead(name="within", phone="+499120255501")
    make_lead(name="starts", phone="+120255501424")
    make_lead(name="whole", phone="+12025550142")
    make_lead(name="text", external_id="(1) 202-55501")

    assert found(tenant, "(1) 202-55501", ["120255501"])[0] == "text"
    assert found(tenant, "+1 (202) 555-0142", ["12025550142"]) == ["whole", "starts"]


def test_deleted_and_foreign_leads_are_not_found(tenant, other_tenant, actor, make_lead):
    make_lead(other_tenant, name="Ada")
    leads.delete(tenant, make_lead(name="Ada").number, actor)

    assert found(tenant, "ada") == []


def test_search_follows_every_change(tenant, actor, make_lead):
    lead = make_lead(name="Ada", tags=["old"])

    leads.update(tenant, lead.number, {"name": "Grace", "tags": ["new"]}, actor)

    assert [found(tenant, q) for q in ("ada", "old", "grace", "new")] == [[], [], ["Grace"], ["Grace"]]
