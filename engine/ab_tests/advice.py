"""What to do about an A/B test, in words for whoever has to decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .statistics import Judgement


@dataclass(frozen=True, slots=True)
class Seen:
    """What the advice rests on. names, leads: of the variants, in their order; idle: names of those not active."""

    status: str
    names: Sequence[str]
    idle: Sequence[str]
    leads: Sequence[int]
    is_mismatched: bool
    judgement: Judgement | None
    has_winner: bool


def recommend(seen: Seen) -> str:
    """One or two sentences: what the results say, and what to do next."""
    if seen.status == "draft":
        return "The test has not begun. Start it, and leads are spread over its variants."
    if seen.is_mismatched:
        return (
            f"Do not trust these results: leads are spread as {_counts(seen)}, which is not what the weights say. Find "
            f"out what keeps leads from a variant{_idle(seen)}, and start a new test."
        )
    if seen.status == "running" and seen.idle:
        return (
            f"{_names(seen.idle)} {_are(seen.idle)} not active, so leads drawn for it are not in the test. Activate it."
        )
    if seen.judgement is None:
        return _too_early(seen)
    return _winner(seen, seen.judgement) if seen.has_winner else _undecided(seen, seen.judgement)


def _too_early(seen: Seen) -> str:
    if seen.status == "completed":
        return f"The test ended before its variants could be compared, with {_counts(seen)} leads. Nobody has won."
    said = f"It is too early to compare: the variants have {_counts(seen)} leads."
    return f"{said} Keep it running." if seen.status == "running" else f"{said} Resume it."


def _winner(seen: Seen, found: Judgement) -> str:
    leader, rival = seen.names[found.leader], seen.names[found.rival]
    more = f"{leader} qualifies more leads than"
    if len(seen.names) == 2:
        return f"{more} {rival}: {_span(found)} percentage points. Promote it."
    return f"{more} all others: against {rival}, which comes nearest, {_span(found)} percentage points. Promote it."


def _undecided(seen: Seen, found: Judgement) -> str:
    said = (
        f"No winner can be told apart from chance: {seen.names[found.leader]} against {seen.names[found.rival]} is "
        f"{_span(found)} percentage points."
    )
    if seen.status == "completed":
        return f"{said} The test is over: keep the agent that you prefer."
    if seen.status == "paused":
        return f"{said} Resume it to learn more, or complete it and keep the agent that you prefer."
    return f"{said} Keep it running, or complete it if such a difference would not matter."


def _span(found: Judgement) -> str:
    return f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"


def _counts(seen: Seen) -> str:
    return " / ".join(f"{leads:,}" for leads in seen.leads)


def _idle(seen: Seen) -> str:
    return f" ({_names(seen.idle)} {_are(seen.idle)} not active)" if seen.idle else ""


def _names(names: Sequence[str]) -> str:
    return ", ".join(names)


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
