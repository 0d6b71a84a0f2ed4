"""aiohttp's connector with what is ours: a bound on open sockets, idle ones included, an egress check on the
very address that is connected to, and connections made before a request needs them.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

import aiohttp
import yarl
from aiohttp.abc import ResolveResult
from aiohttp.connector import Connection

from services.fetcher.http.egress import EgressPolicy
from services.fetcher.http.sessions import keep_session
from shared.errors import UpstreamBlocked
from shared.telemetry.metrics import UPSTREAM_CONNECTS

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.tracing import Trace

IDLE_SECONDS = 90.0  # how long an idle connection is kept; servers end most after 60 to 180 s
SURPLUS_IDLE_SECONDS = 2.0  # the same for those beyond ORCHARD_HTTP_KEEPALIVE_CONNECTIONS


class Connector(aiohttp.TCPConnector):
    """aiohttp's connector with a bound that counts idle sockets, and with the egress check.

    aiohttp's `limit` counts connections in use only: idle ones to another host come on top. Here a
    new connection closes the oldest idle one when the pool is full, so nothing waits behind an idle
    connection, and `max` sockets are never exceeded: at most `max` requests run at once (`Pool`).
    """

    def __init__(
        self, *, name: str, policy: EgressPolicy, max_connections: int, keepalive: int,
        proxies: frozenset[tuple[str, int]], tls: ssl.SSLContext,
    ) -> None:  # fmt: skip
        super().__init__(limit=0, keepalive_timeout=IDLE_SECONDS, ssl=tls)
        self._policy = policy
        self._proxy_addresses = proxies
        self._max = max_connections
        self._keepalive = keepalive
        self._count_connect = UPSTREAM_CONNECTS.labels(name).inc
        self._trim_handle: asyncio.TimerHandle | None = None
        self.connects = 0  # connection attempts, ever
        self.close_another: Callable[[], bool] = lambda: False
        """Closes an idle connection that another transport holds; whether there was one."""

    @property
    def in_use(self) -> int:
        """Connections that a request or another transport holds, or that are being made."""
        return len(self._acquired)

    @property
    def idle(self) -> int:
        return sum(len(waiting) for waiting in self._conns.values())

    @property
    def has_room(self) -> bool:
        """Whether one more socket closes no other."""
        return self.in_use + self.idle < self._max

    async def open(
        self, url: str, proxy: str | None, timeout_seconds: float, tls: ssl.SSLContext | None = None
    ) -> Connection:
        """A connection to where `url` leads; with `tls`, one that offers what this context does.

        The caller releases it (then requests use it), closes it, or gives it back with `keep`. Raises
        aiohttp's errors and `UpstreamBlocked`.
        """
        request = aiohttp.ClientRequest(
            "GET",
            yarl.URL(url, encoded=True),
            loop=self._loop,
            ssl=tls or True,
            proxy=yarl.URL(proxy) if proxy else None,
        )
        return await self.connect(request, [], aiohttp.ClientTimeout(sock_connect=timeout_seconds))

    def keep(self, connection: Connection) -> None:
        """Put a connection that chose HTTP/1.1 among the idle ones that requests use."""
        protocol, connection._protocol = connection._protocol, None
        if protocol is not None:
            self._release(connection._key._replace(ssl=True), protocol)

    async def _resolve_host(
        self, host: str, port: int, traces: Sequence[Trace] | None = None
    ) -> list[ResolveResult]:
        # aiohttp connects to exactly these addresses: a name that changes its mind (DNS rebinding)
        # is checked each time it is looked up, and the checked answer is the one used.
        found = await super()._resolve_host(host, port, traces)
        if (host, port) in self._proxy_addresses:
            return found
        allowed: list[ResolveResult] = []
        blocked: UpstreamBlocked | None = None
        for result in found:
            try:
                self._policy.check_address(host, result["host"])
                allowed.append(result)
            except UpstreamBlocked as error:
                blocked = error
        if not allowed and blocked is not None:
            raise blocked
        return allowed

    async def _create_connection(self, req: ClientRequest, traces: list[Trace], timeout: Any) -> Any:
        self.connects += 1
        self._count_connect()
        surplus = self.in_use + self.idle - self._max
        closed = [self._close_oldest() or self.close_another() for _ in range(surplus)]
        if any(closed):
            await asyncio.sleep(0)  # the sockets are closed in the loop's next round
        return await super()._create_connection(req, traces, timeout)

    async def _get(self, key: Any, traces: list[Trace]) -> Any:
        # What came in while a connection lay idle is surplus to the last response: taken for the next
        # response it would answer the wrong request (aiohttp looks only when a connection is released).
        waiting = self._conns.get(key)
        while waiting and (waiting[0][0].should_close or _is_readable(waiting[0][0].transport)):
            waiting.popleft()[0].abort()
        return await super()._get(key, traces)

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        keep_session(protocol.transport)
        super()._release(key, protocol, should_close=should_close)
        if self._trim_handle is None and self.idle > self._keepalive:
            self._trim_handle = self._loop.call_later(SURPLUS_IDLE_SECONDS, self._trim)

    def _trim(self) -> None:
        """Close what is idle beyond the keep-alive number and has been for some time.

        Closing at once would open and close connections all the time under load just above the
        number, which is what httpx's pool does with its `max_keepalive_connections`.
        """
        self._trim_handle = None
        before = monotonic() - SURPLUS_IDLE_SECONDS
        while self.idle > self._keepalive and self._close_oldest(before):
            pass
        if self.idle > self._keepalive and not self.closed:
            self._trim_handle = self._loop.call_later(SURPLUS_IDLE_SECONDS, self._trim)

    def _close_oldest(self, idle_before: float = float("inf")) -> bool:
        """Close the connection that has been idle longest, if idle since before then."""
        key = min(
            (key for key, waiting in self._conns.items() if waiting),
            key=lambda key: self._conns[key][0][1],
            default=None,
        )
        if key is None or self._conns[key][0][1] > idle_before:
            return False
        protocol, _ = self._conns[key].popleft()
        if not self._conns[key]:
            del self._conns[key]
        protocol.abort()
        return True

    def _close(self, *, abort_ssl: bool = False) -> Any:
        if self._trim_handle is not None:
            self._trim_handle.cancel()
            self._trim_handle = None
        # aiohttp asks each one's transport, and a transport of TLS that was closed twice fails when asked.
        closing = {held for held in self._acquired if held.transport and held.transport.is_closing()}
        self._acquired -= closing
        return super()._close(abort_ssl=abort_ssl) + [held.closed for held in closing if held.closed]


def _is_readable(transport: asyncio.BaseTransport | None) -> bool:
    """Whether bytes, or the end, wait in an idle connection's socket: it must not be used again."""
    descriptor = transport.get_extra_info("socket") if transport is not None else None
    if descriptor is None or descriptor.fileno() < 0:
        return False  # closed: is_connected() sees to it
    poll = select.poll()
    poll.register(descriptor.fileno(), select.POLLIN)
    return bool(poll.poll(0))
