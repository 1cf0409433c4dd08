"""How much is measured: the whole run, or the quick one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Rounds and their length, and how many leads the houses have: small and middle ones, and the one that an import
    of a long file makes."""

    rounds: int
    seconds: float
    small: int
    middle: int
    large: int


FULL = Scale(rounds=7, seconds=1.5, small=1_000, middle=100_000, large=1_000_000)
QUICK = Scale(rounds=3, seconds=0.4, small=1_000, middle=10_000, large=30_000)
