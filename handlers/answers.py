"""What a handler may return besides a plain body: a status, a place, a page, a stream, or work after the commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Stream:
    """A body that is sent piece by piece, for as long as the client listens.

    pull: the next piece; b"" where there is none yet, None at the end. It runs outside any transaction, with a
    connection to the database. is_live: it has no end of its own, so the server ends it after a while. waits_s: from an
    empty piece to the next look.
    """

    media_type: str
    pull: Callable[[], bytes | None]
    headers: Mapping[str, str] = field(default_factory=dict)
    is_live: bool = False
    waits_s: float = 0.5


@dataclass(frozen=True, slots=True)
class RawBody:
    """The request of an operation with `x-raw-body`, as it came: for signatures over the very bytes, and the like.

    headers: by name in lower case. url: as the caller called it, behind a proxy too. query: decoded, the last of each.
    address: the caller's.
    """

    bytes: bytes
    headers: Mapping[str, str]
    url: str
    query: Mapping[str, str]
    address: str
