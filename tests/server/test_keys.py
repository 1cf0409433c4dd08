"""How long a key lives on: a request in this process knows of its end at once, another process within a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from storage import api_keys
from storage.api_keys import ApiKey
from storage.database import connection
from tests.conftest import Party


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What has passed on the clock by which keys are remembered."""
    passed = [0.0]
    base = time.monotonic()
    monkeypatch.setattr(api_keys.time, "monotonic", lambda: base + passed[0])
    return passed


def end_elsewhere(key: str) -> None:
    """Revoke a key as another process does: in the database alone."""
    with connection():
        found = api_keys.look_up(key)
        assert found is not None
        ApiKey.of(found.tenant.account_id).where(ApiKey.id == found.key_id).first().store(status="revoked")


@pytest.mark.parametrize(("method", "way"), [("PATCH", "revoke"), ("POST", "rotate")])
def test_end_of_a_key_is_felt_at_once(party: Party, method: str, way: str) -> None:
    with party.client() as owner, party.client() as other:
        assert other.get("/api/leads").status_code == 200
        own = other.headers["X-API-Key"]
        with connection():
            found = api_keys.look_up(own)
        assert found is not None
        answer = owner.request(method, f"/api/api-keys/{found.key_id}/{way}")
        assert answer.status_code in (200, 201)

        assert other.get("/api/leads").status_code == 401


def test_end_of_a_key_elsewhere_is_felt_within_a_second(
    serve: Callable[..., str], make_account: Callable[..., Party], seconds: list[float]
) -> None:
    with make_account(serve()).client() as client:
        assert client.get("/api/leads").status_code == 200
        key = client.headers["X-API-Key"]
        end_elsewhere(key)
        seconds[0] = 1.0

        assert client.get("/api/leads").status_code == 401


def test_unknown_key_is_not_remembered(engine: str) -> None:
    key = api_keys.generate("test")
    with connection():
        assert api_keys.look_up(key) is None

    assert api_keys.recall(key) is None


def test_key_that_ends_while_it_is_being_read_is_not_remembered(
    engine: str, make_account: Callable[..., Party], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_account("").key()
    stored, read, ended = api_keys._stored, threading.Event(), threading.Event()

    def slowly(digest: str) -> api_keys.Credential | None:
        found = stored(digest)
        read.set()
        assert ended.wait(10)
        return found

    def look_up() -> None:
        with connection():
            api_keys.look_up(key)

    with connection():
        found = api_keys.look_up(key)
        assert found is not None
        caller = api_keys.admit(found, None, None)
        monkeypatch.setattr(api_keys, "_stored", slowly)
        reader = threading.Thread(target=look_up)
        reader.start()
        assert read.wait(10)
        api_keys.revoke(caller, found.key_id)
        ended.set()
        reader.join()

    assert api_keys.recall(key) is None
