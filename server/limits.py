"""Rate limits: sliding 60-second windows in up to four tiers, kept by the `limits` library.

A request is tested against all its tiers before any of them counts it, so one that is refused uses up nothing; only
where processes race for the last place of a shared tier may the loser have been counted in another. When the shared
storage does not answer, requests are served and counted in memory.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Protocol

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storage.tenancy import Caller

from .errors import RateLimited
from .requests import RequestState, state
from .settings import Settings

_log = structlog.get_logger("newleaf.limits")
_WINDOW_S = 60
_PAUSE_S = 5  # so long is a shared storage left alone that did not answer: asking it delays every request
_UNLIMITED = 2_147_483_647


@dataclass(frozen=True, slots=True)
class Tier:
    """One limit: how many requests a minute, and what a client is told when they are used up."""

    name: str
    item: RateLimitItemPerMinute
    message: str


Charge = tuple[Tier, str]  # a tier and whose window of it


@dataclass(frozen=True, slots=True)
class Standing:
    """How a window stands: requests allowed in it, left in it, and seconds until it is whole again."""

    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        """The rate-limit headers of an answer."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
            "RateLimit-Policy": f"{self.limit};w={_WINDOW_S}",
        }


class Limiter(Protocol):
    """Counts requests against tiers."""

    async def admit(self, charges: Sequence[Charge], *, count: bool = True) -> Standing:
        """The tightest standing after counting (or only testing) a request. Raises RateLimited."""

    async def close(self) -> None:
        """Let go of the storage."""


class Unlimited:
    """Lets everything pass, for tests and benchmarks of something else."""

    async def close(self) -> None:
        """Nothing is held."""

    async def admit(self, charges: Sequence[Charge], *, count: bool = True) -> Standing:  # noqa: ARG002
        """A standing that nothing changes."""
        return Standing(_UNLIMITED, _UNLIMITED, _WINDOW_S)


class WindowLimiter:
    """Sliding windows in a shared storage, with windows in memory for when it does not answer."""

    def __init__(self, pool: ConnectionPool | None = None) -> None:
        self._pool = pool
        self._memory = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = None if pool is None else SlidingWindowCounterRateLimiter(_storage(pool))
        self._is_down = False
        self._asked_again_at = 0.0

    async def admit(self, charges: Sequence[Charge], *, count: bool = True) -> Standing:
        """The tightest standing after counting (or only testing) a request. Raises RateLimited."""
        if self._shared is not None and time.monotonic() >= self._asked_again_at:
            try:
                standing = await self._admit(self._shared, charges, count)
            except StorageError as error:
                if not self._is_down:
                    _log.error("shared rate limits are down, counting in memory", error=str(error.storage_error))
                self._is_down = True
                self._asked_again_at = time.monotonic() + _PAUSE_S
            else:
                if self._is_down:
                    _log.info("shared rate limits are back")
                self._is_down = False
                return standing
        return await self._admit(self._memory, charges, count)

    async def close(self) -> None:
        """Close the connections to the shared storage."""
        if self._pool is not None:
            await self._pool.aclose()

    async def _admit(
        self, windows: SlidingWindowCounterRateLimiter, charges: Sequence[Charge], count: bool
    ) -> Standing:
        for tier, whose in charges:
            if not await windows.test(tier.item, tier.name, whose):
                raise await self._refusal(windows, tier, whose)
        if count:
            for tier, whose in charges:
                if not await windows.hit(tier.item, tier.name, whose):
                    raise await self._refusal(windows, tier, whose)
        standings = [await self._standing(windows, tier, whose) for tier, whose in charges]
        return min(standings, key=lambda standing: standing.remaining)

    async def _refusal(self, windows: SlidingWindowCounterRateLimiter, tier: Tier, whose: str) -> RateLimited:
        standing = await self._standing(windows, tier, whose)
        spent = Standing(standing.limit, 0, max(standing.reset_s, 1))
        return RateLimited(tier.message, spent.reset_s, spent.headers())

    @staticmethod
    async def _standing(windows: SlidingWindowCounterRateLimiter, tier: Tier, whose: str) -> Standing:
        stats = await windows.get_window_stats(tier.item, tier.name, whose)
        reset_s = min(max(ceil(stats.reset_time - time.time()), 0), _WINDOW_S)
        return Standing(tier.item.amount, max(int(stats.remaining), 0), reset_s)


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
        charges: list[Charge] = [(self.address, request.address)]
        if caller is not None:
            charges.append((self.key, caller.key_id))
            if is_sync:
                charges.append((self.sync, caller.key_id))
            charges.append((self.account, caller.tenant.account_id))
        try:
            standing = await self.limiter.admit(charges)
        finally:
            request.counted = True
        request.headers |= standing.headers()

    async def close(self) -> None:
        """Let go of the storage that holds the windows."""
        await self.limiter.close()


def _storage(pool: ConnectionPool) -> RedisStorage:
    # The pool knows the address; the URI only says what it speaks.
    return RedisStorage(
        "async+redis://",
        implementation="redispy",
        wrap_exceptions=True,
        connection_pool=pool,  # type: ignore[arg-type]
    )


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
        charge = [(self.limits.address, request.address)]
        request.headers |= (await self.limits.limiter.admit(charge, count=False)).headers()

        async def count_once() -> None:
            if not request.counted:
                request.counted = True
                with contextlib.suppress(RateLimited):  # filled up meanwhile: there is nothing left to count
                    request.headers |= (await self.limits.limiter.admit(charge)).headers()

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                await count_once()
            await send(message)

        try:
            await self.app(scope, receive, counting)
        finally:
            await count_once()
