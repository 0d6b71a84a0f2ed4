"""HTTP/2 to the origins that choose it by ALPN (RFC 9113 §3.2): one connection for a burst of requests."""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict

import httpx

from services.fetcher.http.connector import Connector
from services.fetcher.http.http1 import as_httpx
from services.fetcher.http.http2_connection import Connection
from services.fetcher.http.http2_stream import NotProcessed, SpeaksHttp1

MOST_CONNECTIONS = 4  # to one origin, opened while all others are full
MOST_ORIGINS = 1024  # remembered; an index may name any number
KEPT_SECONDS = 600.0  # how long an idle connection is kept, if the server lets it
TRIES = 3  # of a request that the server says it did not process
NO_BOUND = 1 << 31  # streams of a connection are numbered up to here (RFC 9113 §5.1.1)
HTTP1_SECONDS = 600.0  # how long an origin that did not choose HTTP/2, or broke it, is asked by HTTP/1.1

OriginKey = tuple[str, str, int | None, str | None]


class _Origin:
    """What is known of one origin, through one proxy or none."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.opening: asyncio.Task[None] | None = None
        self.http1_until = 0.0  # the loop's time
        self.most_requests = NO_BOUND  # of one connection: what the server took of one that it ended
        self.changed = asyncio.Event()

    def change(self) -> None:
        """Wake those who wait for room: they look again."""
        if any(each.broken for each in self.connections):
            self.prefer_http1()
        for each in self.connections:
            if each.took:
                self.most_requests = each.took
            elif each.usable and each.idle and each.begun > self.most_requests:
                self.most_requests = NO_BOUND  # it ended that one for another reason
        self.connections = [each for each in self.connections if each.usable]
        self.changed.set()
        self.changed = asyncio.Event()

    def has_room(self, connection: Connection) -> bool:
        """Whether it takes a request now.

        Servers end a connection after so many requests, and do nothing with those that were sent beyond
        (GOAWAY, RFC 9113 §6.8): sent again all at once, the rest of a burst would meet that end again and
        again. A connection that should have been ended and was not is tried with one.
        """
        return connection.has_room and (connection.begun < self.most_requests or connection.idle)

    def prefer_http1(self) -> None:
        """Ask it by HTTP/1.1 for a while."""
        self.http1_until = asyncio.get_running_loop().time() + HTTP1_SECONDS


class Http2:
    """Requests over HTTP/2 connections, which are opened through the pool's connector and count there."""

    def __init__(self, connector: Connector, tls: ssl.SSLContext) -> None:
        """`tls` offers h2 and http/1.1. To be called in the loop it is used in."""
        self._connector = connector
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._origins: OrderedDict[OriginKey, _Origin] = OrderedDict()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False
        connector.close_another = self._close_oldest

    @property
    def idle(self) -> int:
        """Open connections that no request uses."""
        return sum(each.idle for each in self._connections())

    async def send(self, request: httpx.Request) -> httpx.Response | None:
        """The response's head, its body still to be read; None if the request is to go by HTTP/1.1.

        Raises httpx's errors.
        """
        origin = self._origin(request)
        for _ in range(TRIES):
            connection = await self._with_room(origin, request)
            if connection is None:
                return None
            try:
                return await connection.send(request)
            except SpeaksHttp1:
                origin.prefer_http1()
                return None
            except NotProcessed:
                continue
            except httpx.TransportError:
                if not connection.answered and not connection.usable:
                    origin.prefer_http1()  # the next ones, then: this one may have been processed
                raise
        return None

    async def warm(self, url: str, proxy: str | None, timeout_seconds: float) -> None:
        """Open a connection if there is none. Raises httpx's errors."""
        timeout = {"connect": timeout_seconds, "read": timeout_seconds}
        request = httpx.Request("GET", url, extensions={"timeout": timeout, "proxy": proxy})
        await self._with_room(self._origin(request), request)

    async def aclose(self) -> None:
        """Close every connection, used ones too."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        openings = [origin.opening for origin in self._origins.values() if origin.opening is not None]
        for opening in openings:
            opening.cancel()
        await asyncio.gather(*openings, return_exceptions=True)
        for origin in self._origins.values():
            for connection in origin.connections:
                connection.close()
            origin.change()

    def _connections(self) -> list[Connection]:
        return [each for origin in self._origins.values() for each in origin.connections]

    def _origin(self, request: httpx.Request) -> _Origin:
        url = request.url
        key = (url.scheme, url.host, url.port, request.extensions["proxy"])
        origin = self._origins.get(key)
        if origin is None:
            origin = self._origins[key] = _Origin()
            for old in [k for k, o in self._origins.items() if not o.connections and o.opening is None]:
                if len(self._origins) <= MOST_ORIGINS or old == key:
                    break
                del self._origins[old]
        return origin

    async def _with_room(self, origin: _Origin, request: httpx.Request) -> Connection | None:
        """A connection that takes a request now; None if the origin speaks HTTP/1.1."""
        while not self._closed:
            for connection in origin.connections:
                if origin.has_room(connection):
                    return connection
            if origin.http1_until > self._loop.time():
                return None
            if origin.opening is None and len(origin.connections) < MOST_CONNECTIONS:
                origin.opening = self._loop.create_task(self._open(origin, request))
                origin.opening.add_done_callback(_seen)
            if origin.opening is None or origin.connections:
                await origin.changed.wait()
                continue
            opening = origin.opening
            await asyncio.wait([opening])  # one handshake for all who wait, and its failure is everybody's
            if opening.cancelled():
                raise httpx.ConnectError("the pool was closed")
            opening.result()
        raise httpx.ConnectError("the pool was closed")

    async def _open(self, origin: _Origin, request: httpx.Request) -> None:
        try:
            with as_httpx():
                held = await self._connector.open(
                    str(request.url.copy_with(raw_path=b"/")),
                    request.extensions["proxy"],
                    request.extensions["timeout"]["connect"],
                    self._tls,
                )
            chosen = held.transport.get_extra_info("ssl_object") if held.transport is not None else None
            if chosen is None or chosen.selected_alpn_protocol() != "h2":
                self._connector.keep(held)
                origin.prefer_http1()
                return
            try:
                connection = Connection(held, origin.change)  # what came early may change the list of them
            except BaseException:
                held.close()
                raise
            origin.connections.append(connection)
            if self._sweep is None:
                self._sweep = self._loop.call_later(KEPT_SECONDS, self._close_idle)
        finally:
            origin.opening = None
            origin.change()

    def _close_idle(self) -> None:
        """Close what has been idle for long; look again when the next one may be."""
        self._sweep = None
        before = self._loop.time() - KEPT_SECONDS
        for connection in self._connections():
            if connection.idle and connection.idle_since <= before:
                connection.close()
        left = [each.idle_since for each in self._connections() if each.usable]
        if left:
            self._sweep = self._loop.call_at(min(left) + KEPT_SECONDS + 1, self._close_idle)

    def _close_oldest(self) -> bool:
        """Close the connection that has been idle longest; whether there was one."""
        idle = [each for each in self._connections() if each.idle and each.usable]
        if not idle:
            return False
        min(idle, key=lambda each: each.idle_since).close()
        return True


def _seen(opening: asyncio.Task[None]) -> None:
    """Its error is nobody's when all who waited have gone."""
    if not opening.cancelled():
        opening.exception()
