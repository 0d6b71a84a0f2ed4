"""`HttpClientManager`: every request to an upstream goes through here.

httpx's requests and responses over pools of our own (pool.py): a default pool, and one for each
source with credentials, limits or a private address of its own. Redirects are followed by hand,
credentials go to the source's own origin only, and what httpx or aiohttp raise ends here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from types import TracebackType
from typing import Self

import httpx
import msgspec

from services.fetcher.http import fields
from services.fetcher.http.ahead import Ahead
from services.fetcher.http.answering import Answering
from services.fetcher.http.egress import (
    AddressBook,
    EgressPolicy,
    Proxies,
    origin_of,
    policy_of,
)
from services.fetcher.http.errors import as_orchard_errors
from services.fetcher.http.imported import ImportedFiles
from services.fetcher.http.pool import Lane, Pool, open_pool
from services.fetcher.http.redirects import credentials, may_resend, target_of
from services.fetcher.http.response import FetchedBody, UpstreamResponse
from services.fetcher.http.sessions import Sessions
from shared.errors import Offline, OrchardError, TooLarge, UpstreamInvalid
from shared.errors.passing import UpstreamTimeout
from shared.http.trust import ca_context
from shared.http.via import received, via_value
from shared.models import UpstreamSource
from shared.process.byte_budget import ByteBudget
from shared.protocols import PROTOCOLS
from shared.settings import Settings
from shared.sources.urls import secured, without_userinfo
from shared.telemetry.metrics import UPSTREAM_DURATION, UPSTREAM_REQUESTS
from shared.telemetry.tracing import CLIENT, begin, end, sent_to_upstream

UNCOUNTED_BYTES = 1 << 20  # of a body that is read whole: most are smaller
MAX_REDIRECTS = 20  # as npm and browsers; pip follows 30, uv 10


class PoolStats(msgspec.Struct, frozen=True):
    """Figures of one pool, in connections (`waiting`: in requests)."""

    active: int
    idle: int
    max: int
    waiting: int


class HttpStats(msgspec.Struct, frozen=True):
    """Figures for /health: the sums over all pools, and each pool by its name."""

    active: int
    max: int
    connects: int  # attempts to open a connection since the start: 0 when offline
    pools: dict[str, PoolStats]


class HttpClientManager:
    """Owns all upstream connections. Open it in the loop that uses it; who opens it closes it."""

    def __init__(
        self,
        *,
        max_connections: int = 100,
        keepalive_connections: int = 100,
        connect_timeout_seconds: float = 30.0,
        read_timeout_seconds: float = 60.0,
        min_rate_bytes: int = 1024,
        proxy: str = "",
        ca_file: str = "",
        own_name: Callable[[], str] = str,
        http1_hosts: Collection[str] = (),
        offline: bool = False,
        budget_bytes: int = 128 * 1024 * 1024,
        imports: ImportedFiles | None = None,
    ) -> None:
        """`max_connections` bounds each pool. `proxy` and `ca_file` default to the usual variables
        (HTTP_PROXY, HTTPS_PROXY, NO_PROXY; shared/http/trust.py). `own_name` returns the name for Via.
        `http1_hosts` are never offered HTTP/2 ("*": no host is). `imports` answers for sources that have no
        network."""
        self._max_connections = max_connections
        self._keepalive_connections = keepalive_connections
        self._connect_timeout = connect_timeout_seconds
        self._read_timeout = read_timeout_seconds
        self._min_rate_bytes = min_rate_bytes
        self._proxies = Proxies.from_environment(os.environ, proxy)
        self._ca_file = ca_file
        self._offline = offline
        self._imports = imports
        self._own_name = own_name
        self._bodies = ByteBudget(budget_bytes, "answers of upstreams", wait_seconds=read_timeout_seconds)
        self._pools: dict[str, Pool] = {}
        self._addresses = AddressBook()
        self._ahead = Ahead()
        self.answering = Answering()
        self._warming: set[asyncio.Task[None]] = set()
        self._http1_hosts = frozenset(host.lower() for host in http1_hosts)
        self._tls: ssl.SSLContext | None = None
        self._http2_tls: ssl.SSLContext | None = None
        self._connects_of_closed = 0

    @classmethod
    def from_settings(
        cls, settings: Settings, *, own_name: Callable[[], str] = str, imports: ImportedFiles | None = None
    ) -> Self:
        """A manager as the settings say; not opened yet."""
        return cls(
            max_connections=settings.http_max_connections,
            keepalive_connections=settings.http_keepalive_connections,
            connect_timeout_seconds=settings.http_connect_timeout,
            read_timeout_seconds=settings.http_read_timeout,
            min_rate_bytes=settings.min_rate_bytes,
            proxy=settings.http_proxy,
            ca_file=settings.ca_file,
            http1_hosts=settings.http1_hosts,
            own_name=own_name,
            offline=settings.offline,
            budget_bytes=settings.index_budget_bytes,
            imports=imports,
        )

    async def open(self) -> None:
        """Load the certificates. Raises `ConfigurationError` naming the variable if that fails."""
        named = (protocol.setup.certificates_variable for protocol in PROTOCOLS)
        clients = tuple(filter(None, named))
        self._tls = ca_context(self._ca_file, os.environ, clients=clients)
        Sessions(self._tls)
        if "*" not in self._http1_hosts:
            self._http2_tls = ca_context(self._ca_file, os.environ, clients=clients)
            self._http2_tls.set_alpn_protocols(["h2", "http/1.1"])
            Sessions(self._http2_tls)

    async def aclose(self) -> None:
        """Close every pool, with the requests that run in them."""
        for task in self._warming:
            task.cancel()
        await asyncio.gather(*self._warming, return_exceptions=True)
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def stats(self) -> HttpStats:
        """Connections in use and allowed, of all pools and of each."""
        pools = {n: PoolStats(p.active, p.idle, p.max, p.waiting) for n, p in self._pools.items()}
        return HttpStats(
            active=sum(p.active for p in pools.values()),
            max=sum(p.max for p in pools.values()) or self._max_connections,
            connects=self._connects_of_closed + sum(p.connects for p in self._pools.values()),
            pools=pools,
        )

    async def forget(self, source_id: int) -> None:
        """Close the pools of a source that was changed or removed, and what is known of its address."""
        self._addresses.forget(source_id)
        self._ahead.forget(source_id)
        for name in [name for name in self._pools if name.startswith(f"source-{source_id}-")]:
            pool = self._pools.pop(name)
            self._connects_of_closed += pool.connects
            await pool.aclose()

    @contextlib.asynccontextmanager
    async def stream(
        self,
        source: UpstreamSource,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        lane: Lane = "artifact",
        expected_bytes: int = 0,
        policy: EgressPolicy | None = None,
        follow: bool = True,
    ) -> AsyncIterator[UpstreamResponse]:
        """One request to `url` on behalf of `source`, redirects followed; any status is returned.

        `expected_bytes` of its body, if that is known: a large one goes by HTTP/1.1. `policy`: in place of
        the source's own. `follow` false: a redirect is returned as it is.
        A request with `content` goes on to the same host alone, and only where it stays as it is (307, 308).

        Raises `Offline` before anything is sent; `UpstreamBlocked` for an address that may not be
        contacted; `UpstreamTimeout`, `UpstreamUnavailable` or `UpstreamInvalid` for the upstream's failures;
        `DeadlineExceeded` if no connection came free in time.
        """
        if self._imports is not None and self._imports.answers(source.url, url):
            async with self._imports.answer(httpx.Request(method, url, headers=headers)) as found:
                yield UpstreamResponse(found, url, min_rate_bytes=0, source=source.name)
            return
        if self._offline:
            raise Offline("ORCHARD_OFFLINE is set: no upstream is asked")
        where = f"upstream {source.name}"
        if policy is None:
            policy = policy_of(source, await self._own_addresses(source, where))
        read_timeout = source.limits.read_timeout_seconds or self._read_timeout
        timeout = {"connect": self._connect_timeout, "read": read_timeout}
        sent = {"accept-encoding": "identity", "user-agent": "orchard", **self._via(), **(headers or {})}
        pool = self._pool(source, policy)
        async with contextlib.AsyncExitStack() as held:
            await held.enter_async_context(pool.admit(lane, read_timeout))
            been: set[str] = set()
            origin_of(url)  # raises for what is no address
            url = secured(url, source.url)
            while len(been) <= MAX_REDIRECTS:
                if url in been:
                    raise UpstreamInvalid(f"{where} redirects in a circle")
                been.add(url)
                origin = policy.check_url(url)
                for address in self._ahead.asked(source.id, policy.own, origin):
                    task = asyncio.create_task(self._warm(pool, address))
                    self._warming.add(task)
                    task.add_done_callback(self._warming.discard)
                span = begin(f"{method} {source.name}", CLIENT)
                request = httpx.Request(
                    method,
                    without_userinfo(url),
                    headers=fields.sent({**sent, **credentials(source, origin), **sent_to_upstream(span)}),
                    content=content,
                    extensions={"timeout": timeout, "proxy": self._proxies.proxy_for(url)},
                )
                try:
                    with as_orchard_errors(where):
                        async with asyncio.timeout(self._connect_timeout + read_timeout):
                            sent_at = time.perf_counter()
                            response = await pool.send(request, expected_bytes)
                except OrchardError as error:
                    UPSTREAM_REQUESTS.labels(source.name, error.code).inc()
                    self.answering.note_failure(source.id, error.message)
                    end(span, error=error.code, server__address=origin[1], server__port=origin[2])
                    raise
                took = time.perf_counter() - sent_at
                UPSTREAM_DURATION.labels(source.name).observe(took)
                self.answering.note(source.id, response.status_code, took)
                UPSTREAM_REQUESTS.labels(source.name, f"{response.status_code // 100}xx").inc()
                end(
                    span,
                    server__address=origin[1],
                    server__port=origin[2],
                    http__request__method=method,
                    http__response__status_code=response.status_code,
                )
                target = target_of(response, url, source, where) if follow else ""
                if not target or (content is not None and not may_resend(response, url, target)):
                    held.push_async_callback(_close, response)
                    yield UpstreamResponse(
                        response, url, min_rate_bytes=self._min_rate_bytes, source=source.name
                    )
                    return
                await _close(response)
                url = target
            raise UpstreamInvalid(f"{where} redirects more than {MAX_REDIRECTS} times")

    async def fetch(
        self,
        source: UpstreamSource,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int,
        deadline_seconds: float,
        head_seconds: float = 0,
        lane: Lane = "index",
        begun: Callable[[UpstreamResponse], None] = lambda _: None,
    ) -> FetchedBody:
        """One response read whole within a total deadline, gzip allowed on the wire.

        `head_seconds` (0: the total) is how long the upstream may take to begin its answer; `begun` is told.

        Raises as `stream` does; `TooLarge` past `max_bytes` of the body as sent; `UpstreamTimeout` at
        the deadline, however the upstream spends it.
        """
        asked = {"accept-encoding": "gzip", **(headers or {})}
        started = asyncio.get_running_loop().time()
        try:
            async with (
                contextlib.AsyncExitStack() as held,
                asyncio.timeout(head_seconds or deadline_seconds) as deadline,
                self.stream(source, url, headers=asked, lane=lane) as response,
            ):
                share = held.enter_context(self._bodies.share())
                deadline.reschedule(started + deadline_seconds)
                length = response.content_length
                if length is not None and length > max_bytes:
                    raise TooLarge(f"upstream {source.name} announces {length} bytes")
                begun(response)
                pieces: list[bytes] = []
                received = 0
                async for piece in response.chunks():
                    received += len(piece)
                    if received > max_bytes:
                        raise TooLarge(f"upstream {source.name} sent more than {max_bytes} bytes")
                    if received > UNCOUNTED_BYTES:
                        await share.reach(received)
                    pieces.append(piece)
                return FetchedBody(response.status, response.headers, response.url, b"".join(pieces))
        except TimeoutError:
            took = asyncio.get_running_loop().time() - started
            raise UpstreamTimeout(f"upstream {source.name} took longer than {took:.3g} s") from None

    async def _warm(self, pool: Pool, url: str) -> None:
        """Connect before a request does. What fails here will fail again then, and be told."""
        with contextlib.suppress(OrchardError, httpx.HTTPError, OSError, TimeoutError):
            async with asyncio.timeout(self._connect_timeout):
                await pool.warm(url, self._proxies.proxy_for(url), self._connect_timeout)

    def _via(self) -> dict[str, str]:
        value = via_value(self._own_name(), received.get())
        return {"via": value} if value else {}

    async def _own_addresses(self, source: UpstreamSource, where: str) -> frozenset[str]:
        """The addresses that the source's own host resolved to first; none behind a proxy, which resolves
        itself."""
        if self._proxies.proxy_for(source.url) is not None:
            return frozenset()
        with as_orchard_errors(where):
            async with asyncio.timeout(self._connect_timeout):
                return await self._addresses.first_found(source)

    def _pool(self, source: UpstreamSource, policy: EgressPolicy) -> Pool:
        """The pool for a request: the default one unless the source has something of its own."""
        own = bool(source.username or source.password or source.token or source.limits.max_connections)
        if own or not policy.only_global:
            name = f"source-{source.id}-{source.name}"
        else:
            name = "default"
            policy = EgressPolicy()
        pool = self._pools.get(name)
        if pool is None:
            if self._tls is None:
                raise RuntimeError("HttpClientManager is not open")
            pool = self._pools[name] = open_pool(
                name,
                policy,
                max_connections=source.limits.max_connections or self._max_connections,
                keepalive=self._keepalive_connections,
                tls=self._tls,
                http2_tls=self._http2_tls,
                http1_hosts=self._http1_hosts,
                proxies=self._proxies.addresses,
            )
        return pool


async def _close(response: httpx.Response) -> None:
    with contextlib.suppress(httpx.HTTPError):
        await response.aclose()
