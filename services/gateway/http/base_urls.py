"""The public URL that a client uses for this Orchard, for answers that hold absolute URLs.

ORCHARD_PUBLIC_URL says it; without it the request's Host does. Each address that gets bodies of its own
made costs the stores one variant of every page, and a stranger can invent any number of addresses: so a
few have them, and all others get the same bodies with their address put in on the way out. Nobody is
refused for what others asked before.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from shared.errors import MalformedRequest

MAX_KEPT = 8
IDLE_SECONDS = 600.0  # an address that was not used for so long leaves its place to another

_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


class BaseUrls:
    """The public URL for a request, and which of them have bodies of their own."""

    def __init__(self, public_urls: tuple[str, ...], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._public = [url.rstrip("/") for url in public_urls]
        self._by_host = {urlsplit(url).netloc.lower(): url for url in self._public}
        self._clock = clock
        self._kept: dict[str, float] = {}  # base URL → when it was last asked for

    def choose(self, host: bytes | None, scheme: str) -> str:
        """The URL without trailing slash.

        With ORCHARD_PUBLIC_URL: its entry for this Host, else its first. Raises `MalformedRequest` for a
        Host that is none.
        """
        name = (host or b"").decode("latin-1").lower()
        if self._public:
            return self._by_host.get(name, self._public[0])
        if not _HOST.fullmatch(name):
            raise MalformedRequest("the Host header is missing or malformed")
        return f"{scheme}://{name}"

    def keeps(self, base_url: str) -> bool:
        """Whether bodies are made and stored for this address; notes its use."""
        if self._public:
            return True
        now = self._clock()
        if base_url not in self._kept and len(self._kept) >= MAX_KEPT:
            self._kept = {url: used for url, used in self._kept.items() if now - used < IDLE_SECONDS}
            if len(self._kept) >= MAX_KEPT:
                return False
        self._kept[base_url] = now
        return True
