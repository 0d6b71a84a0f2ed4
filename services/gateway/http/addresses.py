"""The origin of a request: its client's address, and the scheme, host and client that a trusted reverse
proxy forwards.

X-Forwarded-* is believed of peers in ORCHARD_TRUSTED_PROXIES; from all others it is as if not sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any


def address_of(scope: Any) -> str:
    """The client's address, given by a trusted proxy or the connection; "" where there is none."""
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


Headers = dict[bytes, bytes]

FORWARDED = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
MOST_HOPS = 32  # of X-Forwarded-For: a client may send any number


class TrustedProxies:
    """Believes some peers. `networks` are addresses or CIDR networks."""

    def __init__(self, networks: Sequence[str]) -> None:
        self.seen: set[str] = set()  # trusted peers that spoke for others
        self._networks = [ip_network(each, strict=False) for each in networks]

    def applied(self, scope: Any, headers: Headers) -> Any:
        """The scope as the outermost trusted proxy saw the request; `scope` itself without a trusted proxy.

        `headers` (the same request's) are changed alike: `host` is the one that the client asked for, and
        of X-Forwarded-* only a believed scheme stays.
        """
        # Written out: a loop costs half a microsecond of every hit.
        if (
            b"x-forwarded-for" not in headers
            and b"x-forwarded-proto" not in headers
            and b"x-forwarded-host" not in headers
        ):
            return scope
        client_for, proto, host = (headers.pop(name, b"").decode("latin-1") for name in FORWARDED)
        client = scope.get("client")
        if client is None or not self._trusts(client[0]):
            return scope
        if client_for:
            self.seen.add(client[0])
        scope = {**scope, "client": (self._origin(client[0], client_for), client[1])}
        proto = proto.partition(",")[0].strip().lower()
        if proto in ("http", "https"):
            scope["scheme"] = proto
            headers[b"x-forwarded-proto"] = proto.encode()
        host = host.partition(",")[0].strip()
        if host:
            headers[b"host"] = host.encode("latin-1")
            others = [pair for pair in scope["headers"] if pair[0] != b"host"]
            scope["headers"] = [*others, (b"host", headers[b"host"])]
        return scope

    def _origin(self, peer: str, forwarded: str) -> str:
        """The last address in the chain that is no trusted proxy; each proxy adds its peer at the end."""
        origin = peer
        for hop in reversed(forwarded.split(",")[-MOST_HOPS:]):
            try:
                address = hop.strip().strip("[]").partition("%")[0]  # a zone means something there alone
                origin = str(ip_address(address))
            except ValueError:
                break
            if not self._trusts(origin):
                break
        return origin

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None)
        return any((mapped or parsed) in network for network in self._networks)
