"""What may become of a test, and what is refused."""

from __future__ import annotations

import pytest

from engine import agent_configs, conversations
from engine.ab_tests import lifecycle, results
from storage import ab_tallies, ab_tests, accounts
from storage.audit import AuditEntry
from storage.errors import Blocked, Conflict, NotFound


@pytest.fixture
def move(tenant, actor):
    return lambda test, status: lifecycle.change_status(tenant, test.oid, status, actor=actor)


def decide(tenant, test, *counts):
    """Give each variant so many leads, of whom so many qualified."""
    for variant, (leads, qualified) in zip(ab_tests.variants(tenant, [test])[test.id], counts, strict=True):
        ab_tallies.AbTally.add(tenant, variant_id=variant.id, leads=leads, qualified_leads=qualified)


def actions(tenant):
    of_tests = AuditEntry.of(tenant.account_id).where(AuditEntry.resource_type == "ab_test")
    return [entry.action for entry in of_tests.order_by(AuditEntry.created_at, AuditEntry.id)]


def test_test_goes_its_way_and_each_step_is_audited(tenant, actor, make_test, move):
    test = make_test("draft")

    for status in ("running", "paused", "running", "completed"):
        assert move(test, status).status == status
    lifecycle.delete(tenant, test.oid, actor=actor)

    steps = ["created", "started", "paused", "resumed", "completed", "deleted"]
    assert actions(tenant) == [f"ab_test.{step}" for step in steps]


@pytest.mark.parametrize(
    ("way", "refused"),
    [
        ([], ["paused", "completed"]),
        (["running"], ["draft"]),
        (["running", "paused"], ["draft"]),
        (["running", "completed"], ["draft", "running", "paused"]),
    ],
    ids=["draft", "running", "paused", "completed"],
)
def test_other_moves_are_refused(make_test, move, way, refused):
    test = make_test("draft")
    for status in way:
        move(test, status)

    for status in refused:
        with pytest.raises(Conflict) as refusal:
            move(test, status)
        assert refusal.value.code == "illegal_status_change"


def test_same_status_again_changes_nothing(tenant, make_test, move):
    test = make_test()
    before = actions(tenant)

    assert move(test, "running").updated_at == test.updated_at
    assert actions(tenant) == before


def test_second_running_test_is_refused_by_the_name_of_the_first(make_test, move):
    running, other = make_test(), make_test("draft")

    with pytest.raises(Conflict) as refusal:
        move(other, "running")

    assert (refusal.value.code, refusal.value.details) == ("ab_test_running", running.oid)


def test_test_cannot_start_with_an_agent_that_may_not_speak(tenant, actor, make_test, move):
    test = make_test("draft")
    [first, _] = ab_tests.variants(tenant, [test])[test.id]
    agent_configs.update(tenant, first.agent_config_id, {"status": "inactive"}, actor=actor)

    with pytest.raises(Conflict, match="Agent 0 is not active"):
        move(test, "running")


def test_variants_are_edited_in_a_draft_only(tenant, actor, make_test, make_agent, move):
    test = make_test("draft")
    other = [{"agentConfigId": make_agent().oid, "weight": weight} for weight in (1, 2, 3)]

    lifecycle.update(tenant, test.oid, {"variants": other}, actor=actor)
    move(test, "running")

    weights = [each.weight for each in ab_tests.variants(tenant, [test])[test.id]]
    assert weights == [1, 2, 3]
    with pytest.raises(Conflict, match="only in a draft"):
        lifecycle.update(tenant, test.oid, {"variants": other[:2]}, actor=actor)


def test_running_test_takes_its_own_variants_back_with_a_new_name(tenant, actor, make_test):
    test = make_test()
    same = [
        {"agentConfigId": each.agent_config_id, "weight": each.weight}
        for each in ab_tests.variants(tenant, [test])[test.id]
    ]

    body = {"name": "Renamed", "description": "Two greetings", "variants": same, "status": "running"}
    after = lifecycle.update(tenant, test.oid, body, actor=actor)

    assert (after.name, after.description) == ("Renamed", "Two greetings")
    assert lifecycle.update(tenant, test.oid, {"description": ""}, actor=actor).description is None
    assert actions(tenant).count("ab_test.updated") == 2


def test_status_is_not_edited_in_passing(tenant, actor, make_test):
    with pytest.raises(Conflict) as refusal:
        lifecycle.update(tenant, make_test("draft").oid, {"status": "running"}, actor=actor)

    assert refusal.value.code == "status_not_editable"


def test_agent_twice_is_refused_with_its_place(tenant, actor, make_agent):
    oid = make_agent().oid
    body = {"name": "Twice", "variants": [{"agentConfigId": oid, "weight": 1}, {"agentConfigId": oid, "weight": 2}]}

    with pytest.raises(Blocked) as refusal:
        lifecycle.create(tenant, body, actor=actor)

    assert [problem.path for problem in refusal.value.problems] == ["/variants/1/agentConfigId"]


def test_agent_of_another_tenant_is_not_found(tenant, live_tenant, actor, make_agent):
    oids = [make_agent().oid, make_agent(live_tenant).oid]

    with pytest.raises(NotFound) as refusal:
        lifecycle.create(
            tenant, {"name": "A", "variants": [{"agentConfigId": oid, "weight": 1} for oid in oids]}, actor=actor
        )

    assert [problem.path for problem in refusal.value.problems] == ["/variants/1/agentConfigId"]


def test_running_test_and_its_agents_are_not_deleted(tenant, actor, make_test):
    test = make_test()
    [first, _] = ab_tests.variants(tenant, [test])[test.id]

    with pytest.raises(Conflict):
        lifecycle.delete(tenant, test.oid, actor=actor)
    with pytest.raises(Conflict, match="in an A/B test"):
        agent_configs.delete(tenant, first.agent_config_id, actor=actor)


def test_winner_becomes_everybodys_agent_and_the_test_is_over(tenant, actor, make_test, make_agent, make_lead):
    test = make_test()
    decide(tenant, test, (1000, 100), (1000, 180))
    [loser, winner] = ab_tests.variants(tenant, [test])[test.id]
    make_agent(name="Newest")

    assert lifecycle.promote(tenant, test.oid, actor=actor).status == "completed"

    assert accounts.default_agent_id(tenant) == winner.agent_config_id != loser.agent_config_id
    started = conversations.start(tenant, make_lead().number, "sms", actor=actor, text="Hello").conversation
    assert started.agent_config_id == winner.agent_config_id
    assert actions(tenant)[-2:] == ["ab_test.completed", "ab_test.promoted"]


@pytest.mark.parametrize(
    "counts",
    [[(1000, 100), (1000, 110)], [(50, 0), (50, 50)], [(1000, 100), (1400, 400)]],
    ids=["no difference", "too early", "draw is off"],
)
def test_nobody_is_promoted_without_a_winner(tenant, actor, make_test, counts):
    test = make_test()
    decide(tenant, test, *counts)

    with pytest.raises(Conflict) as refusal:
        lifecycle.promote(tenant, test.oid, actor=actor)

    assert (refusal.value.code, ab_tests.get(tenant, test.oid).status) == ("no_winner", "running")


def test_winner_that_is_switched_off_is_not_promoted(tenant, actor, make_test):
    test = make_test()
    decide(tenant, test, (1000, 100), (1000, 180))
    winner = results.winner_of(tenant, test)
    agent_configs.update(tenant, winner.oid, {"status": "inactive"}, actor=actor)

    with pytest.raises(Conflict, match="Agent 1 is not active"):
        lifecycle.promote(tenant, test.oid, actor=actor)


@pytest.mark.parametrize(
    ("status", "counts", "said"),
    [
        ("draft", [], "has not begun"),
        ("running", [(10, 1), (12, 1)], "too early to compare: the variants have 10 / 12 leads. Keep it running."),
        ("paused", [(10, 1), (12, 1)], "Resume it."),
        ("completed", [(10, 1), (12, 1)], "Nobody has won."),
        ("running", [(1000, 100), (1000, 180)], "Agent 1 qualifies more leads than Agent 0: +"),
        ("running", [(1000, 100), (1000, 110)], "Keep it running, or complete it"),
        ("paused", [(1000, 100), (1000, 110)], "Resume it to learn more"),
        ("completed", [(1000, 100), (1000, 110)], "keep the agent that you prefer"),
        ("running", [(1000, 100), (1200, 110)], "Do not trust these results: leads are spread as 1,000 / 1,200"),
    ],
)
def test_recommendation_says_what_to_do(tenant, make_test, move, status, counts, said):
    test = make_test("draft" if status == "draft" else "running")
    decide(tenant, test, *counts) if counts else None
    move(test, status)

    assert said in results.results(tenant, test.oid).recommendation


def test_recommendation_names_the_agent_that_gets_no_leads(tenant, actor, make_test):
    test = make_test()
    [first, _] = ab_tests.variants(tenant, [test])[test.id]
    agent_configs.update(tenant, first.agent_config_id, {"status": "inactive"}, actor=actor)

    assert results.results(tenant, test.oid).recommendation.startswith("Agent 0 is not active")


def test_best_of_three_is_named_beside_its_nearest_rival(tenant, make_test):
    test = make_test(weights=(1, 1, 1))
    decide(tenant, test, (1000, 50), (1000, 300), (1000, 100))

    said = results.results(tenant, test.oid).recommendation

    assert said.startswith("Agent 1 qualifies more leads than all others: against Agent 2, which comes nearest, +")


def test_results_outlive_the_agents(tenant, actor, make_test, move):
    test = make_test()
    move(test, "completed")
    for variant in ab_tests.variants(tenant, [test])[test.id]:
        agent_configs.delete(tenant, variant.agent_config_id, actor=actor)

    assert [each.name for each in results.results(tenant, test.oid).variants] == ["Agent 0", "Agent 1"]
