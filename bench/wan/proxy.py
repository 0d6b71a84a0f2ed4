"""A forward proxy on loopback whose way to the servers is an emulated link: CONNECT, and absolute-form http.

It runs in a thread of its own, on an event loop over select(2): its timers keep microseconds, where epoll
and uvloop round up to milliseconds, which is too much of a round trip of 5 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from urllib.parse import urlsplit

import msgspec

from bench.wan.link import CHUNK, Flow, Link, Quality, Traffic

MOST_CONNECTIONS = 400  # select(2) knows 1,024 descriptors
MOST_HEAD = 64 * 1024
CONNECT_SECONDS = 30.0
CLOSE_SECONDS = 5.0
_TLS_HANDSHAKE, _CLIENT_HELLO = 22, 1  # RFC 8446, 5.1 and 4

Address = tuple[str, int]


class Proxy:
    """The proxy's connections. `names` are hosts that lie on this machine, under names of their own."""

    def __init__(self, link: Link, names: Mapping[str, Address]) -> None:
        self.link = link
        self.names = dict(names)
        self._room = asyncio.Semaphore(MOST_CONNECTIONS)
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection, to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            async with self._room:
                if self.link.up:
                    await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, TimeoutError):
            pass  # both sides see a closed connection
        except asyncio.CancelledError:
            pass  # cut
        finally:
            await self._close(writer)
            self._tasks.discard(task)

    def cut(self) -> None:
        """The link is down: connections break, new ones are closed at once."""
        self.link.up = False
        for task in self._tasks:
            task.cancel()

    async def finish(self) -> None:
        """Cut, and wait for the end of all connections."""
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the loop closes what was aborted

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            async with self._connection((host.strip("[]"), int(port)), writer) as (server, out):
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await self._tunnel(reader, out)
                await server
            return
        while head:
            parts = urlsplit(head.split(b" ", 2)[1].decode("ascii"))
            address = (parts.hostname or "", parts.port or 80)
            async with self._connection(address, writer) as (server, out):
                head = await self._requests(head, address, reader, out)
                if not head:
                    await out.end()
                    await server

    @contextlib.asynccontextmanager
    async def _connection(
        self, address: Address, client: asyncio.StreamWriter
    ) -> AsyncIterator[tuple[asyncio.Task[None], Flow]]:
        """A connection over the link, which costs a round trip: the task that relays answers, the way out."""
        await asyncio.sleep(self.link.quality.round_trip)
        host, port = self.names.get(address[0], address)
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection(host, port, limit=4 * CHUNK), CONNECT_SECONDS
        )
        self.link.traffic.connections += 1
        out, back = Flow(self.link.out, writer), Flow(self.link.back, client)
        server = asyncio.create_task(self._answers(reader, back))
        try:
            yield server, out
        finally:
            server.cancel()
            out.stop()
            back.stop()
            await asyncio.gather(server, return_exceptions=True)
            await self._close(writer)

    async def _close(self, writer: asyncio.StreamWriter) -> None:
        if self.link.up:
            writer.close()
        else:
            writer.transport.abort()
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), CLOSE_SECONDS)

    async def _answers(self, reader: asyncio.StreamReader, back: Flow) -> None:
        while data := await reader.read(CHUNK):
            self.link.traffic.received += len(data)
            await back.send(data)
        await back.end()

    async def _tunnel(self, reader: asyncio.StreamReader, out: Flow) -> None:
        first = True
        while data := await reader.read(CHUNK):
            if first and len(data) > 5 and data[0] == _TLS_HANDSHAKE and data[5] == _CLIENT_HELLO:
                self.link.traffic.handshakes += 1
            first = False
            await self._send(data, out)
        await out.end()

    async def _requests(
        self, head: bytes, address: Address, reader: asyncio.StreamReader, out: Flow
    ) -> bytes:
        """Pass requests on until the client ends or names another server: then its request's head."""
        while True:
            line, _, rest = head.partition(b"\r\n")
            method, target, version = line.split(b" ")
            parts = urlsplit(target.decode("ascii"))
            if (parts.hostname or "", parts.port or 80) != address:
                return head
            path = parts._replace(scheme="", netloc="").geturl() or "/"
            self.link.traffic.requests += 1
            await self._send(b" ".join((method, path.encode(), version)) + b"\r\n" + rest, out)
            await self._body(rest, reader, out)
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return b""

    async def _body(self, headers: bytes, reader: asyncio.StreamReader, out: Flow) -> None:
        fields = dict(line.lower().split(b":", 1) for line in headers.split(b"\r\n") if b":" in line)
        if b"chunked" in fields.get(b"transfer-encoding", b""):
            size = -1
            while size:
                line = await reader.readuntil(b"\r\n")
                size = int(line.split(b";")[0], 16)
                await self._send(line + await reader.readexactly(size + 2), out)
            return
        left = int(fields.get(b"content-length", b"0"))
        while left:
            data = await reader.read(min(left, CHUNK))
            if not data:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(data)
            await self._send(data, out)

    async def _send(self, data: bytes, out: Flow) -> None:
        self.link.traffic.sent += len(data)
        await out.send(data)


class RunningProxy:
    """A proxy in its thread, as the thread that started it sees it."""

    def __init__(self, proxy: Proxy, loop: asyncio.AbstractEventLoop, port: int) -> None:
        self._proxy = proxy
        self._loop = loop
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def traffic(self) -> Traffic:
        """The counters by now."""
        return msgspec.structs.replace(self._proxy.link.traffic)

    def up(self, quality: Quality) -> None:
        """The link works, with this quality."""

        def change() -> None:
            self._proxy.link.become(quality)
            self._proxy.link.up = True

        self._do(change)

    def down(self) -> None:
        """The link is cut."""
        self._do(self._proxy.cut)

    def _do(self, change: Callable[[], None]) -> None:
        done = threading.Event()

        def run() -> None:
            try:
                change()
            finally:
                done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait(10)


@contextlib.contextmanager
def running_proxy(quality: Quality, names: Mapping[str, Address] | None = None) -> Iterator[RunningProxy]:
    """A proxy for the length of the block; afterwards no connection and no thread is left."""
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    ready: threading.Event = threading.Event()
    over: list[asyncio.Event] = []
    made: list[RunningProxy] = []

    async def serve() -> None:
        proxy = Proxy(Link(quality), names or {})
        server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0, limit=MOST_HEAD)
        made.append(RunningProxy(proxy, loop, server.sockets[0].getsockname()[1]))
        over.append(asyncio.Event())
        ready.set()
        await over[0].wait()
        server.close()
        await proxy.finish()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            loop.close()
            ready.set()

    thread = threading.Thread(target=run, name="emulated link", daemon=True)
    thread.start()
    ready.wait(10)
    if not made:
        raise RuntimeError("the emulated link could not start")
    try:
        yield made[0]
    finally:
        loop.call_soon_threadsafe(over[0].set)
        thread.join(15)
