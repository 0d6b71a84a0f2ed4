"""One client's relay of a download in progress: from the fetcher, its successor, or the object store.

The last piece is held back until the object is stored, its row committed, and the digest of what went
out equals the verified one (ARCHITECTURE.md "a miss"). A range is cut out of the whole, which is hashed
all the same: its last byte waits too. Breaking off means raising: the sender then closes the connection
without a final chunk.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator

import aiohttp

from services.gateway.early_bytes import HELD_BYTES
from services.gateway.live_source import SILENT_SECONDS, TICK_SECONDS, LiveSource, TransferBroken
from shared.errors import OrchardError


class Transfer(LiveSource):
    """One client's relay. Fulfils the port `LiveBody`."""

    async def chunks(self) -> AsyncIterator[bytes]:
        """See the port: its normal end means complete and correct. Raises `TransferBroken`."""
        if self._range:
            async for chunk in self._partial():
                yield chunk
            return
        digest = hashlib.sha256()
        held = b""
        start, end = 0, self._total
        if self._wanted is not None:
            start, end = self._wanted.start, self._wanted.start + self._wanted.length
        position = start  # in the file, of the first byte of `held`
        early = self._relay.gate.early
        async for chunk in self._whole():
            digest.update(chunk)
            received = self._received = self._received + len(chunk)
            if self._total is not None and received > self._total:
                raise TransferBroken("more bytes came than were announced")
            wanted = chunk
            if self._wanted is not None:  # of this chunk, what lies within the range
                before = received - len(chunk)
                wanted = chunk[max(0, start - before) : max(0, start + self._wanted.length - before)]
            held = held + wanted if held else wanted
            ready = self._may_go(received, end) - position
            if ready > 0 and held:
                piece, held = held[:ready], held[ready:]
                position += len(piece)
                early.note(self._job.id, start, position)
                yield piece
        facts = await self._facts()
        if self._total is not None and self._received != self._total:
            raise TransferBroken("fewer bytes came than were announced")
        if facts.size_bytes != self._received or facts.sha256 != digest.hexdigest():
            raise TransferBroken("what was relayed is not what was stored")
        self._relay.gate.check_bytes(facts.sha256)
        early.forget(self._job.id)
        yield held

    def _may_go(self, received: int, end: int | None) -> int:
        """Up to where bytes may go out that are not verified, when so many have come."""
        if self._total is None or end is None:
            return received - min(HELD_BYTES, max(1, received // 2))
        return min(received, end - 1, self._relay.gate.early.limit(self._job.id, self._total))

    async def _whole(self) -> AsyncIterator[bytes]:
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
        """Bytes; b"" at the regular end; None when the state of things changed: look again."""
        response = self._response
        if response is None:
            if not await self._find_source() and self._ended is None:
                raise TransferBroken("no fetcher sends this file any more")
            return None
        silent_since = time.monotonic()
        while self._ended is None:
            try:
                async with asyncio.timeout(TICK_SECONDS):
                    return await response.content.readany()
            except TimeoutError:
                if time.monotonic() - silent_since > SILENT_SECONDS:
                    raise TransferBroken("the download stands still") from None
                if await self._moved():
                    break
            except (aiohttp.ClientError, OSError):
                break
        self._release()
        return None

    async def _partial(self) -> AsyncIterator[bytes]:
        """A range that the fetcher got by an upstream request of its own: passed through."""
        assert self._response is not None
        left = self.size_bytes
        try:
            async for chunk in self._response.content.iter_any():
                if left is not None:
                    left -= len(chunk)
                    if left < 0:
                        raise TransferBroken("more bytes came than were announced")
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise TransferBroken("the range broke off") from error
        if left:
            raise TransferBroken("fewer bytes came than were announced")
