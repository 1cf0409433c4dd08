"""The outbox: one lane in order, one holder at a time, nothing lost when a holder dies."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from storage import clock, database, outbox
from storage.database import transaction
from storage.outbox import LeaseLost, OutboxRow

LEASE_S = 60


def lease(kind):
    return LEASE_S


def claim(at=None, lane=None):
    return outbox.claim(at or clock.now(), lease, lane)


@pytest.fixture
def put(tenant):
    return lambda lane="a", **payload: outbox.put(tenant, "turn", lane, payload)


@pytest.fixture
def later():
    return clock.now() + timedelta(seconds=LEASE_S + 1)


def test_claim_gives_the_oldest_row_of_each_lane(put):
    first, _, other = put("a"), put("a"), put("b")

    assert [claim().id, claim().id, claim()] == [first, other, None]


def test_claim_tells_what_to_do_for_whom(tenant, put):
    put("a", conversation="c1")

    held = claim()

    assert (held.tenant_id, held.kind, held.lane, held.payload) == (tenant.id, "turn", "a", {"conversation": "c1"})
    assert held.attempts == 1


def test_lane_goes_on_when_its_first_row_is_done(put):
    _, second = put(), put()

    outbox.complete(claim())

    assert claim().id == second


def test_lane_can_be_asked_for_alone(put):
    put("a")
    wanted = put("b")

    assert claim(lane="b").id == wanted


def test_row_is_not_due_before_its_time(tenant):
    outbox.put(tenant, "turn", "a", {}, available_at=clock.now() + timedelta(minutes=5))

    assert claim() is None
    assert claim(clock.now() + timedelta(minutes=6)) is not None


def test_row_put_in_a_transaction_that_fails_does_not_exist(put):
    @transaction()
    def put_and_fail():
        put()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        put_and_fail()

    assert claim() is None


def test_lease_that_ran_out_is_given_to_the_next(put, later):
    put()
    dead = claim()

    heir = claim(later)

    assert (heir.id, heir.attempts) == (dead.id, 2)
    assert heir.token != dead.token


@pytest.mark.parametrize(
    "finish",
    [
        outbox.complete,
        lambda held: outbox.fail(held, "why"),
        lambda held: outbox.retry(held, "why", clock.now()),
        lambda held: outbox.extend(held, clock.now(), 5),
    ],
    ids=["complete", "fail", "retry", "extend"],
)
def test_token_of_a_lost_lease_is_worth_nothing(put, later, finish):
    put()
    dead = claim()
    heir = claim(later)

    with pytest.raises(LeaseLost):
        finish(dead)

    outbox.complete(heir)


def test_effect_under_a_lost_lease_is_rolled_back(tenant, put, later):
    put()
    dead = claim()
    claim(later)

    @transaction()
    def take_effect():
        outbox.put(tenant, "deliver", "effect", {})
        outbox.complete(dead)

    with pytest.raises(LeaseLost):
        take_effect()

    assert not list(OutboxRow.select().where(OutboxRow.kind == "deliver"))


def test_finished_row_cannot_be_finished_again(put):
    put()
    held = claim()
    outbox.complete(held)

    with pytest.raises(LeaseLost):
        outbox.complete(held)


def test_extended_lease_outlives_its_first_end(put, later):
    put()
    held = claim()

    outbox.extend(held, later, LEASE_S)

    assert claim(later) is None


def test_held_row_waits_without_a_failure(put):
    row_id = put()
    until = clock.now() + timedelta(hours=1)

    outbox.hold(claim(), until, "quiet_hours")

    assert claim() is None
    again = claim(at=until)
    assert (again.id, again.failures, again.crashes, again.held_for) == (row_id, 0, 0, "quiet_hours")


def test_reason_of_a_wait_is_gone_once_the_row_is_claimed(put, later):
    put()
    outbox.hold(claim(), clock.now(), "quiet_hours")
    claim()

    assert claim(at=later).held_for is None


def test_failures_and_crashes_are_counted_apart(put, later):
    put()
    outbox.retry(claim(), "why", clock.now())
    claim()

    heir = claim(at=later)
    assert (heir.attempts, heir.failures, heir.crashes) == (3, 1, 1)

    outbox.hold(heir, clock.now(), "quiet_hours")
    assert claim().crashes == 0


def test_row_that_waits_for_what_has_come_is_woken(put):
    far = clock.now() + timedelta(days=1)
    for lane, reason in (("a", "quiet_hours"), ("b", "pace"), ("c", "quiet_hours")):
        put(lane)
        outbox.hold(claim(lane=lane), far, reason)

    assert outbox.wake(["quiet_hours", "frequency_cap"], lanes=["a", "b"]) == 1

    assert claim().lane == "a"
    assert claim() is None


def test_waits_of_other_tenants_are_left_alone(tenant, other_tenant, put):
    put()
    outbox.hold(claim(), clock.now() + timedelta(days=1), "misconfigured")

    assert outbox.wake(["misconfigured"], tenant=other_tenant) == 0
    assert outbox.wake(["misconfigured"], tenant=tenant) == 1


def test_retried_row_comes_back_and_its_lane_waits(put):
    first, second = put(), put()
    back = clock.now() + timedelta(seconds=30)

    outbox.retry(claim(), "model is away", back)

    assert claim() is None
    again = claim(back)
    assert (again.id, again.attempts) == (first, 2)
    outbox.complete(again)
    assert claim().id == second


def test_parked_row_is_visible_and_lets_its_lane_go_on(tenant, put):
    first, second = put(), put()

    outbox.fail(claim(), "x" * 1000)

    assert claim().id == second
    assert [(row.id, row.error) for row in outbox.parked(tenant)] == [(first, "x" * outbox.MAX_ERROR)]


def test_lane_tells_when_it_moves(put):
    assert outbox.lane_moves_at("a") is None
    put()

    assert outbox.lane_moves_at("a") <= clock.stamp()


def test_depths_count_what_is_not_done_by_kind_and_stage(tenant, other_tenant, put):
    put("done"), outbox.complete(claim(lane="done"))
    put("parked"), outbox.fail(claim(lane="parked"), "why")
    put("claimed"), claim(lane="claimed")
    due = clock.now() - timedelta(minutes=5)
    outbox.put(tenant, "turn", "a", {}, due), outbox.put(other_tenant, "turn", "b", {}, clock.now())
    outbox.put(tenant, "deliver", "c", {}, clock.now() + timedelta(hours=1))

    found = outbox.depths(clock.now() + timedelta(seconds=1))

    rows = {(each.kind, each.stage): each.rows for each in found}
    assert rows == {("turn", "parked"): 1, ("turn", "claimed"): 1, ("turn", "due"): 2, ("deliver", "scheduled"): 1}
    assert [each.since for each in found if each.stage == "due"] == [clock.iso(due)]


def test_depths_take_a_bounded_time(monkeypatch, put):
    monkeypatch.setattr(outbox, "MOST_COUNTED", 3)
    for lane in "abcde":
        put(lane)

    assert [each.rows for each in outbox.depths(clock.now() + timedelta(seconds=1))] == [3]


def test_purge_removes_old_done_rows_and_keeps_parked_ones(tenant, put):
    done, parked, waiting = put("a"), put("b"), put("c")
    outbox.complete(claim(lane="a"))
    outbox.fail(claim(lane="b"), "why")

    assert outbox.purge(clock.now() + timedelta(seconds=1)) == 1

    assert outbox.is_finished(done)
    assert {row.id for row in OutboxRow.select()} == {parked, waiting}


def test_many_claimers_never_hold_the_same_row(put):
    lanes = [f"lane-{number}" for number in range(20)]
    for lane in lanes * 2:
        put(lane)

    def take_all(_):
        taken = []
        with database.connection():
            while (held := claim()) is not None:
                taken.append(held)
        return taken

    with ThreadPoolExecutor(8) as pool:
        taken = [held for part in pool.map(take_all, range(8)) for held in part]

    assert sorted(held.lane for held in taken) == sorted(lanes)


def test_many_workers_do_each_lane_in_order(put):
    for number in range(60):
        put(f"lane-{number % 3}", number=number)
    done = []

    def work(_):
        with database.connection():
            while not all(outbox.lane_moves_at(f"lane-{lane}") is None for lane in range(3)):
                held = claim()
                if held is not None:
                    with transaction():
                        outbox.complete(held)
                        done.append(held.payload["number"])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))

    assert sorted(done) == list(range(60))
    for lane in range(3):
        in_lane = [number for number in done if number % 3 == lane]
        assert in_lane == sorted(in_lane)


@pytest.mark.parametrize(
    ("attempt", "draw", "expected_s"),
    [
        (1, 1.0, 2),
        (1, 0.0, 1),  # jitter takes away up to a half
        (2, 1.0, 4),
        (5, 1.0, 32),
        (12, 1.0, 3600),  # capped
        (10_000, 0.5, 2700),  # no overflow
    ],
)
def test_backoff_doubles_up_to_an_hour(attempt, draw, expected_s):
    assert outbox.backoff_s(attempt, lambda: draw) == expected_s
