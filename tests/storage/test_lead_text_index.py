"""The index of text and the leads that it does not know yet: together they find what looking at every lead finds."""

from __future__ import annotations

import random

import pytest

from storage import clock, database, lead_filters, lead_lists, lead_search, leads, migrate
from storage.database import is_sqlite
from storage.lead_conditions import Condition
from storage.lead_lists import LeadFilter
from storage.leads import Lead, NewLead
from storage.statements import slot, statement
from storage.tenancy import Tenant
from tests.conftest import ENGINE, own_database

WORDS = ("ada", "Ada", "zuß", "a", "ab", "x@example.com", "100%", "_", 'say "hi"', "o'brien", "näme", "vip", "42")


@pytest.fixture
def crowd(tenant, actor):
    """Some hundred leads whose words come again and again, some of them changed or deleted later."""
    draw = random.Random(1)
    for index in range(300):
        name = " ".join(draw.sample(WORDS, 2))
        tags = draw.sample(WORDS, draw.randrange(3))
        leads.create(tenant, NewLead(phone=f"+1202555{index:04}", name=name, tags=tags), actor)
        if index % 10 == 0:
            leads.update(tenant, draw.randrange(1, index + 2), {"name": draw.choice(WORDS)}, actor)
    for number in range(1, 300, 50):
        leads.delete(tenant, number, actor)


def index_up_to(newest):
    if is_sqlite():
        database.database.execute_sql("UPDATE lead_text_mark SET indexed_to = ?", (newest,))


def numbers(rows):
    return [lead.number for lead in rows]


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize("indexed_to", [256, 290, 300])
def test_a_list_by_text_is_what_looking_at_every_lead_finds(tenant, indexed_to):
    index_up_to(indexed_to)
    every = list(leads.live(tenant).order_by(Lead.number.desc()))

    for tag in WORDS:
        expected = [lead.number for lead in every if tag in lead.tags]
        pages, cursor = [], None
        while not pages or cursor:
            rows, cursor = lead_lists.page(tenant, LeadFilter(tags=[tag]), limit=7, cursor=cursor)
            pages += numbers(rows)
        assert pages == expected
        assert numbers(lead_lists.page(tenant, LeadFilter(tags=[tag]), limit=9, skip=5)[0]) == expected[5:14]
        assert lead_lists.count(tenant, LeadFilter(tags=[tag], q="ada")) == len(
            [lead for lead in every if tag in lead.tags and "ada" in lead.search_text]
        )
    for word in WORDS:
        expected = [lead.number for lead in every if word.casefold() in lead.search_text]
        assert numbers(lead_lists.page(tenant, LeadFilter(q=word), limit=300)[0]) == expected


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize("limit", [1, 10, 50])
@pytest.mark.parametrize("q", ["ada", "ab", "a", "zuß", "100%", 'say "hi"', "ada ab", "example", "vip 42", "nobody"])
def test_a_search_ranks_like_one_that_sorts_every_match(tenant, q, limit):
    every = list(leads.live(tenant).order_by(Lead.number.desc()))

    def rank(text):
        key = q.casefold().replace("ß", "ss")
        ways = [
            f"\n{key}\n" in text,
            f"\n{key}" in text,
            any(f"{char}{key}" in text for char in " -_.,:/@+#('\""),
            key in text,
        ]
        return ways.index(True) if True in ways else 4

    matches = [
        lead for lead in every if all(word in lead.search_text for word in q.casefold().replace("ß", "ss").split())
    ]
    expected = [lead.number for lead in sorted(matches, key=lambda lead: rank(lead.search_text))][:limit]

    for indexed_to in (256, 300):
        index_up_to(indexed_to)
        assert numbers(lead_search.search(tenant, q, limit=limit)) == expected


def test_a_tag_beside_a_rare_status_is_found_either_way(tenant, make_lead):
    for index in range(20):
        make_lead(tags=["vip"] if index % 2 else ["VIP"], status="qualified" if index == 7 else "new")
    index_up_to(20)
    condition = {"field": "tags", "operator": "is_any_of", "value": ["vip", "other"]}
    filters = {"conditions": [condition, {"field": "status", "operator": "is", "value": "qualified"}]}
    wanted = LeadFilter(conditions=lead_filters.matching(filters))

    assert numbers(lead_lists.page(tenant, wanted, limit=10)[0]) == [8]
    assert lead_lists.count(tenant, wanted) == 1


def test_leads_of_others_and_erased_ones_are_not_found(tenant, other_tenant, make_lead):
    gone, kept = make_lead(tags=["vip"]), make_lead(tags=["vip"])
    make_lead(other_tenant, tags=["vip"])
    index_up_to(3)
    Lead.remove(tenant).where(Lead.number == gone.number).execute()

    assert numbers(lead_lists.page(tenant, LeadFilter(tags=["vip"]), limit=10)[0]) == [kept.number]
    assert numbers(lead_search.search(tenant, "vip", limit=10)) == [kept.number]


@pytest.fixture
def before(database_url, tmp_path):
    """A database of the version before, of whatever engine."""
    url = f"sqlite:///{tmp_path}/before.db" if ENGINE == "sqlite" else own_database(database_url, "newleaf_before")
    opened = database.connect(url)
    with database.connection():
        migrate._runner().up("0001_foundation")
        yield _old_tenant()
    opened.close_all()


def _old_tenant():
    """A tenant as that version stored it, with fewer columns than the models have now."""
    account, moment = "0a" * 12, clock.stamp()
    insert = database.database.execute_sql
    insert(f"INSERT INTO account VALUES ('{account}', 'Example', 'UTC', NULL, '{moment}', '{moment}')")
    insert(f"INSERT INTO account_environment VALUES (1, '{account}', 'live', 'whk_1', 'hash')")
    insert("INSERT INTO lead_counter VALUES (1, 0, 0)")
    return Tenant(1, account, "live")


def test_leads_that_were_there_before_are_tallied_and_indexed(before):
    for index in range(3):
        lead = leads.build(before, NewLead(phone=f"+120255501{index:02}", tags=["vip"]), clock.stamp())
        leads._insert_next(before, lead)  # alone: the audit log of that version lacks columns

    assert migrate.upgrade()[0].startswith("0002")

    assert lead_lists.count(before, LeadFilter(tags=["vip"])) == 3
    assert lead_lists.count(before, LeadFilter(statuses=["new"])) == 3
    assert numbers(lead_search.search(before, "vip", limit=10)) == [3, 2, 1]


def test_a_statement_is_built_once_for_conditions_that_are_shaped_alike(tenant, make_lead):
    make_lead(name="Ada")
    built = []

    def build():
        built.append(1)
        return leads.live(tenant, Lead.name).where(Lead.number == slot("number"))

    for number in (1, 2):
        statement(("test", number > 0), build).run({"number": number}).fetchall()

    assert len(built) == 1
    assert Condition("shape", [1], lambda given: Lead.number == given[0]).node.rhs == 1
