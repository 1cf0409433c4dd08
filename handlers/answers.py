"""What a handler may return besides a plain body: a status, a place, a page, or work to finish after the commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Body = Any  # what JSON can say: dict, list, str, int, float, bool, None


@dataclass(frozen=True, slots=True)
class Answer:
    """A body with another status than 200, or with headers that the server derives from these members.

    `then` runs after the commit and outside any transaction; its return value replaces `body`. `body` is what a
    repeated request is answered with should the process die in between.
    """

    body: Body
    status: int = 200
    location: str | None = None
    then: Callable[[], Body] | None = None
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: the body, how many items match over all pages, and the cursor of the next page."""

    body: Body
    total: int
    next_cursor: str | None = None
