"""Sliding windows that are asked and counted all at once: the storages of the `limits` library with one more method.

A window weighs the requests of the running minute and, the further it has come the less, those of the minute before.
Keys and numbers are the library's own, so its strategies read the same windows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import ceil
from typing import Any, NamedTuple

from limits.aio.storage import MemoryStorage, RedisStorage
from redis.asyncio import ConnectionPool, Redis

WINDOW_S = 60


class Window(NamedTuple):
    """Counts of the minute before and of the running one, and the seconds that the running one has left."""

    previous: int
    left_s: float
    current: int

    def used(self) -> int:
        """How many places are taken."""
        return self.current + int(self.previous * self.left_s / WINDOW_S)

    def frees_in_s(self) -> int:
        """Whole seconds until a place comes free."""
        if self.previous:
            return ceil(self.left_s % (WINDOW_S / self.previous))
        return ceil(self.left_s) if self.current else 0


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
        counts = self.storage
        number = int(now // WINDOW_S)
        before, running = f"/{number - 1}", f"/{number}"
        left_s = (number + 1) * WINDOW_S - now
        windows = [Window(counts.get(key + before, 0), left_s, counts.get(key + running, 0)) for key in keys]
        for place, window in enumerate(windows):
            if window.used() >= amounts[place]:
                return place, windows
        if not count:
            return None, windows
        for key, window in zip(keys, windows, strict=True):
            if not window.current:
                self.expirations[key + running] = now + 2 * WINDOW_S
            counts[key + running] = window.current + 1
        return None, [Window(previous, left_s, current + 1) for previous, _, current in windows]

    def _sweep(self, now: float) -> None:
        self._swept_at = now
        for key in [key for key, until in self.expirations.items() if until <= now]:
            self.storage.pop(key, None)
            del self.expirations[key]


# KEYS: the minute before and the running one of each window; ARGV: seconds of a minute, then how many each takes.
# Answers the first full window (0: none), then for each: count before, milliseconds that the minute has left, count.
_TAKE = """
local span = ARGV[1] * 1000
local answer = {0}
for i = 1, #KEYS / 2 do
    local before, running = KEYS[2 * i - 1], KEYS[2 * i]
    local left = redis.call('PTTL', running) - span
    if left < 0 and left > -span then
        redis.call('RENAME', running, before)
        left = left + span
        redis.call('SET', running, 0, 'PX', left + span)
    end
    local old = tonumber(redis.call('GET', before) or 0)
    local new = tonumber(redis.call('GET', running) or 0)
    if left < 0 then left = span end
    if answer[1] == 0 and new + math.floor(old * left / span) >= tonumber(ARGV[1 + i]) then
        answer[1] = i
    end
    answer[3 * i - 1], answer[3 * i], answer[3 * i + 1] = old, left, new
end
if answer[1] == 0 then
    for i = 1, #KEYS / 2 do
        if redis.call('INCR', KEYS[2 * i]) == 1 then
            redis.call('PEXPIRE', KEYS[2 * i], answer[3 * i] + span)
        end
        answer[3 * i + 1] = answer[3 * i + 1] + 1
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
        windows = [Window(numbers[at], numbers[at + 1] / 1000, numbers[at + 2]) for at in range(0, len(numbers), 3)]
        return (full - 1 if full else None), windows
