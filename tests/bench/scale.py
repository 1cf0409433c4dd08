"""How much is measured: the whole run, or the quick one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """How often and how long, and how many leads the houses have whose speeds are compared; the large one is made by
    the import that is measured."""

    rounds: int
    seconds: float
    starts: int
    small: int
    middle: int
    large: int


FULL = Scale(rounds=7, seconds=1.5, starts=5, small=1_000, middle=100_000, large=1_000_000)
QUICK = Scale(rounds=3, seconds=0.3, starts=2, small=1_000, middle=10_000, large=30_000)
