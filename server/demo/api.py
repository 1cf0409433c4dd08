"""The demo's side of the HTTP API: a client that tells each request and stops at the first surprise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

_TIMEOUT_S = 60
_SHOWN = 400


class StepFailed(Exception):
    """The story cannot go on; the message says what was expected and what came."""


def expect(holds: bool, message: str) -> None:
    """Return if it holds. Raises StepFailed with the message."""
    if not holds:
        raise StepFailed(message)


class Api:
    """One API key's view of a running server; `heard` learns of each request and its status."""

    def __init__(self, base_url: str, key: str, heard: Callable[[str], None]) -> None:
        self.base_url = base_url
        self.key = key
        self._heard = heard
        self._client = httpx.Client(base_url=base_url, headers={"X-API-Key": key}, timeout=_TIMEOUT_S, trust_env=False)

    def get(self, path: str, **params: str | int) -> Any:
        """The body of a 200. Raises StepFailed."""
        return self._body("GET", path, (200,), params=params)

    def count(self, path: str, **params: str | int) -> int:
        """How many items of a list match, from its `X-Total-Count`. Raises StepFailed."""
        response = self._answer("GET", path, (200,), params={**params, "limit": 1})
        return int(response.headers["X-Total-Count"])

    def post(self, path: str, body: Any = None, *, status: int | tuple[int, ...] = 200, **options: Any) -> Any:
        """The body of an answer with this status, or one of these. Raises StepFailed."""
        wanted = status if isinstance(status, tuple) else (status,)
        return self._body("POST", path, wanted, json=body, **options)

    def patch(self, path: str, body: Any) -> Any:
        """The body of a 200. Raises StepFailed."""
        return self._body("PATCH", path, (200,), json=body)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _body(self, method: str, path: str, wanted: tuple[int, ...], **options: Any) -> Any:
        return self._answer(method, path, wanted, **options).json()

    def _answer(self, method: str, path: str, wanted: tuple[int, ...], **options: Any) -> httpx.Response:
        try:
            response = self._client.request(method, path, **options)
        except httpx.TransportError as error:
            raise StepFailed(f"{method} {path} was not answered: {error}") from None
        self._heard(f"{method} {path} → {response.status_code}")
        if response.status_code not in wanted:
            expected = " or ".join(map(str, wanted))
            text = response.text[:_SHOWN]
            raise StepFailed(f"{method} {path} answered {response.status_code} where {expected} was due: {text}")
        return response
