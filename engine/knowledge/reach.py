"""Where an outgoing request may go: public addresses, and what the operator has listed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from .fetch_errors import AddressRefused, StaysInside
from .urls import Url

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

DEFAULT_PORTS = (80, 443)

# Spelled out: what `ipaddress` calls global has changed between patch releases of Python.
# Source: the special-purpose address registries of IANA. Azure's metadata stands on a public address.
_NOT_PUBLIC_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
_PUBLIC_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
_SIX_TO_FOUR = IPv6Network("2002::/16")
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Whether this is an address of the public internet, and one that an IPv6 address carries inside is, too."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    inner = _inner(address)
    if inner is not None:
        return is_public(inner)
    return address in _PUBLIC_V6 and not any(address in network for network in _NOT_PUBLIC_V6)


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to this address end at: mapped, by NAT64, by 6to4."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    return None


@dataclass(frozen=True, slots=True)
class _Entry:
    """A host or network of the operator's list. ports: None for every one."""

    host: str | Network
    ports: frozenset[int] | None

    def covers(self, url: Url, address: Address) -> bool:
        if self.ports is not None and url.port not in self.ports:
            return False
        return self.host == url.host if isinstance(self.host, str) else address in self.host


class Reach:
    """The operator's decision about outgoing requests.

    allows_private: what may be reached although it is not public, and all that the test environment may reach:
    `10.1.0.0/16` or `wiki.example.com` (on the allowed ports), `127.0.0.1:8931`, `[::1]:8931`, `127.0.0.1:*`. ports:
    those of public addresses; without any nothing but what is listed is reached. Raises ValueError for other entries.
    """

    def __init__(self, allows_private: Iterable[str] = (), ports: Iterable[int] = DEFAULT_PORTS) -> None:
        self._ports = frozenset(ports)
        self._entries = [_read(entry.strip().lower(), self._ports) for entry in allows_private if entry.strip()]

    def require_lookup(self, url: Url, *, only_listed: bool) -> None:
        """Raises AddressRefused where the host's addresses need not be asked for: the port is allowed nowhere.

        Raises StaysInside where even asking for them would leave the machine.
        """
        if not only_listed and not self._has_port(url.port):
            raise self._wrong_port(url)
        if not only_listed or _is_literal(url.host) or url.host == "localhost" or url.host.endswith(".localhost"):
            return
        if not any(entry.host == url.host for entry in self._entries):
            raise _stays_inside(url)

    def require(self, url: Url, address: Address, *, only_listed: bool) -> None:
        """Raises AddressRefused unless `url` may be asked for at this address, StaysInside if only listed ones may."""
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(entry.covers(url, address) for entry in self._entries):
            return
        if only_listed:
            raise _stays_inside(url)
        if url.port not in self._ports:
            raise self._wrong_port(url)
        if not is_public(address):
            raise AddressRefused("address_not_public", f"{url.host} is not on the public internet.")

    def _has_port(self, port: int) -> bool:
        return port in self._ports or any(entry.ports is None or port in entry.ports for entry in self._entries)

    def _wrong_port(self, url: Url) -> AddressRefused:
        known = ", ".join(map(str, sorted(self._ports))) or "none"
        return AddressRefused("port_not_allowed", f"Port {url.port} is not allowed. Allowed: {known}.")


def _stays_inside(url: Url) -> StaysInside:
    return StaysInside(
        "test_environment",
        f"Nothing of the test environment leaves the machine, and {url.host} port {url.port} is not among the "
        "addresses that NEWLEAF_FETCH_ALLOWS_PRIVATE lists. Use a live key, or have it listed.",
    )


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _read(entry: str, ports: frozenset[int]) -> _Entry:
    host, port = entry, None
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        port = rest.removeprefix(":") if rest else None
    elif entry.count(":") == 1:
        host, _, port = entry.partition(":")
    if not host or (port is not None and port != "*" and not (port.isascii() and port.isdecimal())):
        raise ValueError(f"{entry!r} is neither a network nor host:port")
    try:
        place: str | Network = ipaddress.ip_network(host, strict=False)
    except ValueError:
        if "/" in host or ":" in host:
            raise
        place = host.removesuffix(".")
    if port is None:
        return _Entry(place, ports)
    return _Entry(place, None if port == "*" else frozenset([int(port)]))
