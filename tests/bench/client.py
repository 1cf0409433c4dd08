"""A load generator: connections kept alive that carry one request after the other, as fast as they are answered.

It is its own, and in Python, so that it runs wherever newleaf does, sends requests that all differ, and sees to it
that every answer has the right status. It has a core to itself, and says how much of it a request took.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass

import uvloop

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length: "


@dataclass(frozen=True, slots=True)
class Load:
    """What was answered: how many requests, in how many seconds of the clock and of this process."""

    requests: int
    seconds: float
    client_seconds: float

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


class WrongAnswer(Exception):
    """An answer without the status that the work has."""


class _Connection(asyncio.Protocol):
    """One connection: sends the next request when the answer to the last is whole."""

    def __init__(self, run: _Run) -> None:
        self.run = run
        self.received = b""
        self.awaited = 0  # bytes of the whole answer, once its head is here

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.received = received = self.received + data if self.received else data
        if not self.awaited:
            end = received.find(_END_OF_HEAD)
            if end < 0:
                return
            self.awaited = end + 4 + self._length(received[:end])
        if len(received) >= self.awaited:
            self.received, self.awaited = b"", 0
            self.run.answered(self, received)

    @staticmethod
    def _length(head: bytes) -> int:
        at = head.lower().index(_LENGTH) + len(_LENGTH)
        return int(head[at : at + 10].split(b"\r\n", 1)[0])

    def connection_lost(self, exc: Exception | None) -> None:
        self.run.lost(exc)


class _Run:
    def __init__(self, requests: Iterator[bytes], status: int, seconds: float) -> None:
        self.requests = requests
        self.status = b"%d" % status
        self.seconds = seconds
        self.answers = 0
        self.open = 0
        self.deadline = 0.0
        self.ended = asyncio.get_running_loop().create_future()

    def answered(self, connection: _Connection, answer: bytes) -> None:
        if answer[9:12] != self.status:
            self._fail(WrongAnswer(answer[:2000].decode("utf-8", "replace")))
            return
        self.answers += 1
        if time.perf_counter() < self.deadline:
            connection.transport.write(next(self.requests))
            return
        self.open -= 1
        if self.open == 0 and not self.ended.done():
            self.ended.set_result(time.perf_counter())

    def lost(self, error: Exception | None) -> None:
        self._fail(error or WrongAnswer("the server closed the connection"))

    def _fail(self, error: Exception) -> None:
        if not self.ended.done():
            self.ended.set_exception(error)

    async def load(self, port: int, connections: int) -> Load:
        loop = asyncio.get_running_loop()
        made = [await loop.create_connection(lambda: _Connection(self), "127.0.0.1", port) for _ in range(connections)]
        self.open = connections
        started, process = time.perf_counter(), time.process_time()
        self.deadline = started + self.seconds
        for transport, _ in made:
            transport.write(next(self.requests))
        try:
            ended = await self.ended
        finally:
            for transport, _ in made:
                transport.abort()
        return Load(self.answers, ended - started, time.process_time() - process)


def load(port: int, requests: Iterator[bytes], *, status: int, seconds: float, connections: int) -> Load:
    """Send requests to a server on loopback for so many seconds; the answers to the last of them are awaited.

    Raises WrongAnswer where one has another status, and what breaks a connection.
    """

    async def run() -> Load:
        return await _Run(requests, status, seconds).load(port, connections)

    gc.collect()
    gc.disable()  # a pause of the client would be counted as the server's
    try:
        return uvloop.run(run())
    finally:
        gc.enable()
