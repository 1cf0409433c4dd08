"""Sliding windows that are asked and counted all at once: the storages of the `limits` library with one more method.

A window weighs the requests of the running minute and, the further it has come the less, those of the minute before.
Keys and numbers are the library's own, so its strategies read the same windows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import ceil, floor, inf
from typing import Any, NamedTuple

from limits.aio.storage import MemoryStorage, RedisStorage
from redis.asyncio import ConnectionPool, Redis

WINDOW_S = 60


class Window(NamedTuple):
    """Counts of the minute before and of the running one, and for how many seconds each of them still weighs."""

    previous: int
    previous_s: float
    current: int
    current_s: float

    def used(self) -> int:
        """How many places are taken."""
        return floor(self.previous * self.previous_s / WINDOW_S + self.current)

    def frees_in_s(self) -> int:
        """Whole seconds until a place comes free."""
        freed = self.previous_s % (WINDOW_S / self.previous) if self.previous else inf
        ends = self.current_s % WINDOW_S if self.current else inf
        soonest = min(freed, ends)
        return 0 if soonest == inf else min(ceil(soonest), WINDOW_S)


Taken = tuple[int | None, list[Window]]  # the first full window or None, and how each of them stands


class MemoryWindows(MemoryStorage):
    """Windows of this process; the event loop alone uses them, so nothing comes between asking and counting."""

    def __init__(self) -> None:
        super().__init__()
        self._swept_at = 0.0

    def take(self, keys: Sequence[str], amounts: Sequence[int], *, count: bool = True) -> Taken:
        """Count a request in all these windows unless one of them is full."""
        now = time.time()
        if now - self._swept_at >= WINDOW_S:
            self._sweep(now)
        left_s = (1 - (now / WINDOW_S) % 1) * WINDOW_S
        number = int(now / WINDOW_S)
        currents = [f"{key}/{number}" for key in keys]
        windows = [
            Window(self._count(f"{key}/{number - 1}", now), left_s, self._count(current, now), left_s + WINDOW_S)
            for key, current in zip(keys, currents, strict=True)
        ]
        for place, (window, amount) in enumerate(zip(windows, amounts, strict=True)):
            if window.used() >= amount:
                return place, windows
        if not count:
            return None, windows
        for current in currents:
            self.storage[current] += 1
            self.expirations.setdefault(current, now + 2 * WINDOW_S)
        return None, [window._replace(current=window.current + 1) for window in windows]

    def _count(self, key: str, now: float) -> int:
        return self.storage.get(key, 0) if self.expirations.get(key, 0) > now else 0

    def _sweep(self, now: float) -> None:
        self._swept_at = now
        for key in [key for key, until in self.expirations.items() if until <= now]:
            self.storage.pop(key, None)
            del self.expirations[key]


# KEYS: the minute before and the running one of each window; ARGV: seconds of a minute, then how many each takes.
# Answers the first full window (0: none), then four numbers for each; times are in milliseconds.
_TAKE = """
local span = ARGV[1] * 1000
local windows = #KEYS / 2
local answer = {0}
for i = 1, windows do
    local before, running = KEYS[2 * i - 1], KEYS[2 * i]
    local left = redis.call('PTTL', running)
    if left > 0 and left < span then
        redis.call('RENAME', running, before)
        redis.call('SET', running, 0, 'PX', left + span)
    end
    local old = tonumber(redis.call('GET', before) or 0)
    local old_left = math.max(redis.call('PTTL', before), 0)
    local new = tonumber(redis.call('GET', running) or 0)
    if answer[1] == 0 and math.floor(old * old_left / span) + new >= tonumber(ARGV[1 + i]) then
        answer[1] = i
    end
    answer[4 * i - 2], answer[4 * i - 1], answer[4 * i] = old, old_left, new
    answer[4 * i + 1] = math.max(redis.call('PTTL', running), 0)
end
if answer[1] == 0 then
    for i = 1, windows do
        if redis.call('INCR', KEYS[2 * i]) == 1 and answer[4 * i + 1] == 0 then
            redis.call('PEXPIRE', KEYS[2 * i], 2 * span)
            answer[4 * i + 1] = 2 * span
        end
        answer[4 * i] = answer[4 * i] + 1
    end
end
return answer
"""


class SharedWindows(RedisStorage):
    """Windows that processes share in one Redis or Valkey server, with one round trip however many they are."""

    def __init__(self, pool: ConnectionPool) -> None:
        # The pool knows the address; the URI only says what it speaks.
        options: dict[str, Any] = {"connection_pool": pool}
        super().__init__("async+redis://", implementation="redispy", **options)
        self._take = Redis(connection_pool=pool).register_script(_TAKE)

    async def take(self, keys: Sequence[str], amounts: Sequence[int]) -> Taken:
        """Count a request in all these windows unless one of them is full. Raises redis.RedisError."""
        names = [
            self.bridge.prefixed_key(name)
            for key in keys
            for name in (self._previous_window_key(key), self._current_window_key(key))
        ]
        full, *numbers = await self._take(names, [WINDOW_S, *amounts])
        windows = [
            Window(numbers[at], numbers[at + 1] / 1000, numbers[at + 2], numbers[at + 3] / 1000)
            for at in range(0, len(numbers), 4)
        ]
        return (full - 1 if full else None), windows
