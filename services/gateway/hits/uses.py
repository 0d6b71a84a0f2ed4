"""Which files were used, reported once a day and file to the queue Redis: eviction goes by it."""

from __future__ import annotations

import time

from shared.artifacts.uses import report_uses
from shared.errors.passing import QueueUnavailable
from shared.objects.port import ARTIFACTS
from shared.process.periodic import Every
from shared.redis.client import RedisClient

FLUSH_SECONDS = 60.0
MOST_REMEMBERED = 500_000  # 32-byte digests; past it some files are reported twice a day
_DAY = 86_400
_PREFIX = f"{ARTIFACTS}/"


class UseLog:
    """The uses that one gateway saw. `open` starts reporting, `aclose` reports the rest."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._day = 0
        self._reported: set[str] = set()
        self._waiting: dict[bytes, float] = {}
        self._flushes = Every(FLUSH_SECONDS, self.flush, name="artifact uses")

    async def open(self) -> None:
        """Start."""
        await self._flushes.open()

    async def aclose(self) -> None:
        """Report what was not reported yet."""
        await self._flushes.aclose()
        await self.flush()

    def note(self, key: str) -> None:
        """The object `key` is being served. No I/O."""
        if key in self._reported:
            return
        if key.startswith(_PREFIX):
            self._waiting[bytes.fromhex(key[len(_PREFIX) :])] = time.time()
        self._reported.add(key)

    async def flush(self) -> None:
        """Report now; if Redis is away, the next time."""
        today = int(time.time()) // _DAY
        if today != self._day or len(self._reported) > MOST_REMEMBERED:
            self._day = today
            self._reported.clear()
        uses, self._waiting = self._waiting, {}
        try:
            await report_uses(self._redis, uses)
        except QueueUnavailable:
            self._waiting = uses | self._waiting
