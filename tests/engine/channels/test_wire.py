"""The one client for all providers."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from engine.channels.wire import AnswerLost, Unreached, exchange
from tests.support.providers import ProviderServer, refusing_url


@pytest.fixture
def provider() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


def test_answer_is_what_came_back(provider: ProviderServer) -> None:
    provider.answers(418, {"error": "no"}, {"Retry-After": "7"})

    answer = exchange("POST", f"{provider.url}/x", timeout_s=5, headers={"X-Key": "k"}, body={"text": "é"})

    assert (answer.status, answer.body, answer.headers["retry-after"]) == (418, {"error": "no"}, "7")
    assert provider.requests[0].json == {"text": "é"}
    assert provider.requests[0].headers["x-key"] == "k"


def test_form_and_password_go_as_such(provider: ProviderServer) -> None:
    exchange("POST", provider.url, timeout_s=5, form={"To": "+12025550101"}, auth=("AC1", "token"))

    assert provider.requests[0].form == {"To": "+12025550101"}
    assert provider.requests[0].headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize("body", ["not JSON", [1], None, b"\xff", "[" * 100_000])
def test_what_is_no_object_is_empty(provider: ProviderServer, body: object) -> None:
    provider.answers(200, body)

    assert exchange("GET", provider.url, timeout_s=5).body == {}


def test_redirect_is_not_followed(provider: ProviderServer) -> None:
    provider.answers(302, None, {"Location": f"{provider.url}/elsewhere"})

    assert exchange("GET", f"{provider.url}/here", timeout_s=5).status == 302
    assert [request.path for request in provider.requests] == ["/here"]


def test_endless_answer_is_cut_off(provider: ProviderServer) -> None:
    provider.answers(200, "x" * 2_000)

    with pytest.raises(AnswerLost):
        exchange("GET", provider.url, timeout_s=5, max_bytes=1_000)


@pytest.mark.parametrize(
    "url",
    [refusing_url(), "ftp://example.com", "http://[", "http://127.0.0.1:99999", ""],
    ids=["nobody listens", "no http", "no address", "no port", "nothing"],
)
def test_what_never_left_is_told_apart(url: str) -> None:
    with pytest.raises(Unreached) as failed:
        exchange("GET", url, timeout_s=5)

    assert failed.value.__context__ is None


def test_header_that_http_cannot_carry_never_leaves(provider: ProviderServer) -> None:
    with pytest.raises(Unreached):
        exchange("GET", provider.url, timeout_s=5, headers={"Authorization": "Bearer \n x"})

    assert not provider.requests


def test_log_names_the_host_alone(provider: ProviderServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    exchange("GET", f"{provider.url}/bot1:secret/getMe?key=secret", timeout_s=5)

    assert "127.0.0.1" in caplog.text
    assert "secret" not in caplog.text
