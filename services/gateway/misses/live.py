"""The relay of downloads in progress: fetcher → gateway → client, each client at its own pace.

The bytes come from a reading that clients of one file share (`reading.py`). The last piece is held back until
the object is stored, its row committed, and the digest of what went out equals the verified one
(ARCHITECTURE.md "a cold file"). A range is cut out of the whole, which is hashed all the same: its last byte
waits too. Breaking off means raising: the sender then closes the connection without a final chunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from services.gateway.hits.gate import Gate, may_go
from services.gateway.misses.fetchers import FetcherPool, LiveResponse, SendingBroken
from services.gateway.misses.live_source import (
    SILENT_SECONDS,
    LiveSource,
    ObjectReader,
    Relay,
    StoredFacts,
    TransferBroken,
)
from services.gateway.misses.reading import Reading
from services.gateway.serving.ports import LiveBody, LiveIndex
from shared.errors.passing import UpstreamUnavailable
from shared.http.conditions import ByteRange
from shared.queue.events import Event
from shared.queue.jobs import FetchArtifact, FetchIndex
from shared.queue.listener import EventListener
from shared.queue.producer import JobQueue


class Transfer:
    """One client's part of a reading. Fulfils the port `LiveBody`."""

    path = ""

    def __init__(self, reading: Reading, gate: Gate, job_id: str) -> None:
        self.status = 200
        self.size_bytes: int | None = None
        self.content_range = ""
        self.sha256 = ""
        self._gate = gate
        self._job_id = job_id
        self._wanted: ByteRange | None = None
        self._reading = reading
        reading.join(self)
        self.content_type = reading.content_type
        self.source_headers, self.standing = reading.source_headers, reading.standing

    def begin(self, wanted: ByteRange | None, total: int | None) -> None:
        """Once the reading has begun. `wanted`: a range of a file of `total` bytes."""
        reading = self._reading
        self.content_type, self.source_headers = reading.content_type, reading.source_headers
        self.standing = reading.standing
        self.size_bytes = reading.total
        if wanted is not None and reading.total == total:  # else RFC 9110 §14.2: a Range may be ignored
            self._wanted = wanted
            self.status, self.size_bytes = 206, wanted.length
            self.content_range = _content_range(wanted, total)

    async def chunks(self) -> AsyncIterator[bytes]:
        """See the port: its normal end means complete and correct. Raises `TransferBroken`."""
        early, total = self._gate.early, self._reading.total
        start, end = 0, total
        if self._wanted is not None:
            start, end = self._wanted.start, self._wanted.start + self._wanted.length
        held = b""
        position = start  # in the file, of the first byte of `held`
        received = 0
        while data := await self._next():
            before, received = received, received + len(data)
            if self._wanted is not None:  # of this piece, what lies within the range
                data = data[max(0, start - before) : max(0, start + self._wanted.length - before)]
            held = held + data if held else data
            ready = self._may_go(received, end, total) - position
            if ready > 0 and held:
                piece, held = held[:ready], held[ready:]
                position += len(piece)
                early.note(self._job_id, start, position)
                yield piece
        facts = self._reading.facts
        assert facts is not None
        self._gate.check_bytes(facts.sha256)
        self.sha256 = facts.sha256
        early.forget(self._job_id)
        yield held

    async def _next(self) -> bytes:
        while (data := await self._reading.next(self)) is None:
            left, self._reading = self._reading, self._reading.own(self)
            await left.leave(self)
        return data

    def _may_go(self, received: int, end: int | None, total: int | None) -> int:
        """The offset up to which unverified bytes may go out when `received` have come."""
        if total is None or end is None:
            return may_go(received)
        return min(received, end - 1, self._gate.early.limit(self._job_id, total))

    async def aclose(self) -> None:
        """Leave the reading. May be repeated."""
        await self._reading.leave(self)


class PassedOn(LiveSource):
    """A range that the fetcher gets by an upstream request of its own, unverified. Fulfils `LiveBody`."""

    path = ""
    sha256 = ""

    def __init__(self, relay: Relay, job: FetchArtifact, event: Event, wanted: ByteRange) -> None:
        last = wanted.start + wanted.length - 1
        super().__init__(relay, job, event, byte_range=b"bytes=%d-%d" % (wanted.start, last))
        self.size_bytes: int | None = wanted.length
        self._expected = _content_range(wanted, event.size_bytes)

    async def connect(self) -> bool:
        """See `LiveSource`. The fetcher may refuse, and send the whole: see `status`."""
        connected = await super().connect()
        if connected and self.status == 206 and self.content_range != self._expected:
            raise UpstreamUnavailable(f"a fetcher sent another part of {self._job.filename} than asked")
        return connected

    async def chunks(self) -> AsyncIterator[bytes]:
        """See the port. Raises `TransferBroken`."""
        assert self._response is not None
        left = self.size_bytes or 0
        try:
            while chunk := await self._response.read():
                left -= len(chunk)
                if left < 0:
                    raise TransferBroken("more bytes came than were announced")
                yield chunk
        except SendingBroken as error:
            raise TransferBroken("the range broke off") from error
        if left:
            raise TransferBroken("fewer bytes came than were announced")


class RelayedIndex:
    """An index that its fetcher reads just now, for one client; no other fetcher goes on with it. Fulfils
    `LiveIndex`."""

    path = ""

    def __init__(self, response: LiveResponse) -> None:
        self._response = response
        self.variant = response.headers.get("x-orchard-variant", "")
        self.content_type = response.headers.get("content-type", "")

    async def chunks(self) -> AsyncIterator[bytes]:
        """See the port: its fetcher ends it well only once the whole is an index. Raises `TransferBroken`."""
        try:
            while True:
                async with asyncio.timeout(SILENT_SECONDS):
                    piece = await self._response.read()
                if not piece:
                    return
                yield piece
        except (SendingBroken, TimeoutError) as error:
            raise TransferBroken("the index broke off") from error

    async def aclose(self) -> None:
        """Read no more. May be repeated."""
        self._response.close()


class LiveRelay:
    """Fulfils the port `Live`."""

    def __init__(
        self,
        *,
        fetchers: FetcherPool,
        queue: JobQueue,
        listener: EventListener,
        facts: StoredFacts,
        objects: ObjectReader,
        gate: Gate,
    ) -> None:
        self.fetchers = fetchers
        self.queue = queue
        self.listener = listener
        self.facts = facts
        self.objects = objects
        self.gate = gate
        self.readings: dict[str, Reading] = {}  # by job: the one that newcomers join
        self.held_bytes = 0  # in memory, of all readings

    async def open(
        self, job: FetchArtifact, event: Event, *, wanted: ByteRange | None = None, promised: str = ""
    ) -> LiveBody | None:
        """See the port. Raises the job's error when it failed meanwhile."""
        if wanted is not None and self.gate.may_pass_on(job.id, wanted, event.size_bytes, promised):
            part = PassedOn(self, job, event, wanted)
            connected = False
            try:
                connected = await part.connect()
                if connected and part.status == 206:
                    return part
            finally:
                if not connected or part.status != 206:
                    await part.aclose()
            if not connected:
                return None
        reading = self.readings.get(job.id)
        if reading is None or not reading.has_all:
            reading = self.readings[job.id] = Reading(self, job, event)
        transfer = Transfer(reading, self.gate, job.id)
        begun = False
        try:
            begun = await reading.begun()
        finally:
            if not begun:
                await transfer.aclose()
        if not begun:
            return None
        transfer.begin(wanted, event.size_bytes)
        return transfer

    async def open_index(self, job: FetchIndex, event: Event, variants: Sequence[str]) -> LiveIndex | None:
        """See the port."""
        response = await self.fetchers.request(event.address, event.token, job.id, 0, b"")
        if response is None:
            return None
        body = RelayedIndex(response)
        if body.variant in variants:
            return body
        await body.aclose()
        return None


def _content_range(wanted: ByteRange, total: int | None) -> str:
    return f"bytes {wanted.start}-{wanted.start + wanted.length - 1}/{total}"
