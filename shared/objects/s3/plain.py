"""GETs of objects over plain HTTP/1.1, from sockets that are read when somebody takes, and not before.

A gateway without copies of hot files passes every byte of the store through here, and a client library's
buffers are most of what that costs: `python -m bench.s3_gets` compares. A piece goes from the kernel into the
bytes that the caller gets, by asyncio's public calls. It knows what a GET of an object needs: a response with
a length. A server that answers in another way is read by aiohttp (`bodies.py`), and so is one with TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Mapping
from time import monotonic

from shared.objects.s3.bodies import BODY_SILENCE_SECONDS, CONNECT_SECONDS, S3Body

READ_BYTES = 128 * 1024
MOST_HEAD_BYTES = 64 * 1024
IDLE_SECONDS = 15.0
IN_A_ROW = 8  # pieces that were there at once, before all else in the loop has its turn
_ERROR_BYTES = 4096


class BrokenOff(OSError):
    """The connection ended before its response was whole."""


class PlainBody:
    """A response whose status and headers are there and whose body is not."""

    def __init__(
        self, connection: socket.socket, status: int, headers: Mapping[str, str], rest: bytes
    ) -> None:
        self.status = status
        self._headers = headers  # lower-case names
        self._socket = connection
        self._rest = rest  # of the body, came with the head
        length = headers.get("content-length", "")
        self._has_length = length.isdigit() and "transfer-encoding" not in headers
        self._left = int(length) - len(rest) if self._has_length else _ERROR_BYTES
        self._in_a_row = 0

    @property
    def is_understood(self) -> bool:
        """False: an object without a length, or with more bytes than that."""
        return self.status >= 300 or (self._has_length and self._left >= 0)

    @property
    def is_over(self) -> bool:
        """Whether all of it was taken, and the connection may be used again."""
        kept = self._headers.get("connection", "").lower() != "close"
        return kept and self._has_length and self._left == 0 and not self._rest

    def header(self, name: str) -> str:
        """A header's value, "" if it is not there."""
        return self._headers.get(name.lower(), "")

    async def read(self) -> bytes:
        """The next piece, b"" at the end. Raises `OSError`, `TimeoutError`."""
        if self._rest:
            piece, self._rest = self._rest, b""
            return piece
        if self._left <= 0:
            return b""
        wanted = min(READ_BYTES, self._left)
        try:
            piece = self._socket.recv(wanted)
        except BlockingIOError:
            self._in_a_row = 0
            async with asyncio.timeout(BODY_SILENCE_SECONDS):
                piece = await asyncio.get_running_loop().sock_recv(self._socket, wanted)
        else:
            self._in_a_row += 1
            if self._in_a_row % IN_A_ROW == 0:
                await asyncio.sleep(0)
        if not piece:
            raise BrokenOff("the object store ended the connection")
        self._left -= len(piece)
        return piece

    async def read_error(self) -> bytes:
        """The beginning of an error's document."""
        found = b""
        with contextlib.suppress(OSError, TimeoutError):
            while len(found) < _ERROR_BYTES and b"</Error>" not in found and (piece := await self.read()):
                found += piece
        return found


ObjectBody = S3Body | PlainBody
"""What the body of an object's response is read from."""


class PlainPool:
    """Kept connections to one server, the last used first. Whoever makes it closes it."""

    def __init__(self, host: str, port: int, *, connections: int) -> None:
        self._host, self._port = host, port
        self._places = asyncio.Semaphore(connections)
        self._idle: deque[tuple[float, socket.socket]] = deque()
        self._used: set[socket.socket] = set()

    def close(self) -> None:
        """End every connection; what is being read breaks off."""
        for connection in self._used:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        while self._idle:
            self._idle.pop()[1].close()

    async def begin(self, request: bytes, held: contextlib.AsyncExitStack) -> PlainBody | None:
        """Send a request, and wait for the head of its response; `held` gives the connection back. None: this
        server answers in a way that is not understood here. Raises `OSError`, `TimeoutError`."""
        await self._places.acquire()
        held.callback(self._places.release)
        connection = await self._connection()
        body: PlainBody | None = None
        held.callback(lambda: self._give_back(connection, body))
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, request)
        head = b""
        while b"\r\n\r\n" not in head:
            received = await loop.sock_recv(connection, MOST_HEAD_BYTES)
            if not received:
                raise BrokenOff("the object store ended the connection")
            head += received
            if len(head) > 2 * MOST_HEAD_BYTES:
                return None
        body = _body_of(connection, head)
        return body if body is not None and body.is_understood else None

    async def _connection(self) -> socket.socket:
        while self._idle:
            since, connection = self._idle.pop()
            if monotonic() - since < IDLE_SECONDS and _is_quiet(connection):
                self._used.add(connection)
                return connection
            connection.close()
        loop = asyncio.get_running_loop()
        failure: OSError = BrokenOff("the object store's name has no address")
        async with asyncio.timeout(CONNECT_SECONDS):
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            for family, kind, protocol, _, address in found:
                connection = socket.socket(family, kind, protocol)
                try:
                    connection.setblocking(False)
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    await loop.sock_connect(connection, address)
                except OSError as error:
                    connection.close()
                    failure = error
                except BaseException:
                    connection.close()
                    raise
                else:
                    self._used.add(connection)
                    return connection
        raise failure

    def _give_back(self, connection: socket.socket, body: PlainBody | None) -> None:
        self._used.discard(connection)
        if body is None or not body.is_over:
            connection.close()  # the rest is not wanted: never read to the end to save a connection
            return
        self._idle.append((monotonic(), connection))
        while monotonic() - self._idle[0][0] > IDLE_SECONDS:
            self._idle.popleft()[1].close()


def request_of(target: str, host: str, headers: Mapping[str, str]) -> bytes:
    """A GET as it goes over the wire. `target` is escaped already."""
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {host}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _body_of(connection: socket.socket, head: bytes) -> PlainBody | None:
    """From a response's head and what came with it; None: this is not HTTP/1.1."""
    text, _, rest = head.partition(b"\r\n\r\n")
    first, *lines = text.decode("latin-1").split("\r\n")
    version, _, status = first.partition(" ")
    if version != "HTTP/1.1" or not status[:3].isdigit() or status.startswith("1"):
        return None
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return PlainBody(connection, int(status[:3]), headers, rest)


def _is_quiet(connection: socket.socket) -> bool:
    """Whether an idle connection is still open, and nothing came on it that nobody asked for."""
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
