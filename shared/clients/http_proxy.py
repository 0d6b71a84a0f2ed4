"""The forward proxy to use: from settings, else from the usual variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]


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
