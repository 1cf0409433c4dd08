"""Who is trusted when something outside is called."""

from __future__ import annotations

import functools
import ssl

import httpx


@functools.cache
def usual() -> ssl.SSLContext:
    """The usual authorities, read once for all threads: reading them takes 50 ms."""
    return httpx.create_ssl_context()
