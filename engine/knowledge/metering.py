"""A connection that goes where it was told to, and counts what it costs: bytes, headers, time, what gzip unpacks to."""

from __future__ import annotations

import contextlib
import ssl
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import httpcore

from .fetch_errors import BadAnswer, TooLarge, TooSlow
from .reach import Address

MAX_HEADER_BYTES = 32 * 1024

_MAX_PREAMBLE_BYTES = 256 * 1024  # headers of the answer, of interim ones before it, and what comes in with them
_CONNECT_TIMEOUT_S = 5.0  # of one address, where a host has several
_MAX_ADDRESSES = 4
_WRITE_BYTES = 16 * 1024
_MAX_MEMBERS = 100  # each costs a copy of what is left


class Meter:
    """What an answer has cost so far, and the most that it may. Raises TooSlow, TooLarge."""

    def __init__(self, until: float, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._until = until
        self._preamble = 0
        self._in_body = False
        self._read = 0

    def begin(self) -> None:
        """The next answer is awaited."""
        self._preamble, self._in_body = 0, False

    def begin_body(self) -> None:
        """Its headers are in."""
        self._in_body = True

    def left_s(self) -> float:
        """Seconds until the end. Raises TooSlow after it."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TooSlow("timeout", "It took longer than it may.")
        return left

    def count(self, size_bytes: int) -> None:
        """Note bytes of the connection, framing included. Raises TooSlow, TooLarge."""
        self.left_s()
        if self._in_body:
            self._read += size_bytes
            if self._read > 2 * self.max_bytes + _MAX_PREAMBLE_BYTES:
                raise self.too_large()
        else:
            self._preamble += size_bytes
            if self._preamble > _MAX_PREAMBLE_BYTES:
                raise headers_too_large()

    def too_large(self) -> TooLarge:
        """The refusal of a body larger than this."""
        return TooLarge("too_large", f"It is larger than {self.max_bytes} bytes.")


def headers_too_large() -> TooLarge:
    """The refusal of an answer with more headers than are read."""
    return TooLarge("headers_too_large", f"Its headers are larger than {MAX_HEADER_BYTES} bytes.")


class Pinned(httpcore.NetworkBackend):
    """Connects to these addresses, whatever the name says."""

    def __init__(self, addresses: Sequence[Address], meter: Meter) -> None:
        self._addresses = addresses[:_MAX_ADDRESSES]
        self._meter = meter
        self._network = httpcore.SyncBackend()

    def connect_tcp(  # noqa: D102 (httpcore's)
        self,
        host: str,  # noqa: ARG002
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        for address in self._addresses[:-1]:
            with contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return self._connect(address, port, local_address, socket_options)
        return self._connect(self._addresses[-1], port, local_address, socket_options)

    def _connect(self, address: Address, port: int, local_address: str | None, options: Any) -> httpcore.NetworkStream:
        timeout_s = min(self._meter.left_s(), _CONNECT_TIMEOUT_S)
        stream = self._network.connect_tcp(str(address), port, timeout_s, local_address, options)
        return Metered(stream, self._meter)


class Metered(httpcore.NetworkStream):
    """A connection whose every read and write is counted and has only the time that is left."""

    def __init__(self, stream: httpcore.NetworkStream, meter: Meter) -> None:
        self._stream = stream
        self._meter = meter

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, D102
        data = self._stream.read(max_bytes, self._meter.left_s())
        self._meter.count(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, D102
        for start in range(0, len(buffer), _WRITE_BYTES):
            self._stream.write(buffer[start : start + _WRITE_BYTES], self._meter.left_s())

    def close(self) -> None:  # noqa: D102
        self._stream.close()

    def start_tls(  # noqa: D102
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        return Metered(self._stream.start_tls(ssl_context, server_hostname, self._meter.left_s()), self._meter)

    def get_extra_info(self, info: str) -> Any:  # noqa: D102
        return self._stream.get_extra_info(info)


def unpacked(data: bytes, max_bytes: int) -> bytes:
    """What a gzip file holds. Raises TooLarge beyond `max_bytes`, BadAnswer."""
    return b"".join(unpacking([data], Meter(float("inf"), max_bytes)))


def unpacking(chunks: Iterable[bytes], meter: Meter) -> Iterator[bytes]:
    """What gzip members hold, never more of it at once than is still allowed. Raises TooLarge, BadAnswer."""
    left, members, member = meter.max_bytes, 0, None
    try:
        for chunk in chunks:
            while chunk:
                if member is None:
                    member, members = zlib.decompressobj(16 + zlib.MAX_WBITS), members + 1
                    if members > _MAX_MEMBERS:
                        raise meter.too_large()
                data = member.decompress(chunk, left + 1)
                if len(data) > left:
                    raise meter.too_large()
                left -= len(data)
                yield data
                chunk = member.unused_data.lstrip(b"\0") if member.eof else b""
                member = None if member.eof else member
    except zlib.error as error:
        raise BadAnswer("bad_compression", "It says that it is gzip, and is not.") from error
    if member is not None:
        raise BadAnswer("bad_compression", "Its gzip data ends too early.")
