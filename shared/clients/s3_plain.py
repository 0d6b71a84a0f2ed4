"""GETs of objects over plain HTTP/1.1 with one copy from the socket to the caller's bytes.

aiohttp takes 0.59 s of CPU per GB of 1 MB objects, this 0.33: a whole gateway's share of nginx's speed
depends on it. It knows what an object's GET needs and no more: a response with a length, kept connections,
reading that stops while nobody takes. TLS, and every other method, goes through aiohttp (s3_http.py).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from time import monotonic
from typing import cast

BUFFER_BYTES = 256 * 1024
READ_AHEAD_BYTES = 256 * 1024  # held for a caller who does not take them; then the socket is left alone
MAX_HEAD_BYTES = 64 * 1024
IDLE_SECONDS = 15.0
_ERROR_BYTES = 4096


class BrokenOff(OSError):
    """The connection ended, or spoke something else than HTTP, before its response was whole."""


class PlainConnection(asyncio.BufferedProtocol):
    """One connection: a request at a time, its response's head, then its body in pieces."""

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer  # shared: filled and emptied within one turn of the loop
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._paused = False
        self._head = b""
        self._left: int | None = None  # bytes of the body still to come; None: unknown, or in the head
        self._in_head = False
        self._keep = True
        self.failure: BaseException | None = None
        self.status = 0
        self.headers: dict[str, str] = {}
        self.idle_since = 0.0

    # --- what asyncio calls ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._in_head:
            self._take_head(bytes(self._buffer[:nbytes]))
        elif self._left is None or nbytes <= self._left:
            self._take_body(bytes(self._buffer[:nbytes]))
        else:
            self._fail(BrokenOff("more bytes than announced"))
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.failure is None:
            self.failure = exc or BrokenOff("the connection was closed")
        self._wake()

    # --- a request ------------------------------------------------------------------------------------

    async def begin(self, request: bytes) -> None:
        """Send a request and wait for the head: `status`, `headers` (lower-case names).

        Raises `OSError`; the caller bounds the time.
        """
        assert self._transport is not None
        self._in_head, self._keep, self._head, self._left = True, True, b"", None
        self._transport.write(request)
        while self._in_head:
            await self._changed()

    async def read(self) -> bytes:
        """The next piece of the body, b"" at its end. Raises `OSError` if it breaks off."""
        while not self._pieces:
            if self._left == 0:
                return b""
            await self._changed()
        piece = self._pieces.popleft()
        self._held -= len(piece)
        if self._paused and not self._pieces:
            self._paused = False
            assert self._transport is not None
            self._transport.resume_reading()
        return piece

    async def read_error(self) -> bytes:
        """What there is of an error's document, chunked or not; the connection is of no use after it."""
        found = b""
        while self._left != 0 and len(found) < _ERROR_BYTES and b"</Error>" not in found:
            try:
                found += await self.read()
            except OSError:
                break
        return found or b"".join(self._pieces)

    @property
    def ready(self) -> bool:
        """Whether `read` answers without waiting."""
        return bool(self._pieces) or self._left == 0

    @property
    def reusable(self) -> bool:
        """Whether the response was taken whole and another request may follow."""
        return self._keep and self._left == 0 and not self._pieces and self.failure is None

    def close(self) -> None:
        """End the connection now."""
        if self._transport is not None:
            self._transport.abort()

    # --- inside ---------------------------------------------------------------------------------------

    def _take_head(self, data: bytes) -> None:
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            if len(self._head) > MAX_HEAD_BYTES:
                self._fail(BrokenOff("a head without end"))
            return
        first, *lines = self._head[:end].decode("latin-1").split("\r\n")
        words = first.split(" ", 2)
        if len(words) < 2 or words[0] != "HTTP/1.1" or not words[1].isdigit():
            self._fail(BrokenOff("this is not HTTP/1.1"))
            return
        self.status = int(words[1])
        pairs = (line.partition(":") for line in lines)
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = self.headers.get("content-length", "")
        if length.isdigit() and "transfer-encoding" not in self.headers:
            self._left = int(length)
        elif self.status < 300:
            self._fail(BrokenOff("an object without a length"))
            return
        self._keep = self._left is not None and self.headers.get("connection", "").lower() != "close"
        body, self._head, self._in_head = self._head[end + 4 :], b"", False
        if body:
            self._take_body(body)

    def _take_body(self, data: bytes) -> None:
        if self._left is not None:
            if len(data) > self._left:
                self._fail(BrokenOff("more bytes than announced"))
                return
            self._left -= len(data)
        self._pieces.append(data)
        self._held += len(data)
        if self._held >= READ_AHEAD_BYTES and not self._paused and self._left != 0:
            self._paused = True
            assert self._transport is not None
            self._transport.pause_reading()

    def _fail(self, error: BrokenOff) -> None:
        self.failure = error
        self.close()

    async def _changed(self) -> None:
        if self.failure is not None:
            raise self.failure
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class PlainPool:
    """Kept connections to one host, the last used first. Who opens it closes it."""

    def __init__(self, host: str, port: int, *, connections: int) -> None:
        self._host, self._port = host, port
        self._places = asyncio.Semaphore(connections)
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._idle: deque[PlainConnection] = deque()
        self._used: set[PlainConnection] = set()

    async def take(self, connect_seconds: float) -> PlainConnection:
        """A connection, kept or new. Raises `OSError` or `TimeoutError`. Give it back."""
        await self._places.acquire()
        try:
            oldest = monotonic() - IDLE_SECONDS
            while self._idle:
                connection = self._idle.pop()
                if connection.failure is None and connection.idle_since > oldest:
                    break
                connection.close()
            else:
                loop = asyncio.get_running_loop()
                async with asyncio.timeout(connect_seconds):
                    _, connection = await loop.create_connection(
                        lambda: PlainConnection(self._buffer), self._host, self._port
                    )
        except BaseException:
            self._places.release()
            raise
        self._used.add(connection)
        return connection

    def give_back(self, connection: PlainConnection) -> None:
        """Keep it if its response was taken whole, otherwise close it: the rest is never read."""
        self._used.discard(connection)
        self._places.release()
        if connection.reusable:
            connection.idle_since = monotonic()
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """End every connection."""
        for connection in (*self._idle, *self._used):
            connection.close()
        self._idle.clear()


def request_of(path: str, host: str, headers: Mapping[str, str]) -> bytes:
    """A GET as it goes over the wire. `path` is escaped already."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
