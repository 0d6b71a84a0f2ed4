"""What a request to an upstream is about, and addresses of the same kind that answered before, for probes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal
from urllib.parse import quote, urlsplit

import msgspec

from services.fetcher.http.egress import origin_of
from shared.errors import OrchardError
from shared.models import UpstreamSource
from shared.process.bounded import Bounded

Kind = Literal["index", "file", "other"]

KEPT = 2  # good addresses of a kind on a host
MOST_NAMES = 1024  # a hostile index may name any number of hosts

Probe = Callable[[UpstreamSource, str], Awaitable[OrchardError | None]]
"""Asks one address of a source; why it did not answer, None if it did."""


class Asked(msgspec.Struct, frozen=True):
    """One request: of which source, at what address, for what kind of resource.

    The host is the one that is asked first; what it redirects to is a part of its answer.
    """

    source: UpstreamSource
    url: str
    kind: Kind

    @property
    def name(self) -> str:
        """Of the kind on this host: "index", "file@files.example.com:443"; no host for the source's own.

        Raises `UpstreamBlocked` for an address that is none.
        """
        return self.kind + self._where

    @property
    def host_name(self) -> str:
        """Of the host for all kinds."""
        return "host" + self._where

    @property
    def _where(self) -> str:
        _, host, port = origin_of(self.url)
        if (host, port) == origin_of(self.source.url)[1:]:
            return ""
        return f"@{quote(host, safe=':[]')}:{port}"


class KnownGood:
    """The addresses that answered last, of each kind on each host."""

    def __init__(self) -> None:
        self._urls = Bounded[tuple[int, str], list[str]](MOST_NAMES)  # the last one first

    def remember(self, asked: Asked) -> None:
        """Record an address that answered."""
        for key in _keys(asked):
            others = [url for url in self._urls.get(key) or () if url != asked.url]
            self._urls.put(key, [asked.url, *others][:KEPT])

    def forget(self, asked: Asked) -> None:
        """Drop an address that failed."""
        for key in _keys(asked):
            known = self._urls.get(key) or []
            if asked.url in known:
                known.remove(asked.url)

    def addresses(self, asked: Asked, name: str) -> list[str]:
        """Addresses to probe for the host or kind of that name: those that answered before, the source's or
        the host's root; `asked` itself last, as a host may answer nothing else."""
        root = asked.source.url
        if "@" in name:
            parts = urlsplit(asked.url)
            root = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"
        known = self._urls.get((asked.source.id, name)) or ()
        return list(dict.fromkeys([*known, root, asked.url]))


def _keys(asked: Asked) -> list[tuple[int, str]]:
    return [(asked.source.id, name) for name in (asked.name, asked.host_name)]
