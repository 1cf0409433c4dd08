"""How what is no text is put into words, and what is offered as buttons into text."""

from __future__ import annotations

from collections.abc import Sequence

UNSUPPORTED = "[unsupported message]"  # the person said something that the channel does not hand on


def labelled(label: str, words: str) -> str:
    """`[label] words`: what kind of thing the person sent, and what can be said of it."""
    return f"[{label}] {words}".strip()


def located(latitude: str, longitude: str, *place: str) -> str:
    """A place that the person sent: its name and address where there are any, and the position."""
    position = ", ".join(filter(None, (latitude, longitude)))
    name = ", ".join(filter(None, place))
    return labelled("location", f"{name} ({position})" if name else position)


def with_choices(words: str, choices: Sequence[str]) -> str:
    """The text with the answers it offers as numbered lines, for where there are no buttons."""
    lines = [f"{number}. {choice}" for number, choice in enumerate(choices, 1)]
    return "\n".join([words, "", *lines]) if lines else words
