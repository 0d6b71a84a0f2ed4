"""One request of an HTTP/2 connection (RFC 9113 §5): the response's head, then its body as it is read.

The stream's window is given back as the body is read: what lies unread here is bounded by it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

import httpx
from h2.errors import ErrorCodes

from services.fetcher.http import fields

STREAM_WINDOW = 1 << 20  # bytes of one body that may lie unread here: so much a round trip, at most
CHUNK_BYTES = 256 * 1024

_CONNECTION_HEADERS = frozenset((b"host", b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"))


class NotProcessed(Exception):
    """The server did nothing with the request, and says so: it may be sent again (RFC 9113 §8.7)."""


class SpeaksHttp1(NotProcessed):
    """The same, and another try over HTTP/2 would end as this one."""


class Owner(Protocol):
    """The connection of a stream."""

    def leave(self, stream: Stream) -> None:
        """The stream's request is over, however it ended."""

    def give_back(self, stream: Stream, size: int) -> None:
        """Let the server send so many more bytes of this body."""


class Stream(httpx.AsyncByteStream):
    """The response to one request: its head, then its body as it is read."""

    def __init__(self, connection: Owner, stream_id: int, request: httpx.Request) -> None:
        self.id = stream_id
        self.ended = False
        self.uploads = False
        self._connection = connection
        self._request = request
        self._seconds: float = request.extensions["timeout"]["read"]
        self._head: httpx.Response | None = None
        self._announced: int | None = None
        self._received = 0
        self._pieces: deque[tuple[bytes, int]] = deque()
        self._owed = 0  # bytes that were read and not given back to the stream's window
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_answered(self) -> bool:
        return self._head is not None or self._error is not None

    # --- by the connection ------------------------------------------------------------------------

    def begin(self, raw: list[tuple[bytes, bytes]]) -> None:
        """The response's head."""
        status = int(next(value for name, value in raw if name == b":status"))
        headers = fields.received([(name, value) for name, value in raw if not name.startswith(b":")])
        self._head = httpx.Response(
            status, stream=self, request=self._request, extensions={"http_version": b"HTTP/2"}
        )
        self._head.headers = headers
        if self._request.method != "HEAD" and status not in (204, 304):
            length = headers.get("content-length", "")
            self._announced = int(length) if length.isdigit() else None
        self.wake()

    def take(self, data: bytes, flow_controlled: int) -> None:
        """A piece of the body; `flow_controlled` counts its padding too."""
        self._received += len(data)
        if data:
            self._pieces.append((data, flow_controlled))
            self.wake()
        else:
            self._owed += flow_controlled

    def end(self) -> None:
        """The body is whole, or ends other than its head said."""
        self.ended = True
        if self._announced is not None and self._received != self._announced:
            self._error = httpx.ReadError("the body was cut")
        self.wake()

    def fail(self, error: Exception) -> None:
        """Nothing more comes."""
        if not self.ended and self._error is None:
            self._error = error
            self.wake()

    def wake(self) -> None:
        """Something happened."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- by the request ---------------------------------------------------------------------------

    async def response(self) -> httpx.Response:
        """The head, once it is there."""
        while self._head is None:
            if self._error is not None:
                raise self._error
            await self.something()
        return self._head

    async def something(self) -> None:
        """Wait until something happens. Raises `httpx.ReadTimeout`."""
        if self._error is not None:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._seconds):
                await self._waiter
        except TimeoutError:
            raise httpx.ReadTimeout("the server fell silent") from None
        finally:
            self._waiter = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            if self._pieces:
                yield self._next()
            elif self._error is not None:
                if isinstance(self._error, NotProcessed):  # a head came: it was processed after all
                    raise httpx.ReadError("the stream was refused after its head")
                raise self._error
            elif self.ended:
                return
            else:
                await self.something()

    def _next(self) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while self._pieces and size + len(self._pieces[0][0]) <= CHUNK_BYTES:
            data, flow_controlled = self._pieces.popleft()
            pieces.append(data)
            size += len(data)
            self._owed += flow_controlled
        if self._owed >= STREAM_WINDOW // 4 and not self.ended:
            self._connection.give_back(self, self._owed)
            self._owed = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def aclose(self) -> None:
        self._pieces.clear()
        self._connection.leave(self)


def head_of(request: httpx.Request) -> list[tuple[bytes, bytes]]:
    """The request's fields; connections' own have no place in HTTP/2 (RFC 9113 §8.2.2)."""
    host = request.headers["host"].encode("latin-1")
    pseudo = [
        (b":method", request.method.encode()),
        (b":scheme", request.url.raw_scheme),
        (b":authority", host),
        (b":path", request.url.raw_path),
    ]
    named = ((name.lower(), value) for name, value in request.headers.raw)
    return pseudo + [(name, value) for name, value in named if name not in _CONNECTION_HEADERS]


def meaning_of(code: ErrorCodes | int | None) -> Exception:
    """What a reset stream means for its request."""
    if code == ErrorCodes.REFUSED_STREAM:
        return NotProcessed()
    if code == ErrorCodes.HTTP_1_1_REQUIRED:
        return SpeaksHttp1()
    name = code.name if isinstance(code, ErrorCodes) else str(code)
    return httpx.ReadError(f"the server gave the stream up ({name})")
