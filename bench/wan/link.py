"""An emulated link: a round-trip time, a bandwidth that all flows share fairly, and its counters.

Each way has the link's bandwidth for itself (full duplex). A chunk waits for its turn, takes as long as it
is, and arrives half a round trip later; the next ones leave meanwhile, so that delay costs no throughput.
Nothing is lost, and no window grows slowly: a real link is worse for new connections.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

import msgspec

CHUNK = 16 * 1024  # one flow's turn, in bytes
AHEAD_SECONDS = 0.002
"""Turns are given out so long before they begin: fewer wake-ups."""
CATCH_UP_SECONDS = 0.02
"""A flow that waited and was woken late gets that time back, up to this; an idle link saves nothing up."""
_AT_ONCE = 0.005  # a flow that asks for its next turn so soon had bytes waiting
WINDOW = 256 * 1024  # bytes of a flow under way, beside what the delay needs


class Quality(msgspec.Struct, frozen=True):
    """What the link does to bytes."""

    round_trip: float  # seconds
    bytes_per_second: float


class Traffic(msgspec.Struct):
    """What went over the link so far."""

    connections: int = 0
    handshakes: int = 0  # TLS ClientHellos
    requests: int = 0  # where they can be read: http without TLS
    sent: int = 0  # bytes to servers
    received: int = 0  # bytes from servers

    def since(self, earlier: Traffic) -> Traffic:
        """The difference."""
        mine, before = msgspec.structs.astuple(self), msgspec.structs.astuple(earlier)
        return Traffic(*(now - then for now, then in zip(mine, before, strict=True)))


class Way:
    """One way of the link."""

    def __init__(self, quality: Quality) -> None:
        self.quality = quality
        self._free_at = 0.0
        self._last_turn = 0.0

    async def turn(self, size: int) -> float:
        """Wait until `size` bytes may leave; the loop's time at which they arrive.

        Fair: a flow waits for one chunk at a time, so turns go round.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = CATCH_UP_SECONDS if now - self._last_turn < _AT_ONCE else 0.0
        left = max(now - late, self._free_at) + size / self.quality.bytes_per_second
        self._free_at = left
        if left - now > AHEAD_SECONDS:
            await asyncio.sleep(left - now - AHEAD_SECONDS)
        self._last_turn = loop.time()
        return left + self.quality.round_trip / 2

    @property
    def window(self) -> int:
        """Bytes that one flow may have under way, so that it can fill the link alone."""
        return WINDOW + int(self.quality.bytes_per_second * self.quality.round_trip)


class Flow:
    """Bytes of one connection, one way: sent in order, each chunk delivered when it has arrived."""

    def __init__(self, way: Way, to: asyncio.StreamWriter) -> None:
        self._way = way
        self._to = to
        self._under_way: deque[tuple[float, bytes | None]] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._delivery = asyncio.create_task(self._deliver())

    async def send(self, data: bytes) -> None:
        """Put bytes on the link; returns when the next ones may come. Raises `ConnectionError`."""
        for start in range(0, len(data), CHUNK):
            chunk = data[start : start + CHUNK]
            await self._room.wait()
            if self._delivery.done():
                raise ConnectionError("the receiver has gone")
            due = await self._way.turn(len(chunk))
            self._bytes += len(chunk)
            if self._bytes > self._way.window:
                self._room.clear()
            self._put(due, chunk)

    async def end(self) -> None:
        """Half-close once everything has arrived. Raises `ConnectionError`."""
        self._put(await self._way.turn(0), None)
        await self._delivery

    def stop(self) -> None:
        """What is under way is lost."""
        self._delivery.cancel()

    def _put(self, due: float, chunk: bytes | None) -> None:
        self._under_way.append((due, chunk))
        self._filled.set()

    async def _deliver(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                while not self._under_way:
                    self._filled.clear()
                    await self._filled.wait()
                due, chunk = self._under_way.popleft()
                if (wait := due - loop.time()) > 0:
                    await asyncio.sleep(wait)
                if chunk is None:
                    with contextlib.suppress(OSError, NotImplementedError):
                        self._to.write_eof()
                    return
                self._to.write(chunk)
                await self._to.drain()
                self._bytes -= len(chunk)
                if self._bytes <= self._way.window:
                    self._room.set()
        finally:
            self._room.set()  # a sender that waits learns it


class Link:
    """Both ways, what went over them, and whether the link is up."""

    def __init__(self, quality: Quality) -> None:
        self.quality = quality
        self.out = Way(quality)
        self.back = Way(quality)
        self.traffic = Traffic()
        self.up = True

    def become(self, quality: Quality) -> None:
        """Another quality, from the next chunk on."""
        self.quality = self.out.quality = self.back.quality = quality
