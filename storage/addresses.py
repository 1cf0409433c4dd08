"""Network addresses and the ranges that they lie in."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable


@functools.lru_cache(maxsize=1024)
def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """The range that an address or a CIDR notation names, host bits ignored. Raises ValueError."""
    return ipaddress.ip_network(text, strict=False)


def is_within(ip: str | None, ranges: Iterable[str]) -> bool:
    """Whether this address lies in one of the ranges; never for what is no address."""
    try:
        address = ipaddress.ip_address(ip or "")
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address  # how a dual-stack socket shows an IPv4 client
    return any(address in network(text) for text in ranges)
