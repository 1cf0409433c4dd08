"""robots.txt: what a site lets us read, and how slowly it wants to be read. Source: RFC 9309."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from protego import Protego

from storage.tenancy import Environment

from .fetch import USER_AGENT, Fetcher
from .fetch_errors import BadAnswer, FetchError, TooSlow, Unreachable
from .urls import Url

MAX_BYTES = 500 * 1024  # as much as RFC 9309 demands
LONGEST_DELAY_S = 60.0

State = Literal["rules", "open", "closed"]

_AGENT_LINE = re.compile(r"^[ \t]*user[ -]?agent[ \t]*:[ \t]*(.*?)[ \t]*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Robots:
    """What an origin said. open: it has no rules. closed: it could not say, which means no; `text` says why then."""

    state: State
    text: str = ""


def ask(fetcher: Fetcher, environment: Environment, url: Url, timeout_s: float | None = None) -> Robots:
    """What the origin of `url` has in its robots.txt. Raises FetchError where it may well be told later."""
    try:
        answer = fetcher.fetch(environment, f"{url.origin}/robots.txt", max_bytes=MAX_BYTES, timeout_s=timeout_s)
    except (Unreachable, TooSlow, BadAnswer):
        raise
    except FetchError as error:
        return Robots("closed", error.message)
    if answer.status == 429 or answer.status >= 500:
        raise BadAnswer(f"http_{answer.status}", f"{url.host} answers status {answer.status} for its robots.txt.")
    if not answer.is_success:
        return Robots("open")
    return Robots("rules", answer.body.decode(errors="replace").replace("\0", ""))


class Rules:
    """What of an origin may be read. told: why nothing may, where it could not say."""

    def __init__(self, robots: Robots) -> None:
        self._state = robots.state
        self.told = robots.text if robots.state == "closed" else ""
        self._rules = Protego.parse(_only_ours(robots.text)) if robots.state == "rules" else None

    def allows(self, url: Url) -> bool:
        """Whether we may read this page."""
        if self._rules is None:
            return self._state == "open"
        return bool(self._rules.can_fetch(str(url), USER_AGENT))

    @property
    def delay_s(self) -> float:
        """The pause between two pages that the origin asks for, a minute at most."""
        delay = self._rules.crawl_delay(USER_AGENT) if self._rules is not None else None
        return min(max(float(delay or 0.0), 0.0), LONGEST_DELAY_S)


def _only_ours(text: str) -> str:
    """The same rules for us, all other robots under one name: thousands of names make thousands of copies of rules."""

    def renamed(line: re.Match[str]) -> str:
        name = line[1].partition("#")[0].strip().lower()
        is_ours = name == "*" or name.partition("/")[0].strip() == USER_AGENT
        return f"User-agent: {name.partition('/')[0].strip()}" if is_ours else "User-agent: other"

    return _AGENT_LINE.sub(renamed, text.removeprefix("\ufeff"))
