"""Where each source's own host was first found: a private address there is the operator's word."""

from __future__ import annotations

import asyncio
import socket

from shared.clients.http_egress import literal_address, origin_of
from shared.models import UpstreamSource


class AddressBook:
    """First look-ups, kept until the source changes, so that DNS cannot widen a policy later."""

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
