"""Listening: one server process or several on one socket, until SIGTERM or SIGINT ends them in good order."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import structlog
import uvicorn
from uvicorn.supervisors import Multiprocess

from engine.metrics import SHARED_FOLDER

from .settings import Settings

_BACKLOG = 2048
_GRACE_S = 30
_log = structlog.get_logger("newleaf.serve")


def serve(chosen: Settings, host: str, port: int, *, workers: int, with_worker: bool) -> None:
    """Serve until told to end; says on stdout where. Raises ClickException where the address cannot be had."""
    listener = _listen(host, port)
    port = listener.getsockname()[1]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    click.echo(f"newleaf listens on {url}, its docs are at {url}/docs")
    sys.stdout.flush()
    if workers > 1 and chosen.limits_url is None and chosen.rate_limits == "on":
        _log.warning("rate limits count in each process apart, NEWLEAF_LIMITS_URL shares them", workers=workers)
    config = uvicorn.Config(
        "server.app:serving_with_worker" if with_worker else "server.app:serving",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        access_log=False,
        log_config=None,
        server_header=False,
        ws="none",
        forwarded_allow_ips=chosen.trusted_proxies,
        timeout_graceful_shutdown=_GRACE_S,
        h11_max_incomplete_event_size=64 * 1024,
    )
    if workers > 1:
        with _counting_together():
            Multiprocess(config, [listener]).run()
        return
    # uvicorn ends in good order, then raises the signal again: an end that was asked for is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    server = uvicorn.Server(config)
    server.run([listener])
    if not server.started:
        sys.exit(1)


@contextmanager
def _counting_together() -> Iterator[None]:
    """Whichever of the processes that are started meanwhile is asked for metrics tells those of all of them."""
    with tempfile.TemporaryDirectory(prefix="newleaf-metrics-") as folder:
        os.environ.setdefault(SHARED_FOLDER, folder)
        yield


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket: from here on clients wait for the first process instead of being refused."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise click.ClickException(
            f"Cannot listen on {host}, port {port}: {os.strerror(error.errno) if error.errno else error}"
        ) from None


def _end(*_: Any) -> None:
    sys.exit(0)
