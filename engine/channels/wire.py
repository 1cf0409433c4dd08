"""One exchange with a provider over HTTP: strict about time and size, silent about addresses.

A provider's URL may hold its token and a body a lead's address, so no exception of httpx leaves this module, not even
as the context of ours, and httpx's own log lines are cut to the host.
"""

from __future__ import annotations

import atexit
import functools
import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

CONNECT_TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 1_000_000

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.InvalidURL,
    httpx.LocalProtocolError,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    UnicodeEncodeError,  # a header that HTTP cannot carry
)


class Unreached(Exception):
    """The request certainly did not reach the provider."""


class AnswerLost(Exception):
    """The request went out, and no whole answer came back in time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. headers: looked up in any case; body: {} where it was no JSON object."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]


def exchange(
    method: str,
    url: str,
    *,
    timeout_s: float,
    headers: Mapping[str, str] | None = None,
    body: Any = None,
    form: Mapping[str, Any] | None = None,
    auth: tuple[str, str] | None = None,
    max_bytes: int = MAX_ANSWER_BYTES,
) -> Answer:
    """The provider's answer, whatever its status; redirects are answers like any other.

    body: sent as JSON; form: sent form-encoded; auth: name and password of HTTP Basic. Raises Unreached, AnswerLost.
    """
    sent = dict(headers or {})
    content = None
    if body is not None:
        content = json.dumps(body).encode()  # ASCII: a lone surrogate of some lead cannot break it
        sent["Content-Type"] = "application/json"
    timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
    deadline = time.monotonic() + timeout_s
    failure: Exception
    try:
        with _client(os.getpid()).stream(
            method, url, headers=sent, content=content, data=form, auth=auth, timeout=timeout
        ) as response:
            received = _read(response, max_bytes, deadline)
            return Answer(response.status_code, response.headers, received)
    except _NOT_SENT:
        failure = Unreached("the provider cannot be reached")
    except (httpx.HTTPError, _CutOff):
        failure = AnswerLost("the provider's answer was lost")
    raise failure  # here, where no exception of httpx is its context


class _CutOff(Exception):
    """The answer is longer or slower than anything a provider documents."""


def _read(response: httpx.Response, max_bytes: int, deadline: float) -> Mapping[str, Any]:
    received = bytearray()
    for chunk in response.iter_bytes():
        received += chunk
        if len(received) > max_bytes or time.monotonic() > deadline:
            raise _CutOff
    try:
        decoded = json.loads(received)
    except (ValueError, RecursionError):
        return {}
    return decoded if isinstance(decoded, dict) else {}


@functools.lru_cache(maxsize=1)
def _client(process_id: int) -> httpx.Client:
    """One for all threads of a process; a forked one must not share its parent's connections."""
    del process_id
    logger = logging.getLogger("httpx")
    if not any(isinstance(known, _HostsOnly) for known in logger.filters):
        logger.addFilter(_HostsOnly())
    client = httpx.Client(follow_redirects=False)
    atexit.register(client.close)
    return client


class _HostsOnly(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(arg.host if isinstance(arg, httpx.URL) else arg for arg in record.args)
        return True
