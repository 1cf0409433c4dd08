"""Rate limits: sliding 60-second windows in up to four tiers, kept in the storages of the `limits` library.

A request is counted in all its tiers at once or, where one of them is full, in none. When the shared storage does not
answer, requests are served and counted in memory.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

import structlog
from limits import RateLimitItemPerMinute
from prometheus_client import Gauge
from redis import RedisError
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storage.tenancy import Caller

from .errors import RateLimited
from .requests import Headers, RequestState, state
from .settings import Settings
from .windows import WINDOW_S, MemoryWindows, SharedWindows, Taken, Window

_log = structlog.get_logger("newleaf.limits")
_PAUSE_S = 5  # so long is a shared storage left alone that did not answer: asking it delays every request
_UNLIMITED = 2_147_483_647
_MOST_SPENT = 10_000  # addresses remembered as having used up a shared window
_IN_MEMORY = Gauge(
    "newleaf_limits_in_memory",
    "Whether rate limits are counted in memory because the shared storage does not answer.",
    multiprocess_mode="mostrecent",
)


@dataclass(frozen=True, slots=True, eq=False)
class Tier:
    """One limit: how many requests a minute, and what a client is told when they are used up."""

    name: str
    item: RateLimitItemPerMinute
    message: str


class Charge(NamedTuple):
    """A tier, and the key of somebody's window of it."""

    tier: Tier
    key: str


@lru_cache(maxsize=4096)
def charge(tier: Tier, whose: str) -> Charge:
    """The charge for one request of somebody: an address, an API key, an account."""
    return Charge(tier, tier.item.key_for(tier.name, whose))


def _headers(limit: int, remaining: int, reset_s: int) -> Headers:
    return [
        (b"ratelimit-limit", b"%d" % limit),
        (b"ratelimit-remaining", b"%d" % remaining),
        (b"ratelimit-reset", b"%d" % reset_s),
        (b"ratelimit-policy", b"%d;w=%d" % (limit, WINDOW_S)),
    ]


class Limiter(Protocol):
    """Counts requests against tiers."""

    def refuse_spent(self, request: RequestState, owed: Charge) -> None:
        """Raises RateLimited if this process knows that a window is full; asks nobody and counts nothing."""

    async def admit(self, request: RequestState, charges: Sequence[Charge]) -> None:
        """Count a request in all these tiers, note how the tightest stands. Raises RateLimited, then counting none."""

    async def close(self) -> None:
        """Let go of the storage."""


class Unlimited:
    """Lets everything pass, for tests and benchmarks of something else."""

    async def close(self) -> None:
        """Nothing is held."""

    def refuse_spent(self, request: RequestState, owed: Charge) -> None:
        """Nothing is ever spent."""

    async def admit(self, request: RequestState, charges: Sequence[Charge]) -> None:  # noqa: ARG002
        """Headers of a window that nothing fills."""
        request.headers = _headers(_UNLIMITED, _UNLIMITED, WINDOW_S)


class WindowLimiter:
    """Sliding windows in a shared storage, with windows in memory for when it does not answer."""

    def __init__(self, pool: ConnectionPool | None = None) -> None:
        self._pool = pool
        self._memory = MemoryWindows()
        self._shared = None if pool is None else SharedWindows(pool)
        self._spent: dict[str, float] = {}  # shared windows that were full, and until when nobody need ask again
        self._is_down = False
        self._asked_again_at = 0.0

    def refuse_spent(self, request: RequestState, owed: Charge) -> None:
        """Raises RateLimited if this process knows that a window is full; asks nobody and counts nothing."""
        if self._shared is not None and not self._is_down:
            left_s = self._spent.get(owed.key, 0.0) - time.monotonic()
            if left_s > 0:
                raise _refusal(request, owed.tier, int(left_s) + 1)
            return
        full, [window] = self._memory.take([owed.key], [owed.tier.item.amount], count=False)
        if full is not None:
            raise _refusal(request, owed.tier, window.frees_in_s())

    async def admit(self, request: RequestState, charges: Sequence[Charge]) -> None:
        """Count a request in all these tiers, note how the tightest stands. Raises RateLimited, then counting none."""
        full, windows = await self._take([each.key for each in charges], [each.tier.item.amount for each in charges])
        if full is not None:
            reset_s = windows[full].frees_in_s()
            if self._shared is not None:
                self._remember(charges[full].key, reset_s)
            raise _refusal(request, charges[full].tier, reset_s)
        _note_tightest(request, charges, windows)

    async def close(self) -> None:
        """Close the connections to the shared storage."""
        if self._pool is not None:
            await self._pool.aclose()

    async def _take(self, keys: list[str], amounts: list[int]) -> Taken:
        if self._shared is not None and time.monotonic() >= self._asked_again_at:
            try:
                taken = await self._shared.take(keys, amounts)
            except RedisError as error:
                if not self._is_down:
                    _log.error("shared rate limits are down, counting in memory", error=str(error))
                    _IN_MEMORY.set(1)
                self._is_down = True
                self._asked_again_at = time.monotonic() + _PAUSE_S
            else:
                if self._is_down:
                    _log.info("shared rate limits are back")
                    _IN_MEMORY.set(0)
                self._is_down = False
                return taken
        return self._memory.take(keys, amounts)

    def _remember(self, key: str, reset_s: int) -> None:
        if len(self._spent) >= _MOST_SPENT:
            self._spent.clear()
        self._spent[key] = time.monotonic() + reset_s


def _note_tightest(request: RequestState, charges: Sequence[Charge], windows: Sequence[Window]) -> None:
    left = [each.tier.item.amount - window.used() for each, window in zip(charges, windows, strict=True)]
    place = left.index(min(left))
    request.headers = _headers(charges[place].tier.item.amount, left[place], windows[place].frees_in_s())


def _refusal(request: RequestState, tier: Tier, reset_s: int) -> RateLimited:
    reset_s = max(reset_s, 1)
    request.headers = _headers(tier.item.amount, 0, reset_s)
    return RateLimited(tier.message, reset_s)


class RateLimits:
    """The four tiers of the contract, as the settings size them."""

    def __init__(self, settings: Settings) -> None:
        def tier(name: str, amount: int, message: str) -> Tier:
            return Tier(name, RateLimitItemPerMinute(amount), message)

        later = "please try again later"
        self.address = tier("global", settings.limit_global, f"Too many requests, {later}")
        self.key = tier("key", settings.limit_key, f"API key rate limit exceeded, {later}")
        self.sync = tier(
            "sync",
            settings.limit_sync,
            f"Sync API rate limit exceeded. Maximum {settings.limit_sync} batch requests per minute.",
        )
        self.account = tier("account", settings.limit_account, f"Account rate limit exceeded, {later}")
        self.limiter: Limiter = _limiter(settings)

    async def admit(self, request: RequestState, caller: Caller | None, *, is_sync: bool) -> None:
        """Count a request in all its tiers. Raises RateLimited, in which case it counts in none."""
        charges = [charge(self.address, request.address)]
        if caller is not None:
            charges.append(charge(self.key, caller.key_id))
            if is_sync:
                charges.append(charge(self.sync, caller.key_id))
            charges.append(charge(self.account, caller.tenant.account_id))
        request.counted = True
        await self.limiter.admit(request, charges)

    async def close(self) -> None:
        """Let go of the storage that holds the windows."""
        await self.limiter.close()


def _limiter(settings: Settings) -> Limiter:
    if settings.rate_limits == "off":
        return Unlimited()
    if settings.limits_url is None:
        return WindowLimiter()
    address = settings.limits_url.partition("://")[2]
    secure = "s" if settings.limits_url.startswith(("rediss:", "valkeys:")) else ""
    pool = ConnectionPool.from_url(
        f"redis{secure}://{address}", socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 1)
    )
    return WindowLimiter(pool)


class AddressLimitMiddleware:
    """Refuses an address that used up its requests, before anything else is done for it.

    What never reaches the other tiers (a wrong key, an unknown route) is counted here, for the address alone.
    """

    def __init__(self, app: ASGIApp, limits: RateLimits) -> None:
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request. Raises RateLimited."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = state(scope)
        self.limits.limiter.refuse_spent(request, charge(self.limits.address, request.address))

        async def counting(message: Message) -> None:
            if not request.counted:
                await self._count(request)
            await send(message)

        try:
            await self.app(scope, receive, counting)
        finally:
            if not request.counted:
                await self._count(request)

    async def _count(self, request: RequestState) -> None:
        await self.limits.admit(request, None, is_sync=False)
