"""Structured logs: one JSON line an event (or a readable one), every line with the request id it belongs to."""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from typing import Any, TextIO

import msgspec
import structlog

from .settings import Settings

_encode = msgspec.json.Encoder(enc_hook=repr).encode


class _Lines(structlog.WriteLogger):
    """Writes a line at a time; where nobody reads the log any more, the work goes on without it."""

    def msg(self, message: str) -> None:
        """Write the line."""
        with contextlib.suppress(OSError, ValueError):  # a broken pipe, a closed stream
            super().msg(message)

    debug = info = warning = error = critical = msg


def _json(event: Any, **_: Any) -> str:
    return _encode(event).decode()


def _logger(stream: TextIO, *_names: str) -> _Lines:
    return _Lines(stream)


def configure(settings: Settings) -> None:
    """Send structlog's lines and those of libraries to stderr in the configured form."""
    renderer: Any = (
        structlog.processors.JSONRenderer(serializer=_json)
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    # Straight to the stream: a line that goes the way of `logging` costs five times as much.
    structlog.configure(
        processors=[*shared, renderer],
        logger_factory=functools.partial(_logger, sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    # URLs of providers carry tokens, lines of Connexion carry values and those of Peewee whole rows: none belongs here.
    for noisy in ("httpx", "httpcore", "connexion", "openai", "peewee"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
