"""`GET /metrics` over HTTP: what it tells, to whom, on both spines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine import metrics
from server.settings import Settings
from storage import accounts, database
from tests.conftest import Party, Served
from tests.support.contract_client import ContractClient
from tests.support.live_server import serve_in_thread

TOKEN = "known to Prometheus alone"
REQUESTS = "newleaf_http_request_duration_seconds_count"


@pytest.fixture
def anonymous(served: Served) -> Iterator[ContractClient]:
    with ContractClient(served.base_url) as opened:
        yield opened


@pytest.fixture(params=["compiled", "stock"])
def guarded(request: pytest.FixtureRequest, engine: str) -> Iterator[ContractClient]:
    """A server that has a token, on either spine."""
    metrics.configure(TOKEN)
    with (
        serve_in_thread(Settings(spine=request.param), with_worker=False) as base_url,
        ContractClient(base_url) as client,
    ):
        yield client
    metrics.configure(None)


def told(client: ContractClient, name: str) -> dict[tuple[str, ...], float]:
    """What the page says under this name, by the values of the labels in the order of their names."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return {tuple(sample.labels.values()): sample.value for sample in samples}


class TestPage:
    def test_is_prometheus_text(self, anonymous: ContractClient) -> None:
        answer = anonymous.get("/metrics")

        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert told(anonymous, "newleaf_database_up") == {(): 1}
        assert set(told(anonymous, "newleaf_limits_in_memory")) == {()}

    def test_counts_requests_by_operation_method_and_kind_of_status(
        self, anonymous: ContractClient, client: ContractClient
    ) -> None:
        before = told(anonymous, REQUESTS)

        [client.get("/api/leads/987654321") for _ in range(3)]

        place = ("GET", "get_lead", "4xx")
        assert told(anonymous, REQUESTS)[place] == before.get(place, 0) + 3

    def test_has_one_place_for_all_that_the_contract_does_not_know(self, anonymous: ContractClient) -> None:
        anonymous.get("/metrics/of/a/stranger")
        anonymous.request("PROPFIND", "/stranger")

        page = anonymous.get("/metrics").text

        assert "stranger" not in page
        assert "PROPFIND" not in page
        assert {("GET", "none", "4xx"), ("other", "none", "4xx")} <= set(told(anonymous, REQUESTS))

    def test_has_nothing_of_those_who_use_the_server(
        self, anonymous: ContractClient, client: ContractClient, party: Party
    ) -> None:
        secrets = ["+12025550143", "Ada Metrics", party.account_id]
        client.post("/api/leads", json={"phone": secrets[0], "name": secrets[1]})
        client.get("/api/leads", params={"q": secrets[1]})

        page = anonymous.get("/metrics").text

        assert [secret for secret in secrets if secret in page] == []


class TestReaders:
    def test_from_elsewhere_are_refused_without_a_token(self, anonymous: ContractClient) -> None:
        answer = anonymous.get("/metrics", headers={"X-Forwarded-For": "203.0.113.7"})

        assert (answer.status_code, answer.json()["code"]) == (403, "metrics_are_local")

    def test_that_claim_to_be_here_are_refused_without_a_token(self, anonymous: ContractClient) -> None:
        assert anonymous.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 403

    def test_with_the_token_are_answered_from_anywhere(self, guarded: ContractClient) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": "203.0.113.7"}

        assert guarded.get("/metrics", headers=headers).status_code == 200

    @pytest.mark.parametrize("shown", [None, f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}"])
    def test_without_the_token_are_refused(self, guarded: ContractClient, shown: str | None) -> None:
        answer = guarded.get("/metrics", headers={"Authorization": shown} if shown else {})

        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_metrics_token")
        assert answer.headers["WWW-Authenticate"]

    def test_with_an_api_key_are_refused(self, guarded: ContractClient) -> None:
        with database.transaction():
            key = Party(accounts.create("Example").id, str(guarded.base_url)).key()

        assert guarded.get("/metrics", headers={"Authorization": f"Bearer {key}"}).status_code == 401
