"""Which files were asked for, told once a day and file to the queue Redis: what eviction goes by."""

from __future__ import annotations

import asyncio
import time

from shared.artifact_uses import tell_uses
from shared.clients.object_port import ARTIFACTS
from shared.clients.redis import RedisClient
from shared.errors import QueueUnavailable

FLUSH_SECONDS = 60.0
MOST_REMEMBERED = 500_000  # 32-byte digests; past it some files are told twice a day
_DAY = 86_400
_PREFIX = f"{ARTIFACTS}/"


class UseLog:
    """Of one gateway. `open` starts the telling, `aclose` tells the rest."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._day = 0
        self._told: set[str] = set()
        self._waiting: dict[bytes, float] = {}
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start."""
        self._task = asyncio.create_task(self._run(), name="artifact uses")

    async def aclose(self) -> None:
        """Tell what was not told yet."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()

    def note(self, key: str) -> None:
        """The object `key` is being served. No I/O."""
        if key in self._told:
            return
        if key.startswith(_PREFIX):
            self._waiting[bytes.fromhex(key[len(_PREFIX) :])] = time.time()
        self._told.add(key)

    async def flush(self) -> None:
        """Tell now; a Redis that is away is told the next time."""
        today = int(time.time()) // _DAY
        if today != self._day or len(self._told) > MOST_REMEMBERED:
            self._day = today
            self._told.clear()
        uses, self._waiting = self._waiting, {}
        try:
            await tell_uses(self._redis, uses)
        except QueueUnavailable:
            self._waiting = uses | self._waiting

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()
