"""What a turn may store on a lead: only where nothing stood, and only what will do."""

from __future__ import annotations

import pytest

from engine.agents import Turn
from engine.learning import MOST_FIELDS, learn, learned
from storage import leads
from storage.leads import Lead


def lead(**columns):
    return Lead(**{"name": "Unknown", "email": "", "custom_fields": {}, **columns})


@pytest.mark.parametrize(
    ("known", "extracted", "changes"),
    [
        ({}, {"email": "ada@example.com"}, {"email": "ada@example.com"}),
        ({"email": "x@example.com"}, {"email": "ada@example.com"}, {}),
        ({}, {"email": "ada at example"}, {}),
        ({}, {"email": "a@b.c d@e.f"}, {}),
        ({}, {"email": "a" * 64 + "@" + "b" * 200 + ".com"}, {}),
        ({}, {"name": " Ada   Byron "}, {"name": "Ada Byron"}),
        ({}, {"full_name": "Ada Byron"}, {"name": "Ada Byron"}),
        ({"name": "Grace"}, {"name": "Ada"}, {}),
        ({}, {"name": "evil.com"}, {}),
        ({}, {"name": "<b>Ada</b>"}, {}),
        ({}, {"name": "A" * 81}, {}),
        ({}, {"budget": " $5,000 "}, {"custom_fields": {"budget": "$5,000"}}),
        ({"custom_fields": {"Budget": "$1"}}, {"budget": "$5,000"}, {}),
        ({}, {"budget": " "}, {}),
        ({}, {"a.b": "x", "$x": "y", "1": "z", "n" * 65: "w"}, {}),
    ],
    ids=[
        "email", "email is known", "no email", "two emails", "too long an email", "name", "full name", "name is known",
        "link as a name", "markup as a name", "too long a name", "field", "field is known in another case",
        "empty field", "odd names",
    ],
)  # fmt: skip
def test_fact_is_stored_where_nothing_stood(known, extracted, changes):
    assert learned(lead(**known), extracted) == changes


def test_language_is_kept_once():
    assert learned(lead(), {}, "es") == {"custom_fields": {"language": "es"}}
    assert learned(lead(custom_fields={"language": "fr"}), {}, "es") == {}


def test_accounts_own_fields_find_room():
    many = {f"fact {chr(97 + n // 26)}{chr(97 + n % 26)}": "x" for n in range(100)}

    assert len(learned(lead(), many)["custom_fields"]) == MOST_FIELDS
    assert learned(lead(custom_fields={str(n): "x" for n in range(MOST_FIELDS)}), {"budget": "x"}) == {}


def test_learned_lead_is_found_by_its_name(tenant, make_lead):
    stored = make_lead()
    facts = {"name": "Ada Byron", "budget": "$5,000"}
    turn = Turn("Hello", None, False, "contacted", "active", extracted=facts, language="es")

    learn(tenant, stored, turn)

    found = leads.get(tenant, stored.number)
    assert (found.name, found.custom_fields) == ("Ada Byron", {"budget": "$5,000", "language": "es"})
    assert "ada byron" in found.search_text
