"""Where an upstream request may go: checked on the URL, and again on the address it resolves to.

An upstream chooses where its files lie and where it redirects, so what it says is hostile input
(SSRF). Only global addresses are contacted, unless the source's operator said otherwise; a cloud's metadata
service never is (metadata_services.py).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

import msgspec

from shared.clients.metadata_services import is_metadata, names_metadata
from shared.errors import UpstreamBlocked
from shared.models import UpstreamSource

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # `is_global` holds for it, whatever it embeds
# RFC 6761, RFC 6762, RFC 8375 and the reserved `internal`: never in public DNS
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa")
_DEFAULT_PORTS = {"http": 80, "https": 443}

Origin = tuple[str, str, int]


def origin_of(url: str) -> Origin:
    """(scheme, host, port) of an absolute URL (RFC 6454). Raises `UpstreamBlocked` if it is none."""
    parts = _split(url)
    host = (parts.hostname or "").rstrip(".")
    try:
        port = parts.port
    except ValueError:
        raise UpstreamBlocked("the upstream named an address with an impossible port") from None
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
    own_addresses: frozenset[str] = frozenset()  # private ones that the source's own URL leads to
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
        raise UpstreamBlocked(f"{host} lies at an address that is not public")


def policy_of(source: UpstreamSource, own_addresses: Iterable[str] = ()) -> EgressPolicy:
    """The policy of a source. `own_addresses` are those its own URL's host was first found at.

    A private one among them is the operator's word for that address, as when a company's registry
    has a public name and a private address; what the name leads to later changes nothing.
    """
    own = origin_of(source.url)
    address = literal_address(own[1])
    found = own_addresses if address is None else (address,)
    private = frozenset(a for a in found if is_private(a))
    return EgressPolicy(own, private, source.allow_private, source.allowed_hosts)


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
    except ValueError:  # a scope id, or nonsense
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
