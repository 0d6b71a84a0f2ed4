"""One reading of a download for all clients of a gateway that want it: read once, hashed once.

The bytes come from the fetcher, its successor, or the object store, each after the other, and are hashed in
that order; whether the digest is the stored file's is found out once, at the end. What was read lately is
held in memory for those who follow. The fastest of them sets the pace: nothing is read ahead of it. One who
falls out of the memory goes on with a reading of its own, from its byte on and with the digest up to there:
it holds up nobody, and what it sends is hashed as a whole all the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Hashable
from typing import Any, NamedTuple, Protocol

from services.gateway.misses.fetchers import SendingBroken
from services.gateway.misses.live_source import (
    SILENT_SECONDS,
    TICK_SECONDS,
    LiveSource,
    Relay,
    TransferBroken,
)
from shared.errors import OrchardError
from shared.models import StoredFile
from shared.queue.events import Event
from shared.queue.jobs import FetchArtifact

HELD_EACH_BYTES = 1024 * 1024
"""Of one download; a file up to this is read once, whenever its clients come."""

HELD_IN_ALL_BYTES = 64 * 1024 * 1024
"""Of all downloads of a gateway, beside the last piece of each."""

Follower = Hashable


class SharedRelay(Relay, Protocol):
    """What readings share of a gateway: `LiveRelay`."""

    readings: dict[str, Reading]
    held_bytes: int


class _Piece(NamedTuple):
    data: bytes
    before: Any  # the digest of all that stands before it


class Reading(LiveSource):
    """The bytes of one download, in pieces. `join` before use, `leave` after it; the last who leaves closes
    it."""

    def __init__(
        self, relay: SharedRelay, job: FetchArtifact, event: Event, *, offset: int = 0, digest: Any = None
    ) -> None:
        """From `offset` on, where `digest` is that of all before it."""
        super().__init__(relay, job, event, offset=offset)
        self._shared = relay
        self.facts: StoredFile | None = None  # of the stored file, once all bytes were found to be its
        self._event = event
        self._digest = digest if digest is not None else hashlib.sha256()
        self._pieces: dict[int, _Piece] = {}  # by their offset, in order
        self._first = offset  # offset of the first byte that is held, or else comes next
        self._held = 0
        self._at: dict[Follower, int] = {}  # the offset that each takes next
        self._behind: dict[Follower, tuple[int, Any]] = {}  # who fell out of the memory: where, digest so far
        self._bytes = self._whole()
        self._connecting: asyncio.Task[bool] | None = None
        self._step: asyncio.Task[None] | None = None  # the next piece, which all may be waiting for
        self._failure: Exception | None = None

    # --- who follows --------------------------------------------------------------------------------

    @property
    def has_all(self) -> bool:
        """Whether a newcomer can be given it from the file's first byte on."""
        return self._first == 0 and self._failure is None and not self._closed

    def join(self, follower: Follower) -> None:
        """Follow from the first byte that is held."""
        self._at[follower] = self._first

    async def leave(self, follower: Follower) -> None:
        """Follow no more. May be repeated."""
        self._at.pop(follower, None)
        self._behind.pop(follower, None)
        if self._at or self._closed:
            return
        if self._shared.readings.get(self._job.id) is self:
            del self._shared.readings[self._job.id]
        while self._pieces:
            self._drop_oldest()
        running = [each for each in (self._connecting, self._step) if each is not None]
        for task in running:
            task.cancel()
        await self.aclose()
        await asyncio.gather(*running, return_exceptions=True)
        await self._bytes.aclose()
        self._release()  # of what was asked for just then

    async def begun(self) -> bool:
        """`connect`, once for all who follow. False, and errors, as there."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self.connect())
        return await asyncio.shield(self._connecting)

    async def next(self, follower: Follower) -> bytes | None:
        """What comes next for a follower; b"" at the end, once all of it was verified. None: it fell behind,
        see `own`. Raises `TransferBroken`."""
        while follower not in self._behind:
            at = self._at[follower]
            piece = self._pieces.get(at)
            if piece is not None:
                self._at[follower] = at + len(piece.data)
                if at == self._first:
                    self._forget()
                return piece.data
            if self.facts is not None:
                return b""
            failure = self._failure
            if isinstance(failure, TransferBroken):
                raise TransferBroken(str(failure), failure.cause)
            if failure is not None:
                raise failure
            if self._step is None or self._step.done():
                self._step = asyncio.create_task(self._read())
            await asyncio.shield(self._step)
        return None

    def own(self, follower: Follower) -> Reading:
        """A reading for one that fell behind, from where it is; joined. It is still to leave this one."""
        offset, digest = self._behind[follower]
        own = Reading(self._shared, self._job, self._event, offset=offset, digest=digest)
        own.total = self.total
        own.join(follower)
        return own

    # --- reading ------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Add one piece, or the verdict. Errors are for all who follow, now and later."""
        try:
            data = await anext(self._bytes, b"")
            if not data:
                self.facts = await self._verdict()
                return
        except Exception as error:
            self._failure = error
            return
        if self.total is not None and self._received + len(data) > self.total:
            self._failure = TransferBroken("more bytes came than were announced")
            return
        self._pieces[self._received] = _Piece(data, self._digest.copy())
        self._digest.update(data)
        self._received += len(data)
        self._held += len(data)
        self._shared.held_bytes += len(data)
        self._forget()

    async def _verdict(self) -> StoredFile:
        """The stored file's facts, if it is what was read. Raises `TransferBroken`."""
        facts = await self._facts()
        if self.total is not None and self._received != self.total:
            raise TransferBroken("fewer bytes came than were announced")
        if facts.size_bytes != self._received or facts.sha256 != self._digest.hexdigest():
            raise TransferBroken("what was relayed is not what was stored")
        return facts

    # --- what is held -------------------------------------------------------------------------------

    def _forget(self) -> None:
        """Drop what is too much, and, once a newcomer cannot have the beginning, what everybody has."""
        while len(self._pieces) > 1 and (
            self._held > HELD_EACH_BYTES
            or self._shared.held_bytes > HELD_IN_ALL_BYTES
            or 0 < self._first < min(self._at.values(), default=0)
        ):
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        offset, piece = next(iter(self._pieces.items()))
        del self._pieces[offset]
        for follower in [each for each, at in self._at.items() if at == offset]:
            self._behind[follower] = self._at.pop(follower), piece.before
        self._first = offset + len(piece.data)
        self._held -= len(piece.data)
        self._shared.held_bytes -= len(piece.data)

    # --- where the bytes come from ------------------------------------------------------------------

    async def _whole(self) -> AsyncGenerator[bytes, None]:
        """All bytes from the fetcher, its successor, or the object store once sealed."""
        while True:
            if self._ended is not None:
                facts = await self._facts()
                if self._received < facts.size_bytes:
                    try:
                        stream = self._relay.objects.open_stream(
                            facts.object_key, self._received, facts.size_bytes
                        )
                        async for chunk in stream:
                            yield chunk
                    except OrchardError as error:
                        raise TransferBroken(error.message) from error
                return
            arrived = await self._next_chunk()
            if arrived:
                yield arrived
            elif arrived is not None:
                await self._wait_for_end()

    async def _next_chunk(self) -> bytes | None:
        """Bytes; b"" at the regular end; None when the source changed: ask again."""
        response = self._response
        if response is None:
            if not await self._find_source() and self._ended is None:
                raise TransferBroken("no fetcher sends this file any more")
            return None
        silent_since = time.monotonic()
        while self._ended is None:
            try:
                async with asyncio.timeout(TICK_SECONDS):
                    return await response.read()
            except TimeoutError:
                if time.monotonic() - silent_since > SILENT_SECONDS:
                    raise TransferBroken("the download stands still") from None
                if await self._moved():
                    break
            except SendingBroken:
                break
        self._release()
        return None
