"""What is counted, under which names, and who may read it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from engine import channels, compliance, metrics
from engine.channels import Deferred, Misconfigured, OutcomeUnknown, Sent, Undeliverable
from engine.compliance import Allowed, Held, Refused
from engine.jobs import registry, worker
from engine.jobs.registry import job
from storage import clock, database, deliveries, outbox
from storage.errors import Forbidden, Unauthenticated
from storage.outbox import OutboxRow

HOUR = timedelta(hours=1)
TOKEN = "known to Prometheus alone"


def counted(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0


def on_page():
    """What the page says, by name and labels."""
    families = text_string_to_metric_families(metrics.page().decode())
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


class TestJobs:
    @pytest.fixture
    def end(self, monkeypatch):
        """Runs one job that ends so."""
        monkeypatch.setattr(registry, "_jobs", dict(registry._jobs))

        def run(tenant, ending, **columns):
            job("counted")(ending)
            row_id = outbox.put(tenant, "counted", "a", {})
            OutboxRow.update(**columns or {"failures": 0}).where(OutboxRow.id == row_id).execute()
            return worker.work_lane("a")

        return run

    @pytest.mark.parametrize(
        ("ending", "outcome"),
        [
            (lambda task: task.complete(), "done"),
            (lambda task: task.hold(clock.now() + HOUR, "test"), "held"),
            (lambda task: task.park("no use"), "parked"),
            (lambda task: setattr(task, "is_settled", True), "handed_over"),
            (lambda task: 1 / 0, "retried"),
            (lambda task: outbox.complete(task.claim) or task.complete(), "lease_lost"),
        ],
        ids=["done", "held", "parked", "handed_over", "retried", "lease_lost"],
    )
    def test_is_counted_once_by_its_outcome(self, tenant, end, ending, outcome):
        name, labels = "newleaf_job_duration_seconds_count", {"kind": "counted", "outcome": outcome}
        before = counted(name, **labels)

        end(tenant, ending)

        assert counted(name, **labels) == before + 1

    def test_that_failed_too_often_is_parked(self, tenant, end):
        labels = {"kind": "counted", "outcome": "parked"}
        before = counted("newleaf_job_duration_seconds_count", **labels)

        end(tenant, lambda task: 1 / 0, failures=registry.MAX_ATTEMPTS - 1)

        assert counted("newleaf_job_duration_seconds_count", **labels) == before + 1


class TestMessages:
    @pytest.mark.parametrize(
        ("decision", "answer", "outcome"),
        [
            (Refused("opted_out", "They said STOP."), None, "forbidden"),
            (Held("quiet_hours", "It is night there", clock.now() + HOUR), None, "held"),
            (Allowed(), Sent("p1"), "accepted"),
            (Allowed(), Undeliverable("sms_21211", "No such number."), "refused"),
            (Allowed(), Deferred("sms_503", "Try again."), "deferred"),
            (Allowed(), Misconfigured("sms_401", "The token has expired."), "misconfigured"),
            (Allowed(), OutcomeUnknown("sms_lost", "The answer was lost."), "unknown"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_is_counted_once_by_its_outcome(self, monkeypatch, make_conversation, decision, answer, outcome):
        class Carrier:
            pace_s = recipient_pace_s = 0.0
            repeats_safely = False

            def send(self, message):
                if isinstance(answer, Exception):
                    raise answer
                return answer

        monkeypatch.setattr(channels, "of", lambda tenant, channel: Carrier())
        monkeypatch.setattr(compliance, "decide", lambda facts, now: decision)
        conversation = make_conversation(channel="sms")
        before = counted("newleaf_messages_total", channel="sms", outcome=outcome)

        worker.work_lane(deliveries.lane_of(conversation.oid))

        assert counted("newleaf_messages_total", channel="sms", outcome=outcome) == before + 1


class TestPage:
    def test_shows_the_outbox_as_it_is(self, tenant):
        outbox.put(tenant, "turn", "a", {}, clock.now() - HOUR)
        outbox.put(tenant, "turn", "b", {}, clock.now() + HOUR)

        shown = on_page()

        assert shown["newleaf_outbox_rows", "turn", "due"] == 1
        assert shown["newleaf_outbox_rows", "turn", "scheduled"] == 1
        assert shown["newleaf_outbox_oldest_due_seconds", "turn"] == pytest.approx(3600, abs=60)
        assert shown["newleaf_database_up",] == 1

    def test_tells_what_runs_and_since_when(self, tenant):
        shown = on_page()

        assert [value for (name, *_), value in shown.items() if name == "newleaf_build_info"] == [1]
        assert 0 < shown["newleaf_start_time_seconds",] < clock.now().timestamp()

    def test_without_the_database_still_tells_what_was_counted(self, tmp_path):
        database.connect(f"sqlite:///{tmp_path}/no/such/folder/new.db")

        shown = on_page()

        assert shown["newleaf_database_up",] == 0
        assert "newleaf_start_time_seconds" in {name for name, *_ in shown}


class TestReaders:
    @pytest.fixture
    def token(self):
        metrics.configure(TOKEN)
        yield TOKEN
        metrics.configure(None)

    @pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1"])
    def test_without_a_token_are_on_this_machine(self, address):
        metrics.require_reader(address, {})

    @pytest.mark.parametrize(
        ("address", "headers"),
        [
            ("203.0.113.7", {}),
            ("10.0.0.1", {}),
            ("unknown", {}),
            ("127.0.0.1", {"x-forwarded-for": "127.0.0.1"}),
            ("127.0.0.1", {"forwarded": "for=127.0.0.1"}),
            ("203.0.113.7", {"authorization": "Bearer "}),
        ],
        ids=["elsewhere", "private", "unknown", "proxied", "proxied by RFC 7239", "empty token"],
    )
    def test_without_a_token_are_nobody_else(self, address, headers):
        with pytest.raises(Forbidden):
            metrics.require_reader(address, headers)

    @pytest.mark.parametrize("address", ["127.0.0.1", "203.0.113.7"])
    def test_with_the_token_may_be_anywhere(self, token, address):
        metrics.require_reader(address, {"authorization": f"bearer {token}"})

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"authorization": TOKEN},
            {"authorization": f"Basic {TOKEN}"},
            {"authorization": f"Bearer {TOKEN}x"},
            {"authorization": "Bearer \xe9\xff"},
            {"x-api-key": TOKEN},
        ],
        ids=["none", "no scheme", "wrong scheme", "wrong", "not ASCII", "wrong header"],
    )
    def test_with_another_token_are_refused_here_too(self, token, headers):
        with pytest.raises(Unauthenticated):
            metrics.require_reader("127.0.0.1", headers)
