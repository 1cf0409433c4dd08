"""Answers that last: pieces pulled one by one until there are no more, the client has gone, or the server ends."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import threading
import time
from typing import Any

from starlette.types import Receive, Send

from handlers.answers import Stream
from storage.database import connection

from .threads import Threads

_live_s = 300.0
_ending: set[asyncio.Event] = set()  # one for each stream that is open in this process


def configure(live_s: float) -> None:
    """Choose after how many seconds a stream that has no end of its own is ended."""
    global _live_s
    _live_s = live_s


async def pour(stream: Stream, threads: Threads, receive: Receive, send: Send) -> None:
    """Send the stream."""
    headers = {"content-type": stream.media_type, **stream.headers}
    sent = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": sent})
    over = asyncio.Event()
    _ending.add(over)
    listening = asyncio.create_task(_until_gone(receive, over))
    until = time.monotonic() + _live_s if stream.is_live else math.inf
    try:
        while not over.is_set() and time.monotonic() < until:
            piece = await threads.run(_pull, stream)
            if piece is None:
                break
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), stream.waits_s)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        _ending.discard(over)
        listening.cancel()


async def _until_gone(receive: Receive, over: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    over.set()


def _pull(stream: Stream) -> bytes | None:
    with connection():
        return stream.pull()


def end_with_the_server() -> None:
    """Let signals that end the server end its streams too, for it waits until every answer is complete.

    To be called on the event loop, once the server has taken the signals; in another thread than the main one there are
    none to take.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        present = signal.getsignal(number)
        if callable(present):
            signal.signal(number, lambda *call, present=present: _end(loop, present, *call))


def _end_all() -> None:
    for over in _ending:
        over.set()


def _end(loop: asyncio.AbstractEventLoop, present: Any, *call: Any) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended by itself
        loop.call_soon_threadsafe(_end_all)
    present(*call)
