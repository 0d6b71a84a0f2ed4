"""Where workers say that they are alive, and gateways read it: a few small keys in the queue Redis.

Each heartbeat is `orchard:health:{service}:{instance}` with an expiry, so a dead worker vanishes by
itself; the sorted set `orchard:health` names the instances, so that nobody scans the queue's keys.
"""

from __future__ import annotations

import time

from shared.clients.redis import RedisClient

KEY_PREFIX = "orchard:health"
EXPIRY_SECONDS = 10
FORGET_SECONDS = 60.0  # names of instances are dropped later than their keys: clocks differ a little


class HeartbeatStore:
    """Heartbeats as opaque values, in the queue Redis. Raises `QueueUnavailable` when it fails."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    async def write(self, member: str, value: bytes) -> None:
        """State that `member` ("fetcher:host-1-ab12") lives, for `EXPIRY_SECONDS`. One round trip."""
        now = time.time()
        with self._client.guard():
            async with self._client.raw.pipeline(transaction=False) as pipe:
                pipe.set(f"{KEY_PREFIX}:{member}", value, ex=EXPIRY_SECONDS)
                pipe.zadd(KEY_PREFIX, {member: now})
                pipe.zremrangebyscore(KEY_PREFIX, "-inf", now - FORGET_SECONDS)
                await pipe.execute()

    async def remove(self, member: str) -> None:
        """State that `member` has ended."""
        with self._client.guard():
            async with self._client.raw.pipeline(transaction=False) as pipe:
                pipe.delete(f"{KEY_PREFIX}:{member}")
                pipe.zrem(KEY_PREFIX, member)
                await pipe.execute()

    async def read_all(self) -> list[bytes]:
        """The heartbeats of all that live. Two round trips."""
        with self._client.guard():
            members = await self._client.raw.zrange(KEY_PREFIX, 0, -1)
            if not members:
                return []
            keys = [f"{KEY_PREFIX}:{member.decode()}" for member in members]
            async with self._client.raw.pipeline(transaction=False) as pipe:
                pipe.mget(keys)
                for key in keys:
                    pipe.pttl(key)
                values, *left = await pipe.execute()
        # One that lasts longer than any can was written before Redis's clock went back.
        longest = 1000 * EXPIRY_SECONDS + 1000
        return [value for value, ms in zip(values, left, strict=True) if value is not None and ms <= longest]
