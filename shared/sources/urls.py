"""Upstream addresses as people write them: credentials are split off before anything else sees them."""

from __future__ import annotations

import ipaddress
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from shared.errors import ConfigurationError
from shared.sources.options import SourceOptions, parse_fragment

_PORTS = {"http": 80, "https": 443}


class SourceAddress(msgspec.Struct, frozen=True):
    """An upstream's address. `url` ends in a slash and holds neither credentials nor query."""

    url: str
    username: str = ""
    password: str = ""
    options: SourceOptions | None = None  # None: the address says nothing of them

    def __repr__(self) -> str:  # a log line or traceback must not show the password
        return f"SourceAddress(url={self.url!r})"


def split_credentials(text: str, variable: str) -> SourceAddress:
    """`https://user:pa%40ss@host/simple` → URL and the percent-decoded credentials (RFC 3986 §3.2.1).

    A fragment holds options of the source (`parse_fragment`).

    Raises `ConfigurationError` naming `variable`; the text itself is not repeated, it may hold a secret.
    """
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError(f"{variable}: not a valid URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError(f"{variable}: each address must be http:// or https:// with a host")
    if parts.query:
        raise ConfigurationError(f"{variable}: an address may not hold a query")
    shown_host = f"[{host}]" if ":" in host else host
    netloc = shown_host if port is None else f"{shown_host}:{port}"
    path = parts.path if parts.path.endswith("/") else parts.path + "/"
    return SourceAddress(
        url=urlunsplit((parts.scheme, netloc, path, "", "")),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        options=parse_fragment(parts.fragment, variable),
    )


def origin_text(url: str) -> str:
    """Scheme, host and port of an http(s) URL, the port always there (RFC 6454 §4)."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return f"{parts.scheme}://{parts.hostname}:{port}"


def secured(url: str, base: str) -> str:
    """An http address at https, where what names it came from the same host by https: a registry behind
    TLS may not know of it, and its files are where it is itself. Others as they are.

    Raises `ValueError` for what is no URL.
    """
    if url[:5].lower() != "http:" or base[:6].lower() != "https:":
        return url
    parts, own = urlsplit(url), urlsplit(base)
    if not parts.hostname or parts.hostname != own.hostname:
        return url
    return urlunsplit(parts._replace(scheme="https", netloc=own.netloc.rpartition("@")[2]))


def is_loopback(host: str) -> bool:
    """Whether a host name or literal means this machine (RFC 6761 §6.3 for `localhost`)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _literal(host)
    return address is not None and address.is_loopback


def names_private_host(url: str) -> bool:
    """Whether the URL's host is a loopback name or a literal that is not globally routable."""
    host = urlsplit(url).hostname or ""
    address = _literal(host)
    return is_loopback(host) or (address is not None and not address.is_global)


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def same_host(one: str, other: str) -> bool:
    """Whether two addresses are of one host and port; https where http was asked is the same host."""
    a, b = urlsplit(one), urlsplit(other)
    ports = [part.port or _PORTS.get(part.scheme) for part in (a, b)]
    return a.hostname == b.hostname and (ports[0] == ports[1] or ports == [80, 443])


def without_userinfo(url: str) -> str:
    """The address without user:password@, which links of an index may hold; it is sent to nobody."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
