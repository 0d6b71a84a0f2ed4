"""The emulated link does what it says: its delay, its bandwidth for all flows together, its counters."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from bench.wan.link import Quality
from bench.wan.proxy import RunningProxy, running_proxy

MBIT = 1_000_000 / 8
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def _server(handler: Handler) -> AsyncIterator[int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):  # the test may be over
            await handler(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.sleep(0)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@contextlib.asynccontextmanager
async def _client(proxy: RunningProxy) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def _tunnel(proxy: RunningProxy, port: int, host: str = "127.0.0.1") -> AsyncIterator[Streams]:
    async with _client(proxy) as (reader, writer):
        writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        yield reader, writer


async def _least(measure: Callable[[], Awaitable[float]], enough: float) -> float:
    """The shortest of some measurements: whatever else runs on the machine only makes them longer."""
    least = float("inf")
    for _ in range(40):
        least = min(least, await measure())
        if least <= enough:
            break
    return least


@pytest.mark.parametrize("milliseconds", [5, 50, 150])
async def test_idle_link__round_trip_and_connect__within_a_tenth(milliseconds: int) -> None:
    expected = milliseconds / 1000
    with running_proxy(Quality(expected, 200 * MBIT)) as proxy:
        async with _server(_echo) as port, _tunnel(proxy, port) as (reader, writer):

            async def connect() -> float:
                started = time.perf_counter()
                async with _tunnel(proxy, port):
                    return time.perf_counter() - started

            async def ping() -> float:
                started = time.perf_counter()
                writer.write(b"x")
                await reader.readexactly(1)
                return time.perf_counter() - started

            # The two loops and, of a connection, its tasks take a part of a millisecond by themselves.
            assert await _least(ping, 1.05 * expected) == pytest.approx(expected, rel=0.1, abs=0.001)
            assert await _least(connect, 1.05 * expected) == pytest.approx(expected, rel=0.1, abs=0.002)


@pytest.mark.parametrize("flows", [1, 8])
async def test_idle_link__throughput_of_all_flows_together__within_a_tenth(flows: int) -> None:
    size = 4_000_000
    quality = Quality(0.05, 200 * MBIT)

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1):
            writer.write(bytes(size // flows))
            await writer.drain()

    async with contextlib.AsyncExitStack() as stack:
        proxy = stack.enter_context(running_proxy(quality))
        port = await stack.enter_async_context(_server(send))
        tunnels = [await stack.enter_async_context(_tunnel(proxy, port)) for _ in range(flows)]

        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"x")
            await reader.readexactly(size // flows)

        async def all_of_them() -> float:
            started = time.perf_counter()
            await asyncio.gather(*(one(*each) for each in tunnels))
            return time.perf_counter() - started - quality.round_trip

        expected = size / quality.bytes_per_second
        assert await _least(all_of_them, 1.05 * expected) == pytest.approx(expected, rel=0.1)


async def test_short_exchange_beside_downloads__waits_for_a_turn__not_for_the_downloads() -> None:
    quality = Quality(0.02, 80 * MBIT)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.read(1):
            writer.write(bytes(2_000_000) if asked == b"L" else b"s")
            await writer.drain()

    async with contextlib.AsyncExitStack() as stack:
        proxy = stack.enter_context(running_proxy(quality))
        port = await stack.enter_async_context(_server(serve))
        large = [await stack.enter_async_context(_tunnel(proxy, port)) for _ in range(4)]
        reader, writer = await stack.enter_async_context(_tunnel(proxy, port))
        for _, each in large:
            each.write(b"L")
        await large[0][0].readexactly(1)
        started = time.perf_counter()
        writer.write(b"S")
        await reader.readexactly(1)
        short = time.perf_counter() - started
        await asyncio.gather(*(each.readexactly(1_900_000) for each, _ in large))
        assert short < 0.5 * (time.perf_counter() - started)


async def test_counters__connections_handshakes_requests_bytes__are_those_that_were_made() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            if b"content-length: 4" in head:
                assert await reader.readexactly(4) == b"body"
            path = head.split(b" ")[1]
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(path), path))

    async with contextlib.AsyncExitStack() as stack:
        proxy = stack.enter_context(running_proxy(Quality(0.0, 200 * MBIT)))
        port = await stack.enter_async_context(_server(answer))
        reader, writer = await stack.enter_async_context(_client(proxy))
        read = 0
        for request, path in (
            (f"GET http://127.0.0.1:{port}/a?b HTTP/1.1\r\n\r\n", b"/a?b"),
            (f"POST http://127.0.0.1:{port}/c HTTP/1.1\r\ncontent-length: 4\r\n\r\nbody", b"/c"),
            (f"GET http://localhost:{port}/d HTTP/1.1\r\n\r\n", b"/d"),  # another server, same connection
        ):
            writer.write(request.encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(path)) == path
            read += len(head) + len(path)
        seen = proxy.traffic()
        assert (seen.connections, seen.requests, seen.handshakes, seen.received) == (2, 3, 0, read)

        echo = await stack.enter_async_context(_server(_echo))
        reader, writer = await stack.enter_async_context(_tunnel(proxy, echo))
        writer.write(bytes([22, 3, 1, 0, 9, 1]) + bytes(8))
        await reader.readexactly(14)
        only = proxy.traffic().since(seen)
        assert (only.connections, only.handshakes, only.sent, only.received) == (1, 1, 14, 14)


async def test_cut_link__connections_break_and_none_begins__until_it_is_up_again() -> None:
    quality = Quality(0.0, 200 * MBIT)
    async with _server(_echo) as port:
        with running_proxy(quality, {"registry.invalid": ("127.0.0.1", port)}) as proxy:
            async with _tunnel(proxy, 443, "registry.invalid") as (reader, _):
                proxy.down()
                with contextlib.suppress(ConnectionError):
                    assert await reader.read(1) == b""
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                async with _tunnel(proxy, 443, "registry.invalid"):
                    pass
            proxy.up(quality)
            async with _tunnel(proxy, 443, "registry.invalid") as (reader, writer):
                writer.write(b"again")
                assert await reader.readexactly(5) == b"again"
