"""Everything that can be refused, named by meaning; `server/errors.py` alone gives these names a status.

NewleafError
├── Invalid               the request says something that cannot be
│   └── Malformed         it cannot even be read
├── Unauthenticated       who is calling is not known
├── Forbidden             the caller may not do this
├── NotFound              no such object for this caller
├── Conflict              the state of the object does not allow it
├── Stale                 the object changed since the caller read it
├── TooLarge              more than is accepted at once
├── Blocked               a rule forbids it now
└── Unavailable           a part that is needed does not answer
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Problem(NamedTuple):
    """One thing wrong with a request: where (JSON pointer or parameter name) and what."""

    path: str
    message: str


class NewleafError(Exception):
    """A refusal with a stable `code`, a `message` that says what to do, and where it helps `details` and `problems`."""

    def __init__(
        self, code: str, message: str, *, details: str | None = None, problems: Sequence[Problem] = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
        self.problems = tuple(problems)


class Invalid(NewleafError):
    """The request says something that cannot be."""


class Malformed(Invalid):
    """The request cannot be read."""


class Unauthenticated(NewleafError):
    """Who is calling is not known."""


class Forbidden(NewleafError):
    """The caller may not do this; `message` says what is missing."""


class NotFound(NewleafError):
    """There is no such object for this caller, whether or not another tenant has it."""


class Conflict(NewleafError):
    """The state of the object does not allow it."""


class Stale(NewleafError):
    """The object changed since the caller read it."""


class TooLarge(NewleafError):
    """More than is accepted at once."""


class Blocked(NewleafError):
    """A rule forbids it now; `code` names the rule."""


class Unavailable(NewleafError):
    """A part that is needed does not answer."""
