"""Events reach those who want them: signed, in order, again after a failure, and nobody waits for a slow one."""

from __future__ import annotations

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY

from engine.events import sending, signing, subscriptions
from engine.jobs import worker
from engine.knowledge import fetch
from storage import clock, database, event_log, event_subscriptions, leads
from storage.event_log import EventDelivery, EventOccurrence
from storage.leads import NewLead
from storage.outbox import OutboxRow
from storage.tenancy import SYSTEM

DAY_S = 86_400


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch):
    monkeypatch.setattr(random, "random", lambda: 0.0)


def test_known_vector():
    at = datetime.fromtimestamp(1614265330, UTC)
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    made = signing.headers([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", '{"test": 2432232314}', at)

    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_event_is_told_signed_and_in_order(receiver, subscribe, happen, deliver, told):
    subscription, secret = subscribe(receiver, "lead.*")

    for number in range(3):
        happen(number=number)
    happen("message.sent")
    deliver()

    bodies = receiver.bodies(secret)
    assert [body["data"]["number"] for body in bodies] == [0, 1, 2]
    assert {body["type"] for body in bodies} == {"lead.created"}
    found, attempts = told(subscription)
    assert [each.state for each in found] == ["delivered"] * 3
    [attempt] = attempts[found[0].id]
    assert (attempt.outcome, attempt.status_code, attempt.answer) == ("accepted", 200, "ok")
    assert receiver.got[0][0]["webhook-id"] == found[0].event_oid


def test_calls_are_counted_by_outcome(receiver, subscribe, happen, deliver):
    name, labels = "newleaf_event_call_duration_seconds_count", {"outcome": "accepted"}
    before = REGISTRY.get_sample_value(name, labels) or 0
    subscribe(receiver)

    happen()
    deliver()

    assert REGISTRY.get_sample_value(name, labels) == before + 1


def test_body_is_made_for_nobody(tenant):
    assert event_log.emit(tenant, "lead.created", lambda: pytest.fail("nobody wants it")) == 0
    assert EventOccurrence.of(tenant).count() == 0


def test_event_of_a_transaction_that_fails_did_not_happen(tenant, receiver, subscribe, happen):
    subscribe(receiver)

    def fail():
        with database.transaction():
            happen()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert EventOccurrence.of(tenant).count() == OutboxRow.select().count() == 0


def test_other_tenants_hear_nothing(other_tenant, receiver, subscribe):
    subscribe(receiver)

    assert event_log.emit(other_tenant, "lead.created", dict) == 0


def test_it_is_tried_for_three_days_under_one_id(tenant, receiver, subscribe, happen, deliver, told, advance):
    subscription, _secret = subscribe(receiver)
    receiver.answers = [(500, {}, b"no\x00 luck")] * 10
    happen()
    deliver()
    for delay_s in sending.RETRY_AFTER_S:
        advance(delay_s - 1)
        deliver()
        before = len(receiver.got)
        advance(2)
        deliver()
        assert len(receiver.got) == before + 1

    found, attempts = told(subscription)
    assert 3 * DAY_S < sum(sending.RETRY_AFTER_S) < 4 * DAY_S
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert (found[0].state, found[0].failure_code, found[0].next_attempt_at) == ("failed", "refused", None)
    assert [each.number for each in attempts[found[0].id]] == list(range(1, 11))
    assert attempts[found[0].id][0].answer == "no  luck"

    subscriptions.replay(tenant, subscription.oid, found[0].oid, actor=SYSTEM)
    advance(sending.LONGEST_PAUSE_S)
    deliver()
    assert told(subscription)[0][0].state == "delivered"
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1


def test_what_is_new_waits_while_the_address_is_away_and_comes_in_order(
    receiver, subscribe, happen, deliver, advance, told
):
    subscription, _secret = subscribe(receiver)
    receiver.answers = [(503, {}, b"")]
    for number in range(4):
        happen(number=number)
    deliver()
    assert len(receiver.got) == 1

    advance(sending.FIRST_PAUSE_S + 1)
    deliver()

    assert [json.loads(body)["data"]["number"] for _, body in receiver.got[1:]] in ([0, 1, 2, 3], [1, 0, 2, 3])
    assert {each.state for each in told(subscription)[0]} == {"delivered"}


def test_retry_after_is_kept(receiver, subscribe, happen, deliver, advance):
    subscribe(receiver)
    receiver.answers = [(429, {"Retry-After": "600"}, b"")]
    happen()
    deliver()
    advance(599)
    deliver()
    assert len(receiver.got) == 1

    advance(2)
    deliver()

    assert len(receiver.got) == 2


def test_slow_address_delays_nobody_and_no_worker(make_receiver, subscribe, happen, told):
    slow, fast = make_receiver(), make_receiver()
    slow.gate.clear()
    _sluggish, _ = subscribe(slow)
    _subscription, secret = subscribe(fast)
    for number in range(3):
        happen(number=number)

    for _ in range(200):  # this one thread is the only worker
        worker.work_next()
        if len(fast.got) == 3:
            break
        threading.Event().wait(0.01)

    assert [body["data"]["number"] for body in fast.bodies(secret)] == [0, 1, 2]
    assert len(slow.got) == 1
    slow.gate.set()


def test_two_workers_tell_everything_once(receiver, subscribe, happen, told):
    _subscription, secret = subscribe(receiver)
    for number in range(12):
        happen(number=number)

    def run():
        with database.connection():
            while not all(row.state == "done" for row in OutboxRow.select(OutboxRow.state)):
                if not worker.work_next():
                    sending.settle(5)

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(run), pool.submit(run)]:
            each.result(30)

    assert [body["data"]["number"] for body in receiver.bodies(secret)] == list(range(12))


def test_process_that_dies_in_the_call_tells_it_again_under_the_same_id(
    receiver, subscribe, happen, deliver, told, advance, monkeypatch
):
    subscription, _secret = subscribe(receiver)
    happen()
    note = sending._note
    monkeypatch.setattr(sending, "_note", lambda *_: (_ for _ in ()).throw(OSError("gone")))
    deliver()
    monkeypatch.setattr(sending, "_note", note)

    advance(sending.LEASE_S + 1)
    deliver()

    found, attempts = told(subscription)
    assert [each.outcome for each in attempts[found[0].id]] == ["unknown", "accepted"]
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1


def test_gone_disables_and_the_others_are_told(tenant, make_receiver, subscribe, happen, deliver, told):
    gone, other = make_receiver(), make_receiver()
    gone.answers = [(410, {}, b"")]
    subscription, _ = subscribe(gone, "lead.*")
    _, secret = subscribe(other, "event_subscription.*")

    happen()
    happen()
    deliver()

    stored = event_subscriptions.get(tenant, subscription.oid)
    assert (stored.state, stored.disabled_reason, len(gone.got)) == ("disabled", "gone", 1)
    [body] = other.bodies(secret)
    assert (body["type"], body["data"]["_id"]) == ("event_subscription.disabled", subscription.oid)
    assert [each.failure_code for each in told(subscription)[0]] == ["gone", "subscription_disabled"]
    assert happen() == 0


def test_address_that_fails_for_days_is_disabled(tenant, receiver, subscribe, happen, deliver, advance):
    subscription, _ = subscribe(receiver)
    receiver.answers = [(500, {}, b"")] * 99
    for _ in range(6):
        happen()
        deliver()
        advance(DAY_S + 1)
    deliver()

    stored = event_subscriptions.get(tenant, subscription.oid)
    assert (stored.state, stored.disabled_reason) == ("disabled", "failing")


def test_both_secrets_sign_while_a_rotation_overlaps(tenant, receiver, subscribe, happen, deliver, advance, actor):
    subscription, old = subscribe(receiver)
    _, new = subscriptions.rotate(tenant, subscription.oid, 3600, actor=actor)
    happen()
    deliver()
    assert receiver.bodies(old) == receiver.bodies(new)

    advance(3601)
    receiver.got.clear()
    happen()
    deliver()

    [(headers, _)] = receiver.got
    assert len(headers["webhook-signature"].split()) == 1


def test_replay_since_tells_in_order_what_was_told(tenant, receiver, subscribe, happen, deliver, advance, actor):
    subscription, _secret = subscribe(receiver)
    for number in range(3):
        happen(number=number)
        advance(60)
    deliver()
    since = EventDelivery.of(tenant).order_by(EventDelivery.id).offset(1).first().created_at
    receiver.got.clear()

    done = subscriptions.replay_since(tenant, subscription.oid, since, only_failed=False, actor=actor)
    deliver()

    assert done == (2, False)
    assert [json.loads(body)["data"]["number"] for _, body in receiver.got] == [1, 2]


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/", "http://[::1]/", "http://169.254.169.254/latest", "http://localhost/", "http://10.0.0.1/"],
)
def test_private_address_is_not_called(tenant, subscribe, receiver, happen, deliver, told, url):
    fetch.configure()
    receiver.url = url
    subscription, _ = subscribe(receiver)

    happen()
    deliver()

    found, attempts = told(subscription)
    assert [each.outcome for each in attempts[found[0].id]] == ["unreachable"]


def test_redirect_is_not_followed(make_receiver, subscribe, happen, deliver, told):
    here, there = make_receiver(), make_receiver()
    here.answers = [(307, {"Location": there.url}, b"")]
    subscription, _ = subscribe(here)

    happen()
    deliver()

    found, attempts = told(subscription)
    assert (attempts[found[0].id][0].outcome, there.got) == ("refused", [])


def test_endless_answer_is_taken(receiver, subscribe, happen, deliver, told):
    receiver.answers = [(200, {}, b"x" * 2_000_000)]
    subscription, _ = subscribe(receiver)

    happen()
    deliver()

    found, attempts = told(subscription)
    assert (found[0].state, len(attempts[found[0].id][0].answer)) == ("delivered", sending.ANSWER_BYTES)


def test_erased_lead_is_told_of_no_more(tenant, receiver, subscribe, deliver, actor):
    subscribe(receiver)
    lead = leads.create(tenant, NewLead(phone="+12025550100"), actor)

    assert event_log.erase_subject(tenant, lead.number) == 1
    deliver()

    assert (receiver.got, EventDelivery.of(tenant).count()) == ([], 0)
    assert {row.state for row in OutboxRow.select()} == {"done"}


def test_old_events_are_purged(tenant, receiver, subscribe, happen, deliver, advance):
    subscribe(receiver)
    happen()
    deliver()
    advance(worker.EVENTS_KEPT_FOR.total_seconds() + 1)
    happen()

    assert event_log.purge(clock.now() - worker.EVENTS_KEPT_FOR) == 1
    assert EventDelivery.of(tenant).count() == 1
