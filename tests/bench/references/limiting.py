"""The four tiers of rate limits, with the `limits` library as its manual shows it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

_windows = SlidingWindowCounterRateLimiter(MemoryStorage())


class TooManyRequests(Exception):
    """A tier is exhausted; `headers` say how its window stands."""

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__("Too many requests, please try again later")
        self.headers = headers


def _tier(name: str) -> RateLimitItemPerMinute:
    return RateLimitItemPerMinute(int(os.environ[f"NEWLEAF_LIMIT_{name}"]))


ADDRESS, KEY, SYNC, ACCOUNT = _tier("GLOBAL"), _tier("KEY"), _tier("SYNC"), _tier("ACCOUNT")


def admit(charges: Sequence[tuple[RateLimitItemPerMinute, str, str]]) -> dict[str, str]:
    """Count a request in all these tiers; the headers of the tightest. Raises TooManyRequests: none has counted."""
    tightest, left, reset_at = charges[0][0], -1, 0.0
    for item, name, whose in charges:
        stats = _windows.get_window_stats(item, name, whose)
        if stats.remaining < 1:
            raise TooManyRequests(_headers(item, 0, stats.reset_time))
        if left < 0 or stats.remaining < left:
            tightest, left, reset_at = item, stats.remaining, stats.reset_time
    for item, name, whose in charges:
        _windows.hit(item, name, whose)
    return _headers(tightest, left - 1, reset_at)


def _headers(item: RateLimitItemPerMinute, left: int, reset_at: float) -> dict[str, str]:
    return {
        "RateLimit-Limit": str(item.amount),
        "RateLimit-Remaining": str(left),
        "RateLimit-Reset": str(max(0, min(60, round(reset_at - time.time())))),
        "RateLimit-Policy": f"{item.amount};w=60",
    }
