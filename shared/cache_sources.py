"""What all processes know together about upstream sources: revision, breakers, who may probe."""

from __future__ import annotations

import time

from shared.cache_codec import decode_breaker, decode_revision, encode
from shared.cache_keys import Category, breaker_key, probe_key, revision_key
from shared.cache_scripts import RAISE_REVISION
from shared.cache_values import CacheValues
from shared.models import BreakerState

BREAKER_KEPT_SECONDS = 600  # after `until`: long enough for someone to probe


class SourceStates(CacheValues):
    """Part of `CacheService`. Losing any of it (eviction) costs a question to the upstream, no more."""

    async def read_revision(self, protocol: str) -> int:
        """Revision of the protocol's sources; 0 = unknown."""
        return decode_revision((await self._redis.get_many([revision_key(protocol)]))[0] or b"0") or 0

    async def raise_revision(self, protocol: str, revision: int) -> None:
        """Make the revision at least this; pages of older ones become misses everywhere."""
        keep = self.ttls[Category.UPSTREAM_SOURCES] or 3600
        await RAISE_REVISION.run(self._redis, [revision_key(protocol)], [revision, keep])

    async def read_breaker(self, protocol: str, source_id: int) -> BreakerState | None:
        """Why this source is not asked now; None when it is well."""
        key = breaker_key(protocol, source_id)
        return self._decoded(key, (await self._reader.get_many([key]))[0], decode_breaker)

    async def write_breaker(self, protocol: str, breaker: BreakerState) -> None:
        """Tell all processes. Kept for some minutes after `until`, then forgotten."""
        keep = max(0, int(breaker.until - time.time())) + BREAKER_KEPT_SECONDS
        with self._redis.guard():
            key = breaker_key(protocol, breaker.source_id)
            await self._redis.raw.set(key, encode(breaker), ex=keep)

    async def clear_breaker(self, protocol: str, source_id: int) -> None:
        """The source is well again."""
        with self._redis.guard():
            keys = (breaker_key(protocol, source_id), probe_key(protocol, source_id))
            await self._redis.raw.unlink(*keys)

    async def try_probe(self, protocol: str, source_id: int, ttl: float) -> bool:
        """Whether the caller may probe: one of all processes in `ttl` seconds.

        (If the reply is lost with its connection, the retry says no although the right was ours:
        nobody probes until it runs out.)
        """
        with self._redis.guard():
            key = probe_key(protocol, source_id)
            return bool(await self._redis.raw.set(key, b"1", nx=True, px=max(1, int(ttl * 1000))))
