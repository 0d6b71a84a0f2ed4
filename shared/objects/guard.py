"""The lock between putting an object and sweeping it, per object, in the queue Redis.

The sweeper deletes objects that are old and have no reference. Without a lock it could check an old orphan,
then a fetcher puts the same bytes again and commits a row, and then the object is deleted. So a put sets a
mark and checks the sweeper's; the sweeper sets its mark and checks the put's. One of them sees the other:
the put waits, or the sweeper skips the object.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from shared.errors.passing import QueueUnavailable, StoreUnavailable
from shared.objects.metrics import MeasuredStore
from shared.objects.port import GrowingPut, ObjectStore
from shared.redis.client import RedisClient
from shared.redis.script import mark_stands, take_mark

PUT_SECONDS = 900  # a put's mark; past it, an object that is there says by its age that it was put
SWEEP_SECONDS = 60  # a sweeper's mark: longer than look and deletion can take (each is bounded)
_POLL_SECONDS = 0.05


class GuardedStore(MeasuredStore):
    """An `ObjectStore` that is counted, and whose puts wait for a sweeper that is at the same object."""

    def __init__(self, store: ObjectStore, redis: RedisClient) -> None:
        super().__init__(store)
        self._redis = redis

    async def put_file(self, key: str, path: Path, *, sha256: str) -> None:
        """See `ObjectStore`."""
        await self._guarded(key, partial(super().put_file, key, path, sha256=sha256))

    async def finish_put(self, put: GrowingPut, key: str, path: Path, *, sha256: str) -> None:
        """See `ObjectStore`. Before it nothing is visible, so nobody could sweep it."""
        await self._guarded(key, partial(super().finish_put, put, key, path, sha256=sha256))

    async def put_bytes(self, key: str, data: bytes) -> None:
        """See `ObjectStore`."""
        await self._guarded(key, partial(super().put_bytes, key, data))

    async def _guarded(self, key: str, put: Callable[[], Awaitable[None]]) -> None:
        # Beside the put, so that it costs no time: if a sweeper was there, the object is put once more.
        marking = asyncio.ensure_future(self._mark(key))
        try:
            await put()
        finally:
            swept = await marking
        if swept:
            await self._until_swept(key)
            await put()

    async def _mark(self, key: str) -> bool:
        """Whether a sweeper is at this object. Without the queue Redis no sweeper can begin."""
        try:
            with self._redis.guard():
                async with self._redis.raw.pipeline(transaction=True) as pipe:
                    pipe.set(_put_mark(key), b"1", ex=PUT_SECONDS)
                    pipe.exists(_sweep_mark(key))
                    return bool((await pipe.execute())[1])
        except QueueUnavailable:
            return False

    async def _until_swept(self, key: str) -> None:
        deadline = time.monotonic() + SWEEP_SECONDS + 1
        while time.monotonic() < deadline:
            try:
                if not await mark_stands(self._redis, _sweep_mark(key), SWEEP_SECONDS):
                    return
            except QueueUnavailable:
                pass  # the mark ends by itself
            await asyncio.sleep(_POLL_SECONDS)
        raise StoreUnavailable(f"object {key} is being swept")


@asynccontextmanager
async def sweeping(redis: RedisClient, key: str) -> AsyncIterator[bool]:
    """For the sweeper: True if nobody is writing this object, nor can begin without seeing our mark.

    Raises `QueueUnavailable`.
    """
    mine = await take_mark(redis, _sweep_mark(key), SWEEP_SECONDS)
    with redis.guard():
        being_put = await redis.raw.exists(_put_mark(key))  # after ours: see above
    try:
        yield bool(mine) and not being_put
    finally:
        if mine:
            with redis.guard():
                await redis.raw.delete(_sweep_mark(key))


def _put_mark(key: str) -> str:
    return f"orchard:put:{key}"


def _sweep_mark(key: str) -> str:
    return f"orchard:sweep:{key}"
