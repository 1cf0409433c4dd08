"""Which variant a lead is drawn for: a fixed function of the test and the lead, so nothing has to be remembered."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import accumulate

_DRAWS = 1 << 64


def draw(test_oid: str, lead_number: int, weights: Sequence[float]) -> int:
    """The index of the variant that this lead belongs to in this test; over many leads they share as the weights say.

    The first 64 bits of a SHA-256 over both ids are read as a fraction of 1: leads next to each other, and the same
    lead in another test, are drawn independently.
    """
    digest = hashlib.sha256(f"{test_oid}:{lead_number}".encode()).digest()
    point = int.from_bytes(digest[:8], "big") / _DRAWS * sum(weights)
    return next((index for index, end in enumerate(accumulate(weights)) if point < end), len(weights) - 1)
