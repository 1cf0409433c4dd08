"""Probes of A/B tests: what hangs on a test, a variant or an assignment that was read in another tenant."""

from __future__ import annotations

from typing import Any

from storage import ab_tallies, ab_tests, agents
from storage.ab_tallies import AbAssignment, AbTally
from storage.ab_tests import AbTest, NewVariant
from storage.tenancy import Tenant

from .worlds import Party, World


def _parties(world: World) -> tuple[Tenant, Party]:
    assert world.victim is not None
    return world.attacker.tenant, world.victim


def _said(name: str, answer: Any) -> str | None:
    return f"{name} found {answer!r}" if answer else None


def an_agent_that_may_speak(world: World) -> str | None:
    attacker, victim = _parties(world)
    return _said("active", agents.active(attacker, victim.values["agent"][0]))


def a_running_test(world: World) -> str | None:
    attacker, _ = _parties(world)
    ab_tests.set_status(ab_tests.get(attacker, world.attacker.values["ab test"][0]), "completed")
    return _said("running", ab_tests.running(attacker))


def what_hangs_on_a_test(world: World) -> str | None:
    attacker, victim = _parties(world)
    test = ab_tests.get(victim.tenant, victim.values["ab test"][0])
    lead = AbAssignment.of(victim.tenant).first().lead_number
    ways: dict[str, Any] = {
        "variants": ab_tests.variants(attacker, [test]).get(test.id),
        "offers": [offer for offer in ab_tallies.offers(attacker, lead) if offer.test_oid == test.oid],
        "note_conversation": ab_tallies.note_conversation(attacker, test.oid, lead),
        "tallies": ab_tallies.tallies(attacker, test),
        "are_using": ab_tests.are_using(attacker, victim.values["agent"][0]),
    }
    return _said("a test", [name for name, found in ways.items() if found])


def changing_a_test_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    draft = ab_tests.get(victim.tenant, victim.values["ab test"][1])
    ab_tests.replace_variants(attacker, draft, [NewVariant("2" * 24, "Stray", 1)])
    kept = ab_tests.variants(victim.tenant, [draft])[draft.id]
    ab_tests.delete(attacker, draft)
    [status] = [test.status for test in AbTest.of(victim.tenant).where(AbTest.id == draft.id)] or ["gone"]
    return _said("replace_variants or delete", status == "gone" or len(kept) != 2)


def counting_for_a_variant_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    assignment = AbAssignment.of(victim.tenant).first()
    before = _tallied(victim.tenant)
    ab_tallies.assign(attacker, assignment.test_id, assignment.variant_id, 900004)
    ab_tallies.note_verdict(attacker, assignment.id, None, {"qualified": True})
    after = AbAssignment.of(victim.tenant).first()
    return _said("note", after.qualified_conversations or _tallied(victim.tenant) != before)


def a_message_of_an_assignment_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    assignment = AbAssignment.of(victim.tenant).first()
    ab_tallies.note_message(attacker, assignment.id, 1)
    counted = AbTally.of(attacker).where(AbTally.variant_id == assignment.variant_id).count()
    return _said("note_message", counted)


def _tallied(tenant: Tenant) -> list[Any]:
    return [row.__data__ for row in AbTally.of(tenant).order_by(AbTally.id)]


AB_TEST_PROBES = (
    an_agent_that_may_speak,
    a_running_test,
    what_hangs_on_a_test,
    changing_a_test_that_was_read_elsewhere,
    counting_for_a_variant_that_was_read_elsewhere,
    a_message_of_an_assignment_that_was_read_elsewhere,
)
