"""HTTP/2 upstreams: which connections there are, and which request goes over which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from bench.wan.link import Quality
from bench.wan.proxy import running_proxy
from services.fetcher.http import pool
from services.fetcher.http.connector import Connector
from services.fetcher.http.http2 import MOST_CONNECTIONS, TRIES
from services.fetcher.http.http2_stream import STREAM_WINDOW
from services.fetcher.http.manager import HttpClientManager
from shared.errors.passing import UpstreamUnavailable
from shared.models import UpstreamSource
from tests.services.fetcher.http.conftest import BODY, HTTP2, get
from tests.support.http2_upstream import (
    Http2Server,
    Http2Upstream,
    OnRequest,
    goes_away,
    once,
    resets,
)
from tests.support.upstream import Fault, Reply

pytestmark = HTTP2


@pytest_asyncio.fixture
async def manager() -> AsyncIterator[HttpClientManager]:
    async with HttpClientManager(connect_timeout_seconds=5, read_timeout_seconds=2) as opened:
        yield opened


# --- one connection -----------------------------------------------------------------------------------------


async def test_burst_of_sixty__one_connection(upstream: Http2Upstream, manager: HttpClientManager) -> None:
    done = await asyncio.gather(*(get(manager, upstream) for _ in range(60)))
    assert done == [(200, BODY)] * 60
    assert manager.stats().connects == upstream.connections == 1
    assert manager.stats().pools["source-1-test"].idle == 1


async def test_large_bodies__by_http1_while_few_connections_are_in_use__all_else_by_http2(
    upstream: Http2Upstream, manager: HttpClientManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "LARGE_BY_HTTP1", 4)
    upstream.put("/small", b"small")
    upstream.fault("/file", Fault(delay_seconds=0.2))
    await get(manager, upstream, "/small")
    large = [get(manager, upstream, expected_bytes=pool.LARGE_BYTES) for _ in range(20)]
    small = [get(manager, upstream, "/small", expected_bytes=5) for _ in range(20)]
    assert await asyncio.gather(*large, *small) == [(200, BODY)] * 20 + [(200, b"small")] * 20
    assert 1 < upstream.connections <= 4
    assert len({request.connection for request in upstream.seen("/small")}) == 1


async def test_one_stream_at_a_time__a_few_connections_and_everybody_in_turn(
    upstream: Http2Upstream, manager: HttpClientManager
) -> None:
    upstream.settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 1}  # h2 ends a connection with two
    done = await asyncio.gather(*(get(manager, upstream) for _ in range(20)))
    assert done == [(200, BODY)] * 20
    assert upstream.connections <= MOST_CONNECTIONS
    assert {request.headers.get("host") for request in upstream.requests} == {upstream.url[8:]}


async def test_slow_reader__holds_up_nobody_and_little_is_kept_for_it(
    upstream: Http2Upstream, manager: HttpClientManager
) -> None:
    large = bytes(8 << 20)
    asked: list[int] = []

    def part(start: int, end: int) -> bytes:
        asked.append(end)
        return large[start:end]

    upstream.put("/slow", Reply(part=part, size=len(large)))
    upstream.put("/large", large)
    source = UpstreamSource(1, "pypi", "test", f"{upstream.url}/simple/")
    async with manager.stream(source, upstream.url + "/slow") as response:
        for _ in range(3):
            assert await get(manager, upstream, "/large") == (200, large)
        assert max(asked) <= STREAM_WINDOW + (256 << 10)  # and what the server prepares
        assert b"".join([chunk async for chunk in response.chunks()]) == large
    assert upstream.connections == 1


async def test_request_cancelled__its_stream_alone_is_reset(
    upstream: Http2Upstream, manager: HttpClientManager
) -> None:
    upstream.fault("/file", Fault(stall_at=1000))
    upstream.put("/other", b"other")
    running = [asyncio.create_task(get(manager, upstream)) for _ in range(5)]
    while upstream.count("/file") < 5:
        await asyncio.sleep(0.01)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert await get(manager, upstream, "/other") == (200, b"other")
    assert upstream.connections == 1
    assert manager.stats().active == 0
    assert manager.stats().pools["source-1-test"].idle == 1


# --- what the server says it did not process ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("does", "connections", "requests"),
    [
        (resets(ErrorCodes.REFUSED_STREAM), 1, 1),
        (goes_away(0), 2, 1),
        (goes_away(1), 1, 1),  # it finishes what it has begun
        (goes_away(2**31 - 1), 1, 1),
    ],
    ids=["refused", "goes away before it", "goes away after it", "goes away soon"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_not_processed__sent_again(
    upstream: Http2Upstream,
    manager: HttpClientManager,
    does: OnRequest,
    connections: int,
    requests: int,
    method: str,
) -> None:
    upstream.on_request = once(does)
    content = b"names" if method == "POST" else None
    assert await get(manager, upstream, method=method, content=content) == (200, BODY)
    assert upstream.connections == connections
    assert [seen.body for seen in upstream.requests] == [content or b""] * requests


async def test_goes_away_amid_a_burst__everybody_is_answered_once(
    upstream: Http2Upstream, manager: HttpClientManager
) -> None:
    upstream.on_request = once(goes_away(57), at=30)  # the stream after it is the thirtieth
    done = await asyncio.gather(*(get(manager, upstream) for _ in range(60)))
    assert done == [(200, BODY)] * 60
    assert upstream.count("/file") == 60
    assert 2 <= upstream.connections <= 3  # the second is not given more than the first took


async def test_each_connection_takes_a_few__learnt_from_the_first_that_ended(
    upstream: Http2Upstream, manager: HttpClientManager
) -> None:
    upstream.on_request = lambda server, stream: stream == 39 and goes_away(39)(server, stream)
    done = await asyncio.gather(*(get(manager, upstream) for _ in range(160)))
    assert done == [(200, BODY)] * 160
    assert upstream.count("/file") == 160
    assert upstream.connections <= 160 // 20 + MOST_CONNECTIONS


async def test_ended_once_for_another_reason__the_next_connection_takes_all_again(
    upstream: Http2Upstream, manager: HttpClientManager
) -> None:
    upstream.on_request = once(goes_away(1))
    assert await asyncio.gather(*(get(manager, upstream) for _ in range(9))) == [(200, BODY)] * 9
    for _ in range(3):
        assert await get(manager, upstream) == (200, BODY)
    before = upstream.connections
    assert await asyncio.gather(*(get(manager, upstream) for _ in range(40))) == [(200, BODY)] * 40
    assert upstream.connections == before


async def test_greeting_is_there_before_the_handshake_is_seen_to_end__the_connection_is_used(
    upstream: Http2Upstream, manager: HttpClientManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens = Connector.open

    async def late(connector: Connector, *arguments: Any) -> Any:
        held = await opens(connector, *arguments)
        assert held.protocol is not None
        while len(held.protocol._tail) <= 9:  # its first frame
            await asyncio.sleep(0)
        return held

    monkeypatch.setattr(Connector, "open", late)
    assert await asyncio.gather(*(get(manager, upstream) for _ in range(20))) == [(200, BODY)] * 20
    assert upstream.connections == manager.stats().connects == 1


async def test_refused_always__asked_by_http1(upstream: Http2Upstream, manager: HttpClientManager) -> None:
    tries = 0

    def refuse(server: Http2Server, stream_id: int) -> bool:
        nonlocal tries
        tries += 1
        return resets(ErrorCodes.REFUSED_STREAM)(server, stream_id)

    upstream.on_request = refuse
    assert await get(manager, upstream) == (200, BODY)
    assert (tries, upstream.count("/file")) == (TRIES, 1)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "code", [ErrorCodes.INTERNAL_ERROR, ErrorCodes.CANCEL, ErrorCodes.ENHANCE_YOUR_CALM, ErrorCodes.NO_ERROR]
)
async def test_reset__may_have_been_processed__not_sent_again(
    upstream: Http2Upstream, manager: HttpClientManager, code: ErrorCodes, method: str
) -> None:
    upstream.on_request = once(resets(code))
    with pytest.raises(UpstreamUnavailable):
        await get(manager, upstream, method=method)
    assert upstream.count() == 0
    assert await get(manager, upstream) == (200, BODY)
    assert upstream.connections == 1


# --- connections --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hosts", [("*",), ("127.0.0.1",), ("Other.example.com", "127.0.0.1")])
async def test_hosts_of_http1__are_not_offered_http2(upstream: Http2Upstream, hosts: tuple[str, ...]) -> None:
    async with HttpClientManager(http1_hosts=hosts) as manager:
        assert await get(manager, upstream) == (200, BODY)
    assert upstream.framed  # it answered by HTTP/1.1


async def test_upstream_of_http1__one_handshake_tells__and_its_connection_is_used(
    upstream: Http2Upstream, manager: HttpClientManager
) -> None:
    assert upstream.tls is not None
    upstream.tls.set_alpn_protocols(["http/1.1"])
    assert await get(manager, upstream) == (200, BODY)
    await asyncio.gather(*(get(manager, upstream) for _ in range(10)))
    assert manager.stats().connects == upstream.connections == 10  # the first of them was used again


@pytest.mark.parametrize("hosts", [(), ("*",)], ids=["http/2", "http/1.1"])
async def test_second_connection__resumes_the_session_of_the_first(
    upstream: Http2Upstream, hosts: tuple[str, ...]
) -> None:
    async with HttpClientManager(http1_hosts=hosts) as manager:
        await get(manager, upstream)
        await manager.forget(1)
        await get(manager, upstream)
    assert (upstream.connections, upstream.resumed) == (2, 1)


async def test_through_a_proxy__one_tunnel(upstream: Http2Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    with running_proxy(Quality(0.0, 1e9)) as proxy:
        async with HttpClientManager(proxy=proxy.url) as manager:
            done = await asyncio.gather(*(get(manager, upstream) for _ in range(20)))
        assert done == [(200, BODY)] * 20
        assert proxy.traffic().connections == upstream.connections == 1


async def test_full_pool__closes_an_idle_connection_to_another_host(upstream: Http2Upstream) -> None:
    with upstream.twin() as other:
        other.put("/file", BODY)
        source = UpstreamSource(1, "pypi", "test", f"{upstream.url}/simple/")
        async with HttpClientManager(max_connections=1) as manager:
            for each in (upstream, other, upstream):
                async with manager.stream(source, each.url + "/file", lane="index") as response:
                    assert [chunk async for chunk in response.chunks()]
                assert upstream.open_connections + other.open_connections <= 1


async def test_pool_closed__requests_that_wait_fail_and_are_not_cancelled(
    upstream: Http2Upstream, manager: HttpClientManager
) -> None:
    upstream.fault("/file", Fault(silent=True))
    waiting = asyncio.create_task(get(manager, upstream))
    while not upstream.requests:
        await asyncio.sleep(0.01)
    await manager.forget(1)
    with pytest.raises(UpstreamUnavailable):
        await waiting
