"""One pool of upstream connections: its admission, and which HTTP a request goes by."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Collection
from typing import Literal

import httpx

from services.fetcher.http.connector import Connector
from services.fetcher.http.egress import EgressPolicy
from services.fetcher.http.http1 import Http1, as_httpx
from services.fetcher.http.http2 import Http2
from shared.errors.passing import DeadlineExceeded

Lane = Literal["index", "artifact"]

LARGE_BYTES = 1 << 20
LARGE_BY_HTTP1 = 16  # connections in use: up to so many, large bodies go by HTTP/1.1 although HTTP/2 is there


class Pool:
    """At most `max` requests at once, the artifact lane leaving room; HTTP/2 where the upstream chooses it.

    A tenth of the requests is kept free of downloads, so that an index request finds a connection while
    200 downloads stall. Waiting is in order of arrival and is safe against cancellation, which
    aiohttp's own queue of waiters is not (a cancelled waiter can swallow a wake-up).
    """

    def __init__(
        self,
        connector: Connector,
        http2_tls: ssl.SSLContext | None,
        http1_hosts: Collection[str],
        max_connections: int,
    ) -> None:
        """`http2_tls` offers h2; None: HTTP/1.1 alone. To be called in the loop it is used in."""
        self._connector = connector
        self._http1_hosts = http1_hosts
        self._http1 = Http1(connector)
        self._http2 = Http2(connector, http2_tls) if http2_tls is not None else None
        self.max = max_connections
        self.artifact_max = max_connections - max_connections // 10
        self._all = asyncio.Semaphore(max_connections)
        self._artifacts = asyncio.Semaphore(self.artifact_max)
        self.active = 0  # requests that hold a connection or are making one
        self.waiting = 0

    @property
    def idle(self) -> int:
        """Open connections that no request uses."""
        return self._connector.idle + (self._http2.idle if self._http2 is not None else 0)

    @property
    def connects(self) -> int:
        """Connection attempts since the pool was opened."""
        return self._connector.connects

    @contextlib.asynccontextmanager
    async def admit(self, lane: Lane, timeout_seconds: float) -> AsyncIterator[None]:
        """Hold one of the pool's connections. Raises `DeadlineExceeded` if none came free in time."""
        async with contextlib.AsyncExitStack() as held:
            self.waiting += 1
            try:
                async with asyncio.timeout(timeout_seconds):
                    if lane == "artifact":
                        await held.enter_async_context(self._artifacts)
                    await held.enter_async_context(self._all)
            except TimeoutError:
                raise DeadlineExceeded("every upstream connection is in use") from None
            finally:
                self.waiting -= 1
            self.active += 1
            try:
                yield
            finally:
                self.active -= 1

    async def send(self, request: httpx.Request, expected_bytes: int = 0) -> httpx.Response:
        """The response's head; its body, of so many bytes if that is known, is still to be read.

        Raises httpx's errors.
        """
        if self._http2 is not None and self._may_http2(request) and not self._own_connection(expected_bytes):
            response = await self._http2.send(request)
            if response is not None:
                return response
        return await self._http1.send(request)

    def _may_http2(self, request: httpx.Request) -> bool:
        return request.url.scheme == "https" and request.url.host not in self._http1_hosts

    def _own_connection(self, expected_bytes: int) -> bool:
        """Whether a body is better off on a connection of HTTP/1.1: a large one costs a quarter of the CPU
        there, and pages do not wait behind it."""
        return expected_bytes >= LARGE_BYTES and self._connector.in_use < LARGE_BY_HTTP1

    async def warm(self, url: str, proxy: str | None, timeout_seconds: float) -> None:
        """Have a connection to where `url` leads, unless the pool is busy. Raises httpx's errors."""
        if not self._connector.has_room or self.waiting:
            return
        if self._http2 is not None and url.startswith("https:"):
            await self._http2.warm(url, proxy, timeout_seconds)
        else:
            with as_httpx():
                (await self._connector.open(url, proxy, timeout_seconds)).release()

    async def aclose(self) -> None:
        """Close every connection of the pool, used ones too."""
        if self._http2 is not None:
            await self._http2.aclose()
        await self._http1.aclose()


def open_pool(
    name: str,
    policy: EgressPolicy,
    *,
    max_connections: int,
    keepalive: int,
    tls: ssl.SSLContext,
    http2_tls: ssl.SSLContext | None,
    http1_hosts: Collection[str],
    proxies: frozenset[tuple[str, int]],
) -> Pool:
    """A pool with no connection yet; to be called in the loop it is used in.

    `proxies` are the (host, port) of forward proxies: the operator named them, so no egress check.
    """
    connector = Connector(
        name=name,
        policy=policy,
        max_connections=max_connections,
        keepalive=keepalive,
        proxies=proxies,
        tls=tls,
    )
    return Pool(connector, http2_tls, http1_hosts, max_connections)
