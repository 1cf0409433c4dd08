"""A/B tests in storage: one that runs, variants in order, and tallies that many may write to at once."""

from __future__ import annotations

import contextlib
import threading

import pytest

from storage import ab_tallies, ab_tests
from storage.ab_tallies import AbAssignment, AbTally, Tally
from storage.ab_tests import NewVariant
from storage.database import transaction
from storage.errors import Conflict, NotFound
from tests.conftest import ENGINE

AGENTS = ["1" * 24, "2" * 24]


@pytest.fixture
def make_test(tenant):
    def make(owner=tenant, status="draft", weights=(50.5, 49.5)):
        parts = [NewVariant(oid, f"Agent {oid[0]}", weight) for oid, weight in zip(AGENTS, weights, strict=True)]
        test = ab_tests.add(owner, "Greeting", None, parts)
        if status != "draft":
            ab_tests.set_status(test, status)
        return test

    return make


@pytest.fixture
def variants(tenant, make_test):
    test = make_test()
    return ab_tests.variants(tenant, [test])[test.id]


def test_variants_come_in_their_order_with_their_weights(tenant, make_test):
    first, second = make_test(), make_test(weights=(1, 1e-9))

    found = ab_tests.variants(tenant, [first, second])

    assert [(each.agent_config_id, each.weight) for each in found[first.id]] == list(
        zip(AGENTS, (50.5, 49.5), strict=True)
    )
    assert [each.weight for each in found[second.id]] == [1, 1e-9]


def test_tenant_has_one_running_test(tenant, other_tenant, make_test):
    running = make_test(status="running")
    make_test(other_tenant, status="running")

    with pytest.raises(Conflict, match="Another A/B test is running"), transaction():
        make_test(status="running")

    assert ab_tests.running(tenant) == running


def test_deleted_test_takes_everything_with_it_and_what_goes_on_is_not_counted(tenant, make_test, make_lead):
    test = make_test(status="running")
    variant = ab_tests.variants(tenant, [test])[test.id][0]
    assignment_id = ab_tallies.assign(tenant, test.id, variant.id, make_lead().number)

    ab_tests.delete(tenant, test)
    ab_tallies.note_message(tenant, assignment_id, 10)
    ab_tallies.note_verdict(tenant, assignment_id, None, {"qualified": True})

    with pytest.raises(NotFound):
        ab_tests.get(tenant, test.oid)
    assert (AbAssignment.of(tenant).count(), AbTally.of(tenant).count()) == (0, 0)


def test_lead_is_assigned_once(tenant, variants):
    ab_tallies.assign(tenant, variants[0].test_id, variants[0].id, 7)

    with pytest.raises(Exception, match=r"uq_ab_assignment_lead|UNIQUE"), transaction():
        ab_tallies.assign(tenant, variants[1].test_id, variants[1].id, 7)


def test_lead_finds_the_variants_of_the_running_test_and_its_own(tenant, make_test):
    assert ab_tallies.offers(tenant, 7) == []
    make_test()
    test = make_test(status="running")
    second = ab_tests.variants(tenant, [test])[test.id][1]
    ab_tallies.assign(tenant, test.id, second.id, 7)

    found = ab_tallies.offers(tenant, 7)

    assert [(each.test_oid, each.agent_config_id, each.weight, each.is_taken) for each in found] == [
        (test.oid, AGENTS[0], 50.5, False),
        (test.oid, AGENTS[1], 49.5, True),
    ]
    assert not any(each.is_taken for each in ab_tallies.offers(tenant, 8))


def test_conversation_counts_only_for_the_running_test_of_its_lead(tenant, make_test):
    test = make_test(status="running")
    first = ab_tests.variants(tenant, [test])[test.id][0]
    assignment_id = ab_tallies.assign(tenant, test.id, first.id, 7)

    assert ab_tallies.note_conversation(tenant, test.oid, 7) == assignment_id
    assert ab_tallies.note_conversation(tenant, test.oid, 8) is None
    ab_tests.set_status(test, "paused")
    assert ab_tallies.note_conversation(tenant, test.oid, 7) is None


def test_tally_follows_verdicts_back_and_forth(tenant, make_test):
    test = make_test()
    variant = ab_tests.variants(tenant, [test])[test.id][0]
    assignment_id = ab_tallies.assign(tenant, test.id, variant.id, 7)
    yes, no = {"qualified": True, "reason": "Budget"}, {"qualified": False}

    def told(before, after):
        ab_tallies.note_verdict(tenant, assignment_id, before, after)
        tally = ab_tallies.tallies(tenant, test)[variant.id]
        return tally.qualified, tally.disqualified, tally.qualified_leads

    assert told(None, yes) == (1, 0, 1)
    assert told(yes, {**yes, "reason": "Date"}) == (1, 0, 1)
    assert told(None, yes) == (2, 0, 1)  # in another conversation
    assert told(yes, no) == (1, 1, 1)
    assert told(yes, None) == (0, 1, 0)


def test_tally_is_the_sum_of_what_was_noted(tenant, make_test):
    test = make_test(status="running")
    first = ab_tests.variants(tenant, [test])[test.id][0]
    for number in (1, 2, 3):
        ab_tallies.assign(tenant, test.id, first.id, number)
    assignment_id = ab_tallies.note_conversation(tenant, test.oid, 2)
    for _ in range(4):
        ab_tallies.note_message(tenant, assignment_id, 1500)

    assert ab_tallies.tallies(tenant, test) == {first.id: Tally(leads=3, conversations=1, messages=4, duration_ms=6000)}


def test_writers_of_one_tally_do_not_wait_for_each_other(tenant, make_test):
    test = make_test()
    variant = ab_tests.variants(tenant, [test])[test.id][0]
    ab_tallies.assign(tenant, variant.test_id, variant.id, 1)
    threads = [threading.Thread(target=_assign_some, args=(tenant, variant, first)) for first in (10, 20, 30, 40)]

    # SQLite has one writer at a time anyway: there it is done before the others begin.
    with contextlib.nullcontext() if ENGINE == "sqlite" else transaction():
        ab_tallies.assign(tenant, variant.test_id, variant.id, 2)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert not any(thread.is_alive() for thread in threads)

    assert ab_tallies.tallies(tenant, test)[variant.id].leads == 42


def _assign_some(tenant, variant, first):
    for number in range(first, first + 10):
        with transaction():
            ab_tallies.assign(tenant, variant.test_id, variant.id, number)


def test_agent_of_a_completed_test_is_not_needed_any_more(tenant, make_test):
    test = make_test(status="running")
    assert ab_tests.are_using(tenant, AGENTS[0])

    ab_tests.set_status(test, "completed")

    assert not ab_tests.are_using(tenant, AGENTS[0])


def test_pages_are_of_one_status_newest_first(tenant, make_test):
    drafts = [make_test() for _ in range(3)]
    make_test(status="completed")

    found, total, cursor = ab_tests.page(tenant, status="draft", limit=2)
    rest, _, end = ab_tests.page(tenant, status="draft", limit=2, cursor=cursor)

    assert [each.oid for each in found + rest] == [each.oid for each in drafts[::-1]]
    assert (total, end) == (3, None)
