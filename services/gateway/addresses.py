"""Addresses of clients: in log lines, and as limits count them."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any


def address_of(scope: Any) -> str:
    """The client's, as a trusted proxy or the connection tells; "" where there is none."""
    client = scope.get("client")
    return client[0] if client else ""


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """An IPv4 address; the /64 of an IPv6 address, since one customer has that (RFC 4291, 2.5.4); however
    it is written. What is no address as it is."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped or f"{IPv6Address(int(ip) >> 64 << 64)}/64")
    return str(ip)
