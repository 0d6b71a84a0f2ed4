"""The egress policy of upstream requests: checked on the URL, and again on the address it resolves to.

An upstream chooses the addresses of its files and its redirects, so they are hostile input (SSRF). Only
global addresses are contacted, unless the source's operator said otherwise: of the addresses that a source's
own host resolved to first, a private one is allowed, and so is the forward proxy (from settings, else from
the usual variables). Addresses of clouds' metadata services, which hold a machine's credentials, never are.

Those are listed over and above "not a public address": some of them are global (168.63.129.16), or private as
other hosts of a company's network are (fd00:ec2::254), so no class of addresses covers them. All link-local
addresses count.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Self
from urllib.parse import SplitResult, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import msgspec

from shared.errors import UpstreamBlocked, UpstreamInvalid
from shared.http.urls import why_unaskable
from shared.models import UpstreamSource

_METADATA_NETWORKS = tuple(
    ip_network(each)
    for each in (
        "169.254.0.0/16",  # link-local, where nearly all have theirs (169.254.169.254)
        "fe80::/10",
        "168.63.129.16/32",  # Azure: the machine's agent, DNS and health
        "100.100.100.200/32",  # Alibaba Cloud
        "192.0.0.192/32",  # Oracle Cloud, the older one
        "fd00:ec2::/32",  # AWS: metadata (::254), pod identity (::23), DNS, time
        "fd20:ce::254/128",  # Google Cloud
        "fd00:42::42/128",  # Scaleway
        "fd00:c1::a9fe:a9fe/128",  # Oracle Cloud
    )
)
_METADATA_NAMES = frozenset(
    (
        "metadata",
        "metadata.goog",
        "metadata.google.internal",
        "metadata.azure.internal",
        "metadata.tencentyun.com",
        "metadata.platformequinix.com",
        "metadata.packet.net",
        "instance-data",
        "instance-data.ec2.internal",
        "api.metadata.cloud.ibm.com",
    )
)
_EMBEDDING = tuple(
    (ip_network(network), shift)
    for network, shift in (
        ("::/96", 0),  # IPv4-compatible (RFC 4291, 2.5.5.1)
        ("::ffff:0:0/96", 0),  # IPv4-mapped (RFC 4291, 2.5.5.2)
        ("::ffff:0:0:0/96", 0),  # IPv4-translated (RFC 2765)
        ("64:ff9b::/96", 0),  # NAT64 (RFC 6052)
        ("64:ff9b:1::/48", 0),  # NAT64 within a network (RFC 8215), as /96 prefixes of it embed
        ("2002::/16", 80),  # 6to4 (RFC 3056)
    )
)


def names_metadata(host: str) -> bool:
    """Whether a host's name is a metadata service's."""
    return host.rstrip(".").lower() in _METADATA_NAMES


def is_metadata(address: str) -> bool:
    """Whether an address is a metadata service's, written as IPv4, IPv6, or IPv4 within IPv6."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return any(each in network for each in (ip, *_within(ip)) for network in _METADATA_NETWORKS)


def _within(ip: IPv4Address | IPv6Address) -> list[IPv4Address]:
    if ip.version == 4:
        return []
    found = [IPv4Address(int(ip) >> shift & 0xFFFFFFFF) for network, shift in _EMBEDDING if ip in network]
    return found if ip.teredo is None else [*found, *ip.teredo]


_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # `is_global` holds for it, whatever it embeds
# RFC 6761, RFC 6762, RFC 8375 and the reserved `internal`: never in public DNS
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa")
_DEFAULT_PORTS = {"http": 80, "https": 443}

Origin = tuple[str, str, int]


@lru_cache(256)  # a request asks it of one address a dozen times
def origin_of(url: str) -> Origin:
    """(scheme, host, port) of an absolute URL (RFC 6454). Raises `UpstreamBlocked` if it is none, and
    `UpstreamInvalid` if nobody can be asked for it (`why_unaskable`)."""
    parts = _split(url)
    host = (parts.hostname or "").rstrip(".")
    try:
        port = parts.port
    except ValueError:
        raise UpstreamBlocked("the upstream named an address with an impossible port") from None
    if why := why_unaskable(url):
        raise UpstreamInvalid(f"the upstream named an address that cannot be asked: {why}")
    return parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme]


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UpstreamBlocked("the upstream named an address that is no URL") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise UpstreamBlocked(f"the upstream named an address of scheme {parts.scheme[:20]!r}")
    return parts


class EgressPolicy(msgspec.Struct, frozen=True):
    """What one source may contact. Built with `policy_of`."""

    own: Origin = ("", "", 0)
    own_addresses: frozenset[str] = frozenset()  # private ones that the source's own host resolved to
    allow_private: bool = False
    allowed_hosts: tuple[str, ...] = ()

    @property
    def only_global(self) -> bool:
        """Whether it asks for nothing but global addresses (such sources can share a pool)."""
        return not (self.own_addresses or self.allow_private)

    def check_url(self, url: str) -> Origin:
        """The URL's origin. Raises `UpstreamBlocked` before any look-up or connect."""
        scheme, host, port = origin_of(url)
        if names_metadata(host):
            raise UpstreamBlocked(f"{host} is a cloud's metadata service")
        if self.own[0] == "https" and scheme == "http":
            raise UpstreamBlocked(f"the upstream left https for http at {host}")
        if self.allowed_hosts and host != self.own[1] and host not in self.allowed_hosts:
            raise UpstreamBlocked(f"{host} is not among the source's allowed hosts")
        address = literal_address(host)
        if address is not None:
            self.check_address(host, address)
        elif names_private_host(host) and host != self.own[1] and not self.allow_private:
            raise UpstreamBlocked(f"{host} is a private name")
        return scheme, host, port

    def check_address(self, host: str, address: str) -> None:
        """Raises `UpstreamBlocked` unless `host`, found at `address`, may be contacted."""
        if is_metadata(address):
            raise UpstreamBlocked(f"{host} is a cloud's metadata service")
        if is_global(address) or address in self.own_addresses:
            return
        if self.allow_private and is_private(address):
            return
        cure = "; `--allow-private` lets it be asked" if is_private(address) else ""
        raise UpstreamBlocked(f"{host} lies at an address that is not public{cure}")


def policy_of(source: UpstreamSource, own_addresses: Iterable[str] = ()) -> EgressPolicy:
    """The policy of a source. `own_addresses` are those its own URL's host was first found at.

    A private one among them is allowed, as when a company's registry has a public name and a private
    address; what the name resolves to later changes nothing.
    """
    own = origin_of(source.url)
    address = literal_address(own[1])
    found = own_addresses if address is None else (address,)
    private = frozenset(a for a in found if is_private(a))
    return EgressPolicy(own, private, source.allow_private, source.allowed_hosts)


def gets_credentials(source: UpstreamSource, origin: Origin) -> bool:
    """Whether a source's credentials go to an origin: its own, or one over its own scheme at a host that they
    were given for, too."""
    own = origin_of(source.url)
    if origin == own:
        return True
    scheme, host, port = origin
    shown = f"[{host}]" if ":" in host else host
    named = {f"{shown}:{port}"} | ({shown} if port == _DEFAULT_PORTS[scheme] else set())
    return scheme == own[0] and not named.isdisjoint(source.credential_hosts)


def literal_address(host: str) -> str | None:
    """The host as an address if it is written as one, None if it is a name.

    Raises `UpstreamBlocked` for the spellings that only old resolvers take (2130706433, 0x7f.1,
    0177.0.0.1): no honest upstream uses them.
    """
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        socket.inet_aton(host)
    except (OSError, UnicodeError):
        return None
    raise UpstreamBlocked("the upstream named a host by an unusual spelling of an address")


def names_private_host(host: str) -> bool:
    """Whether a name can only be private: one label, or under a special-use domain."""
    host = host.rstrip(".").lower()
    return "." not in host or host.endswith(_PRIVATE_SUFFIXES)


def is_global(address: str) -> bool:
    """Whether an address is on the public internet; tunnelled and mapped forms are not."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:  # a scope id, or garbage
        return False
    if isinstance(ip, ipaddress.IPv6Address) and (
        ip.ipv4_mapped is not None or ip.sixtofour is not None or ip.teredo is not None or ip in _NAT64
    ):
        return False
    return ip.is_global and not ip.is_multicast


def is_private(address: str) -> bool:
    """Whether an address is one that a private upstream may have: not link-local (where clouds keep
    their credentials), multicast, unspecified or a mapped form."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and (ip.ipv4_mapped is not None or ip in _NAT64):
        return False
    reserved = ip.is_reserved and not ip.is_loopback  # ::1 lies in a reserved block
    return not (ip.is_global or ip.is_link_local or ip.is_multicast or ip.is_unspecified or reserved)


class AddressBook:
    """First look-ups, stored until the source changes, so that DNS cannot widen a policy later."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, str], asyncio.Future[frozenset[str]]] = {}

    async def first_found(self, source: UpstreamSource) -> frozenset[str]:
        """Addresses of the source's own host. Raises OSError if it has none; the next call tries again."""
        host = origin_of(source.url)[1]
        literal = literal_address(host)
        if literal is not None:
            return frozenset((literal,))
        key = (source.id, host)
        pending = self._found.get(key)
        if pending is None:
            pending = self._found[key] = asyncio.ensure_future(_look_up(host))
            pending.add_done_callback(lambda done: self._drop_failed(key, done))
        elif pending.done():
            return pending.result()
        return await asyncio.shield(pending)

    def forget(self, source_id: int) -> None:
        """Look the source's host up again next time."""
        for key in [key for key in self._found if key[0] == source_id]:
            del self._found[key]

    def _drop_failed(self, key: tuple[int, str], done: asyncio.Future[frozenset[str]]) -> None:
        if (done.cancelled() or done.exception() is not None) and self._found.get(key) is done:
            del self._found[key]


async def _look_up(host: str) -> frozenset[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return frozenset(str(address[4][0]) for address in found)


class Proxies:
    """Which proxy an address is reached through."""

    def __init__(self, by_scheme: Mapping[str, str], no_proxy: str) -> None:
        self._by_scheme = by_scheme
        self._no_proxy = no_proxy

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], setting: str) -> Self:
        """ORCHARD_HTTP_PROXY for both schemes, else HTTP_PROXY/HTTPS_PROXY/ALL_PROXY in either case.

        NO_PROXY holds in both cases.
        """

        def usual(name: str) -> str:
            return environ.get(name.lower(), "") or environ.get(name.upper(), "")

        everything = usual("all_proxy")
        found = {scheme: setting or usual(f"{scheme}_proxy") or everything for scheme in ("http", "https")}
        return cls(
            {s: url if "://" in url else f"http://{url}" for s, url in found.items() if url},
            usual("no_proxy"),
        )

    @property
    def addresses(self) -> frozenset[tuple[str, int]]:
        """(host, port) of every proxy."""
        parts = [urlsplit(url) for url in self._by_scheme.values()]
        return frozenset((p.hostname or "", p.port or (443 if p.scheme == "https" else 80)) for p in parts)

    def proxy_for(self, url: str) -> str | None:
        """The proxy's address (it may hold credentials), or None to connect directly."""
        parts = urlsplit(url)
        proxy = self._by_scheme.get(parts.scheme)
        if not proxy or (self._no_proxy and proxy_bypass_environment(parts.netloc, {"no": self._no_proxy})):
            return None
        return proxy
