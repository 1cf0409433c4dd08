"""The one way out: every request to an address that an account has given goes through here.

A host is resolved once and all its addresses are checked; the connection goes to one of those, whatever the name means
a moment later, while Host header, SNI and certificate stay the name's. Redirects are followed here, each as carefully
as the first address. Bytes, headers and time are counted as they come in, so that no answer can cost more than it may.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpcore

from engine import authorities
from storage.tenancy import Environment

from .fetch_errors import BadAnswer, FetchError, RedirectRefused, TooSlow, Unreachable, UrlRefused, WrongType
from .metering import MAX_HEADER_BYTES, Meter, Pinned, headers_too_large, unpacking
from .reach import DEFAULT_PORTS, Address, Reach
from .urls import Url, joined, parse

TIMEOUT_S = 20.0
MAX_BYTES = 10 * 1024 * 1024
USER_AGENT = "newleaf"
MAX_REDIRECTS = 5
MAX_VALIDATOR = 500  # characters

_MOVED = (301, 302, 303, 307, 308)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = ("host", "connection", "content-length", "transfer-encoding", "accept-encoding", "te", "upgrade", "expect")

Resolve = Callable[[str], Sequence[str]]

_resolvers = ThreadPoolExecutor(8, thread_name_prefix="resolver")  # getaddrinfo cannot be told how long it may take


@dataclass(frozen=True, slots=True)
class Validators:
    """What an earlier answer said about itself, to ask for it again only if it has changed."""

    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer, from where redirects have led.

    headers: by lower-case name. body: unpacked; empty unless the status is 2xx.
    """

    url: Url
    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def media_type(self) -> str:
        """The type without its parameters, lower-case; empty if none was given."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The encoding that the header names."""
        found = re.search(r"charset\s*=\s*\"?([\w.:-]+)", self.headers.get("content-type", ""), re.IGNORECASE)
        return found[1].lower() if found else None

    @property
    def validators(self) -> Validators:
        """What to ask with the next time."""
        told = (self.headers.get(name, "") for name in ("etag", "last-modified"))
        return Validators(*(value if 0 < len(value) <= MAX_VALIDATOR else None for value in told))

    @property
    def retry_after_s(self) -> float | None:
        """How long the server wants to be left alone, where it says so in seconds."""
        told = self.headers.get("retry-after", "").strip()
        return float(told) if told.isascii() and told.isdecimal() and len(told) < 10 else None


def resolve(host: str) -> list[str]:
    """The addresses of a host as this machine knows them. Raises OSError, UnicodeError."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


class Fetcher:
    """Asks addresses that an account has given, within these limits.

    resolve: tells a host's addresses. timeout_s: of a whole fetch, redirects included. max_bytes: of a body, as sent
    and unpacked. tls: whom to trust instead of the usual authorities.
    """

    def __init__(
        self,
        reach: Reach,
        *,
        resolve: Resolve = resolve,
        timeout_s: float = TIMEOUT_S,
        max_bytes: int = MAX_BYTES,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._reach = reach
        self._resolve = resolve
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._tls = tls

    def fetch(
        self,
        environment: Environment,
        url: str | Url,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        known: Validators | None = None,
        accepts: Container[str] | None = None,
        may_follow: Callable[[Url], Any] | None = None,
        timeout_s: float | None = None,
        max_bytes: int | None = None,
        peek: int | None = None,
    ) -> Fetched:
        """The answer, whatever its status. Raises FetchError.

        environment: requests of `test` reach only what the operator has listed. headers: the account's; they go no
        further than the first origin. known: an unchanged page answers 304. accepts: media types of a body that is
        wanted. may_follow: is shown each redirect, and raises RedirectRefused to stop there. peek: of the
        body read only so many bytes, as they are sent, but of any status.
        """
        allowed_s = self._timeout_s if timeout_s is None else min(timeout_s, self._timeout_s)
        largest = self._max_bytes if max_bytes is None else max_bytes
        meter = Meter(time.monotonic() + allowed_s, largest)
        asked = _Asked(method.upper(), parse(url) if isinstance(url, str) else url, dict(headers or {}), body)
        _require_sendable(asked)
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._once(environment == "test", asked, known, accepts, meter, peek)
            location = answer.headers.get("location") if answer.status in _MOVED else None
            if location is None:
                return answer
            asked = _moved(asked, answer.status, location)
            if may_follow is not None:
                may_follow(asked.url)
        raise RedirectRefused("too_many_redirects", f"It was redirected more than {MAX_REDIRECTS} times.")

    def _once(
        self,
        only_listed: bool,
        asked: _Asked,
        known: Validators | None,
        accepts: Container[str] | None,
        meter: Meter,
        peek: int | None = None,
    ) -> Fetched:
        url = asked.url
        backend = Pinned(self._addresses(url, only_listed, meter), meter)
        tls = (self._tls or authorities.usual()) if url.scheme == "https" else None
        host = url.host.encode()
        origin = httpcore.Origin(url.scheme.encode(), host, url.port)
        place = httpcore.URL(scheme=url.scheme.encode(), host=host, port=url.port, target=url.target.encode())
        meter.begin()
        with (
            _told(url),
            httpcore.HTTPConnection(origin, ssl_context=tls, network_backend=backend) as connection,
            connection.stream(asked.method, place, headers=_sent(asked, known), content=asked.body or b"") as response,
        ):
            answer = Fetched(url, response.status, _headers(response.headers))
            if peek is not None:
                return Fetched(url, answer.status, answer.headers, _peeked(response.iter_stream(), peek, meter))
            if not answer.is_success:
                return answer
            if accepts is not None and answer.media_type not in accepts:
                raise WrongType(
                    "wrong_type", f"It is {answer.media_type or 'of no stated type'}, which is not read here."
                )
            return Fetched(url, answer.status, answer.headers, _body(response.iter_stream(), answer.headers, meter))

    def _addresses(self, url: Url, only_listed: bool, meter: Meter) -> list[Address]:
        """Where the host is, all of it allowed. Raises AddressRefused, Unreachable, TooSlow."""
        self._reach.require_lookup(url, only_listed=only_listed)
        try:
            found = [ipaddress.ip_address(url.host)]
        except ValueError:
            found = self._looked_up(url, meter)
        for address in found:
            self._reach.require(url, address, only_listed=only_listed)
        return found

    def _looked_up(self, url: Url, meter: Meter) -> list[Address]:
        lookup = _resolvers.submit(self._resolve, url.host)
        try:
            told = lookup.result(meter.left_s())
        except TimeoutError as error:
            lookup.cancel()
            raise TooSlow("timeout", f"The address of {url.host} was not found in time.") from error
        except (OSError, UnicodeError) as error:
            raise Unreachable("host_not_found", f"There is no host {url.host}.") from error
        found = [ipaddress.ip_address(text.partition("%")[0]) for text in dict.fromkeys(told)]
        if not found:
            raise Unreachable("host_not_found", f"There is no host {url.host}.")
        return found


@dataclass(frozen=True, slots=True)
class _Asked:
    method: str
    url: Url
    headers: Mapping[str, str]
    body: bytes | None


def is_sendable(name: str, value: str) -> bool:
    """Whether an account may have this header sent: one that is well-formed and not ours to say."""
    is_value = value.isprintable() and value == value.strip()
    return is_value and _TOKEN.fullmatch(name) is not None and name.lower() not in _OURS


def _require_sendable(asked: _Asked) -> None:
    for name, value in asked.headers.items():
        if not is_sendable(name, value):
            raise UrlRefused("invalid_header", f"The header {name[:100]!r} cannot be sent.")


def _sent(asked: _Asked, known: Validators | None) -> list[tuple[bytes, bytes]]:
    headers = {"host": asked.url.authority, "user-agent": USER_AGENT, "accept": "*/*"}
    headers |= {name.lower(): value for name, value in asked.headers.items()}
    headers |= {"accept-encoding": "gzip", "connection": "close"}
    if known is not None and known.etag:
        headers["if-none-match"] = known.etag
    if known is not None and known.last_modified:
        headers["if-modified-since"] = known.last_modified
    if asked.body is not None or asked.method != "GET":
        headers["content-length"] = str(len(asked.body or b""))
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _headers(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """By lower-case name, repeated ones joined. Raises TooLarge."""
    if sum(len(name) + len(value) for name, value in raw) > MAX_HEADER_BYTES:
        raise headers_too_large()
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _body(chunks: Iterable[bytes], headers: Mapping[str, str], meter: Meter) -> bytes:
    meter.begin_body()
    told = headers.get("content-length", "")
    if told.isascii() and told.isdecimal() and int(told[:20]) > meter.max_bytes:
        raise meter.too_large()
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return b"".join(_counted(chunks, meter))
    if encoding in ("gzip", "x-gzip"):
        return b"".join(unpacking(_counted(chunks, meter), meter))
    raise BadAnswer("unknown_encoding", "It is compressed in a way that was not asked for.")


def _peeked(chunks: Iterable[bytes], most: int, meter: Meter) -> bytes:
    meter.begin_body()
    found = b""
    for chunk in chunks:
        found += chunk
        if len(found) >= most:
            break
    return found[:most]


def _counted(chunks: Iterable[bytes], meter: Meter) -> Iterator[bytes]:
    size_bytes = 0
    for chunk in chunks:
        size_bytes += len(chunk)
        if size_bytes > meter.max_bytes:
            raise meter.too_large()
        yield chunk


def _moved(asked: _Asked, status: int, location: str) -> _Asked:
    """What to ask next. Raises RedirectRefused, UrlRefused."""
    with contextlib.suppress(UnicodeError):
        location = location.encode("latin-1").decode()
    url = joined(asked.url, location)
    if asked.url.scheme == "https" and url.scheme == "http":
        raise RedirectRefused("insecure_redirect", "It leads from https to http.")
    becomes_get = status in (301, 302, 303) and asked.method != "GET"
    method, body = ("GET", None) if becomes_get else (asked.method, asked.body)
    if url.origin == asked.url.origin:
        return _Asked(method, url, asked.headers, body)
    if method != "GET":
        raise RedirectRefused("redirect_refused", "It sends a request with a body on to another host.")
    return _Asked(method, url, {}, None)


@contextlib.contextmanager
def _told(url: Url) -> Iterator[None]:
    """What went wrong on the way, in our words."""
    try:
        yield
    except FetchError:
        raise
    except httpcore.TimeoutException as error:
        raise TooSlow("timeout", f"{url.host} did not answer in time.") from error
    except httpcore.ConnectError as error:
        if isinstance(error.__cause__, ssl.SSLError):
            raise Unreachable("certificate_invalid", f"{url.host} could not prove who it is.") from error
        raise Unreachable("connection_failed", f"{url.host} takes no connection on port {url.port}.") from error
    except httpcore.RemoteProtocolError as error:
        if getattr(error.__cause__, "error_status_hint", None) == 431:
            raise headers_too_large() from error
        raise BadAnswer("bad_answer", f"What {url.host} answers is no HTTP, or ends too early.") from error
    except httpcore.NetworkError as error:
        raise Unreachable("connection_lost", f"{url.host} broke the connection.") from error


_fetcher = Fetcher(Reach())


def configure(
    *,
    allows_private: Iterable[str] = (),
    ports: Iterable[int] = DEFAULT_PORTS,
    timeout_s: float = TIMEOUT_S,
    max_bytes: int = MAX_BYTES,
) -> None:
    """Set what this process may fetch: see Reach and Fetcher. Raises ValueError."""
    global _fetcher
    _fetcher = Fetcher(Reach(allows_private, ports), timeout_s=timeout_s, max_bytes=max_bytes)


def fetcher() -> Fetcher:
    """The fetcher of this process."""
    return _fetcher
