"""What a request to an upstream is about, and something of the same kind that is known to be good."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Literal
from urllib.parse import quote, urlsplit

import msgspec

from shared.clients.http_egress import origin_of
from shared.errors import OrchardError
from shared.models import UpstreamSource

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
        self._urls: OrderedDict[tuple[int, str], list[str]] = OrderedDict()  # the last one first

    def remember(self, asked: Asked) -> None:
        """It answered properly."""
        for key in _keys(asked):
            others = [url for url in self._urls.pop(key, []) if url != asked.url]
            self._urls[key] = [asked.url, *others][:KEPT]
        while len(self._urls) > MOST_NAMES:
            self._urls.popitem(last=False)

    def forget(self, asked: Asked) -> None:
        """It failed."""
        for key in _keys(asked):
            if asked.url in self._urls.get(key, ()):
                self._urls[key].remove(asked.url)

    def addresses(self, asked: Asked, name: str) -> list[str]:
        """What to ask before `asked` about the host or kind of that name: what was good, the source's or
        the host's root; itself last, as there may be a host that answers nothing else."""
        root = asked.source.url
        if "@" in name:
            parts = urlsplit(asked.url)
            root = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"
        known = self._urls.get((asked.source.id, name), [])
        return list(dict.fromkeys([*known, root, asked.url]))


def _keys(asked: Asked) -> list[tuple[int, str]]:
    return [(asked.source.id, name) for name in (asked.name, asked.host_name)]
