"""Addresses of the web, read once and strictly, so that what is checked is what is connected to."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urljoin, urlsplit

import idna

from .fetch_errors import UrlRefused

MAX_LENGTH = 2000  # characters; what an address in the contract may have

DEFAULT_PORTS = {"http": 80, "https": 443}

_CONTROL = re.compile(r"[\x00-\x20\x7f\\]")
_PLACE = re.compile(r"(?:\[(?P<literal>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:@/?#%]+))(?::(?P<port>[0-9]{1,5})?)?")
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PATH_SAFE = "/%:@!$&'()*+,;=~"
_QUERY_SAFE = _PATH_SAFE + "?"


@dataclass(frozen=True, slots=True)
class Url:
    """An http or https address without user, password or fragment.

    host: a lower-case ASCII name without the dot at its end, or an IP address, IPv6 without brackets. target: path and
    query as they are sent.
    """

    scheme: Literal["http", "https"]
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """`host` or `host:port`, as the Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{self.scheme}://{self.authority}"

    @property
    def site(self) -> tuple[str, int]:
        """What pages of one site have in common: a leading `www.` and the scheme make no difference."""
        return self.host.removeprefix("www."), 0 if self.port in DEFAULT_PORTS.values() else self.port

    def __str__(self) -> str:
        return self.origin + self.target


def parse(text: str) -> Url:
    """The address that this text names; its fragment is dropped. Raises UrlRefused."""
    text = text.strip("\t\n\f\r ")
    if len(text) > MAX_LENGTH:
        raise UrlRefused("invalid_url", f"The address is longer than {MAX_LENGTH} characters.")
    if _CONTROL.search(text):
        raise UrlRefused("invalid_url", "The address has spaces, backslashes or control characters in it.")
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise UrlRefused("invalid_url", "This is no address of a page.") from error
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https"):
        raise UrlRefused("invalid_url", "The address must begin with https:// or http://.")
    if "@" in parts.netloc:
        raise UrlRefused("invalid_url", "The address must not hold a user or a password.")
    place = _PLACE.fullmatch(parts.netloc)
    if place is None:
        raise UrlRefused("invalid_url", "The address names no host.")
    port = int(place["port"] or DEFAULT_PORTS[scheme])
    if not 1 <= port <= 65535:
        raise UrlRefused("invalid_url", "The port must be between 1 and 65535.")
    host = _literal(place["literal"]) if place["literal"] else _named(place["name"])
    target = quote(parts.path or "/", safe=_PATH_SAFE) + (
        f"?{quote(parts.query, safe=_QUERY_SAFE)}" if parts.query else ""
    )
    return Url("https" if scheme == "https" else "http", host, port, target)


def joined(base: Url, reference: str) -> Url:
    """The address that a link on the page at `base` leads to. Raises UrlRefused."""
    if _CONTROL.search(reference.strip()):
        raise UrlRefused("invalid_url", "The address has spaces, backslashes or control characters in it.")
    try:
        return parse(urljoin(str(base), reference.strip()))
    except ValueError as error:
        raise UrlRefused("invalid_url", "This is no address of a page.") from error


def _literal(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError as error:
        raise UrlRefused("invalid_url", "The address has something in brackets that is no IPv6 address.") from error


def _named(text: str) -> str:
    """A name in ASCII, or an IPv4 address in its one usual notation.

    Other notations (decimal, octal, hexadecimal, fewer parts) are refused: resolvers differ over what they mean.
    """
    try:
        name = text.lower() if text.isascii() else idna.encode(text, uts46=True).decode()
    except UnicodeError as error:
        raise UrlRefused("invalid_url", "The host is no valid internationalized name.") from error
    name = name.removesuffix(".")
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise UrlRefused("invalid_url", "The host is no valid name.")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError as error:
            raise UrlRefused("invalid_url", "An IPv4 address has four decimal numbers.") from error
    return name
