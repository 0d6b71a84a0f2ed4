"""HTTP/2 connections that break, flood or fall silent, and what becomes of their requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from services.fetcher.http import http2_connection
from services.fetcher.http.http2 import MOST_CONNECTIONS
from services.fetcher.http.manager import HttpClientManager
from shared.errors import OrchardError, UpstreamInvalid
from shared.errors.passing import UpstreamTimeout, UpstreamUnavailable
from tests.services.fetcher.http.conftest import BODY, HTTP2, get
from tests.support.http2_upstream import (
    Http2Server,
    Http2Upstream,
    OnRequest,
    goes_away,
    once,
    resets,
)
from tests.support.upstream import Fault

pytestmark = HTTP2


@pytest_asyncio.fixture
async def manager() -> AsyncIterator[HttpClientManager]:
    async with HttpClientManager(connect_timeout_seconds=5, read_timeout_seconds=2) as opened:
        yield opened


# --- servers that announce HTTP/2 and cannot ----------------------------------------------------------------


@pytest.mark.parametrize(
    "does",
    [resets(ErrorCodes.HTTP_1_1_REQUIRED), goes_away(0, ErrorCodes.INADEQUATE_SECURITY)],
    ids=["1.1 required", "inadequate security"],
)
async def test_wants_http1__gets_it_at_once_and_from_then_on(
    upstream: Http2Upstream, manager: HttpClientManager, does: OnRequest
) -> None:
    upstream.on_request = does
    for _ in range(3):
        assert await get(manager, upstream) == (200, BODY)
    assert upstream.count("/file") == 3
    assert upstream.connections == 2  # one of each


@pytest.mark.parametrize(
    "greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 9, b"\xff" * 100], ids=repr
)
async def test_breaks_at_once__asked_by_http1(
    upstream: Http2Upstream, manager: HttpClientManager, greeting: bytes
) -> None:
    upstream.greeting = greeting
    assert await get(manager, upstream) == (200, BODY)
    assert await get(manager, upstream) == (200, BODY)
    assert {request.headers["host"] for request in upstream.requests} == {upstream.url[8:]}
    assert manager.stats().connects == 2


def _bomb(server: Http2Server, stream_id: int) -> bool:
    """Headers of 4 KB in the table, then thousands of times the byte that names them (RFC 7541 §6.1)."""
    block = b"\x88" + b"\x40\x01x" + b"\x7f\x81\x1e" + b"a" * 4000 + b"\xbe" * 12_000
    frame = len(block).to_bytes(3, "big") + b"\x01\x05" + stream_id.to_bytes(4, "big") + block
    server.writer.write(frame)
    return True


def _continues(server: Http2Server, stream_id: int) -> bool:
    """Headers that never end."""
    name = stream_id.to_bytes(4, "big")
    server.writer.write(b"\0\0\x01\x01\0" + name + b"\x88" + (b"\0\0\0\x09\0" + name) * 10_000)
    return True


def _frame(kind: int, payload: bytes) -> OnRequest:
    def on_request(server: Http2Server, stream_id: int) -> bool:
        head = len(payload).to_bytes(3, "big") + bytes([kind, 4]) + stream_id.to_bytes(4, "big")
        server.writer.write(head + payload)
        return True

    return on_request


@pytest.mark.parametrize(
    "does",
    [
        _bomb,
        _continues,
        _frame(1, b"\xff\xff\xff\xff\xff\xff\xff"),  # no header block
        _frame(1, b"\x88\x00\x04Host\x01x"),  # a name in capitals
        _frame(1, b"\x00\x01a\x01b"),  # no status
        _frame(0, b"body before its head"),
        _frame(5, b"\0\0\0\x02\x88"),  # pushes, though it was told not to
        _frame(8, b"\0\0\0\0"),  # a window that grows by nothing
    ],
    ids=["bomb", "continues", "no block", "capitals", "no status", "no head", "pushes", "no window"],
)
async def test_broken_frame__invalid_and_the_next_request_works(
    upstream: Http2Upstream, manager: HttpClientManager, does: OnRequest
) -> None:
    upstream.on_request = once(does)
    with pytest.raises(UpstreamInvalid):
        await get(manager, upstream)
    assert await get(manager, upstream) == (200, BODY)
    assert manager.stats().active == 0


async def test_floods_with_pings_and_reads_nothing__ended(
    upstream: Http2Upstream, manager: HttpClientManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http2_connection, "MAX_UNSENT_BYTES", 0)

    def flood(server: Http2Server, stream_id: int) -> bool:
        server.writer.transport.pause_reading()  # type: ignore[attr-defined]
        server.writer.write(b"\0\0\x08\x06\0\0\0\0\0orchard." * 1_000_000)
        return True

    upstream.on_request = once(flood)
    with pytest.raises(OrchardError):
        await get(manager, upstream)


# --- silence ------------------------------------------------------------------------------------------------


async def test_dead_connection__found_by_a_ping_before_the_read_time_out(
    upstream: Http2Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http2_connection, "QUIET_SECONDS", 0.1)

    def die(server: Http2Server, stream_id: int) -> bool:
        server.writer.transport.pause_reading()  # type: ignore[attr-defined]
        return True

    upstream.on_request = once(die)
    async with HttpClientManager(read_timeout_seconds=60) as manager:
        with pytest.raises(UpstreamUnavailable, match="dead"):
            await get(manager, upstream)
        assert await get(manager, upstream) == (200, BODY)


async def test_slow_server__that_answers_pings__is_waited_for(
    upstream: Http2Upstream, manager: HttpClientManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http2_connection, "QUIET_SECONDS", 0.1)
    upstream.fault("/file", Fault(delay_seconds=0.6))
    assert await get(manager, upstream) == (200, BODY)
    assert upstream.connections == 1


async def test_dead_while_idle__closed_before_a_request_meets_it(
    upstream: Http2Upstream, manager: HttpClientManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http2_connection, "QUIET_SECONDS", 0.1)
    monkeypatch.setattr(http2_connection, "IDLE_QUIET_SECONDS", 0.1)
    servers: list[Http2Server] = []
    upstream.on_request = lambda server, stream_id: bool(servers.append(server))  # type: ignore[func-returns-value]
    await get(manager, upstream)
    servers[0].writer.transport.pause_reading()  # type: ignore[attr-defined]
    while manager.stats().pools["source-1-test"].idle:
        await asyncio.sleep(0.01)
    assert await get(manager, upstream) == (200, BODY)
    assert upstream.connections == 2


async def test_no_stream_is_allowed_any_more__timeout(upstream: Http2Upstream) -> None:
    def closes(server: Http2Server, stream_id: int) -> bool:
        server.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 0})
        return False

    upstream.on_request = closes
    async with HttpClientManager(connect_timeout_seconds=0.5, read_timeout_seconds=0.5) as manager:
        for _ in range(MOST_CONNECTIONS):
            assert await get(manager, upstream) == (200, BODY)
        with pytest.raises(UpstreamTimeout):
            await get(manager, upstream)
        assert manager.stats().active == 0


async def test_connection_that_was_closed_twice_is_still_held__the_pool_closes(
    upstream: Http2Upstream, manager: HttpClientManager
) -> None:
    """asyncio's transport of TLS cannot be asked anything after its second close()."""
    assert await get(manager, upstream) == (200, BODY)
    connector = manager._pools["source-1-test"]._connector
    (protocol,) = connector._acquired
    assert protocol.transport is not None
    protocol.transport.close()
    protocol.transport.close()
    await manager.aclose()
    assert connector.closed
