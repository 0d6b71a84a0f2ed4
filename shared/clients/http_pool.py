"""One pool of upstream connections: aiohttp's connector under httpx's interface.

httpx's own pool collapses under load (1,767 req/s with one request in flight, 61 with 256), the same
API over aiohttp's connector does not. What is added here: a hard bound on open sockets, idle ones
included; an egress check on the very address that is connected to; admission in order of arrival.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import aiohttp
import httpx
import yarl
from aiohttp.abc import ResolveResult
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import AiohttpResponseStream

from shared.clients.http_egress import EgressPolicy
from shared.errors import DeadlineExceeded, UpstreamBlocked
from shared.metrics import UPSTREAM_CONNECTS

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.tracing import Trace

CHUNK_BYTES = 256 * 1024
MAX_HEADER_LINE_BYTES = 32 * 1024
MAX_HEADER_LINES = 256
IDLE_SECONDS = 30.0  # how long an idle connection is kept
SURPLUS_IDLE_SECONDS = 2.0  # the same for those beyond ORCHARD_HTTP_KEEPALIVE_CONNECTIONS

Lane = Literal["index", "artifact"]


class Connector(aiohttp.TCPConnector):
    """aiohttp's connector with a bound that counts idle sockets, and with the egress check.

    aiohttp's `limit` counts connections in use only: idle ones to another host come on top. Here a
    new connection closes the oldest idle one when the pool is full, so nothing waits behind an idle
    connection, and `max` sockets are never exceeded.
    """

    def __init__(
        self, *, name: str, policy: EgressPolicy, max_connections: int, keepalive: int,
        proxies: frozenset[tuple[str, int]], tls: ssl.SSLContext,
    ) -> None:  # fmt: skip
        super().__init__(limit=max_connections, keepalive_timeout=IDLE_SECONDS, ssl=tls)
        self._policy = policy
        self._proxy_addresses = proxies
        self._keepalive = keepalive
        self._count_connect = UPSTREAM_CONNECTS.labels(name).inc
        self._trim_handle: asyncio.TimerHandle | None = None
        self.connects = 0  # connection attempts, ever

    @property
    def in_use(self) -> int:
        return len(self._acquired)

    @property
    def idle(self) -> int:
        return sum(len(waiting) for waiting in self._conns.values())

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
        surplus = self.in_use + self.idle - self._limit
        closed = [self._close_oldest() for _ in range(surplus)]
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
        return super()._close(abort_ssl=abort_ssl)


def _is_readable(transport: asyncio.BaseTransport | None) -> bool:
    """Whether bytes, or the end, wait in an idle connection's socket: it must not be used again."""
    descriptor = transport.get_extra_info("socket") if transport is not None else None
    if descriptor is None or descriptor.fileno() < 0:
        return False  # closed: is_connected() sees to it
    poll = select.poll()
    poll.register(descriptor.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class _Stream(AiohttpResponseStream):
    CHUNK_SIZE = CHUNK_BYTES

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for chunk in self._aiohttp_response.content.iter_chunked(self.CHUNK_SIZE):
                yield chunk


class Transport(AiohttpTransport):
    """httpx-aiohttp's transport with addresses sent as they are, large chunks and exact errors."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(self.client, aiohttp.ClientSession)
        timeout = request.extensions.get("timeout", {})
        with _as_httpx():
            response = await self.client.request(
                request.method,
                # encoded=True: a signed or oddly escaped address must arrive as the index gave it
                yarl.URL(str(request.url), encoded=True),
                headers=request.headers,
                data=request.content or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    sock_connect=timeout.get("connect"), sock_read=timeout.get("read")
                ),
                proxy=request.extensions.get("proxy"),
            )
        return httpx.Response(
            response.status, headers=response.raw_headers, stream=_Stream(response), request=request
        )


@contextlib.contextmanager
def _as_httpx() -> Iterator[None]:
    """aiohttp's errors as httpx's. httpx-aiohttp's own table takes a dropped connection for a
    connect time-out."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx.ConnectTimeout(str(error)) from error
    except (aiohttp.ServerTimeoutError, TimeoutError) as error:
        raise httpx.ReadTimeout(str(error)) from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise httpx.ConnectError(f"certificate: {error.certificate_error}") from error
    except (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError) as error:
        raise httpx.ProxyError("the proxy did not let the request through") from error
    except aiohttp.ClientConnectorError as error:
        raise httpx.ConnectError(str(error.os_error)) from error
    except (aiohttp.InvalidURL, ValueError) as error:
        raise httpx.UnsupportedProtocol("the address is not valid") from error
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise httpx.ReadError("the connection was lost") from error
    except aiohttp.ClientPayloadError as error:
        raise httpx.ReadError("the body was cut") from error
    except aiohttp.ClientError as error:
        raise httpx.RemoteProtocolError(type(error).__name__) from error


class Pool:
    """A transport with its admission: at most `max` requests, the artifact lane leaving room.

    A tenth of the connections is kept free of downloads, so that an index request finds one while
    200 downloads stall. Waiting is in order of arrival and is safe against cancellation, which
    aiohttp's own queue of waiters is not (a cancelled waiter can swallow a wake-up).
    """

    def __init__(self, connector: Connector, transport: Transport, max_connections: int) -> None:
        self._connector, self._transport = connector, transport
        self.max = max_connections
        self.artifact_max = max_connections - max_connections // 10
        self._all = asyncio.Semaphore(max_connections)
        self._artifacts = asyncio.Semaphore(self.artifact_max)
        self.active = 0  # requests that hold a connection or are making one
        self.waiting = 0

    @property
    def idle(self) -> int:
        """Open connections that no request uses."""
        return self._connector.idle

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

    async def send(self, request: httpx.Request) -> httpx.Response:
        """The response's head; its body is still to be read. Raises httpx's errors."""
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close every connection of the pool, used ones too."""
        await self._transport.aclose()


def open_pool(
    name: str,
    policy: EgressPolicy,
    *,
    max_connections: int,
    keepalive: int,
    tls: ssl.SSLContext,
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
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        read_bufsize=CHUNK_BYTES,
        max_line_size=MAX_HEADER_LINE_BYTES,
        max_field_size=MAX_HEADER_LINE_BYTES,
        max_headers=MAX_HEADER_LINES,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        timeout=aiohttp.ClientTimeout(total=None),
    )
    transport = Transport(verify=tls, client=session, trust_env=False)
    return Pool(connector, transport, max_connections)
