"""Which address a client calls this Orchard by, for pages that hold absolute URLs.

ORCHARD_PUBLIC_URL says it; without it the request's Host does, within bounds: each distinct value
makes its own variants of every page, so a stranger must not be able to invent them.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from shared.errors import MalformedRequest, UnknownHost

MAX_HOSTS = 8
MAX_LOOPBACK_HOSTS = 32  # always allowed by name; still no endless variants
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_LOOPBACK = re.compile(r"(?:localhost|127\.[0-9.]+|\[::1\])(?::[0-9]+)?")


class BaseUrls:
    """The public URL for a request. Remembers the hosts it has met."""

    def __init__(self, public_urls: tuple[str, ...]) -> None:
        self._public = [url.rstrip("/") for url in public_urls]
        self._by_host = {urlsplit(url).netloc.lower(): url for url in self._public}
        self._seen: set[str] = set()
        self._loopback: set[str] = set()

    def choose(self, host: bytes | None, scheme: str) -> str:
        """The URL without trailing slash.

        With ORCHARD_PUBLIC_URL: its entry for this Host, else its first. Raises `UnknownHost` for
        a Host beyond the eighth, `MalformedRequest` for one that is no host.
        """
        name = (host or b"").decode("latin-1").lower()
        if self._public:
            return self._by_host.get(name, self._public[0])
        if not _HOST.fullmatch(name):
            raise MalformedRequest("the Host header is missing or malformed")
        loopback = _LOOPBACK.fullmatch(name) is not None
        seen, most = (self._loopback, MAX_LOOPBACK_HOSTS) if loopback else (self._seen, MAX_HOSTS)
        if name not in seen:
            if len(seen) >= most:
                raise UnknownHost(f"this Orchard answers to {most} host names already, and not to {name}")
            seen.add(name)
        return f"{scheme}://{name}"
