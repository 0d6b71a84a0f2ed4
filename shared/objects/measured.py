"""What is stored, as housekeeping counts it each hour: the newest first, in the queue Redis.

Lost with that Redis, the next count begins a new history.
"""

from __future__ import annotations

from typing import Final

import msgspec

from shared.redis.client import RedisClient

KEY: Final = "orchard:stored"
KEPT: Final = 24 * 32  # counts, an hour apart: a month


class Amount(msgspec.Struct, frozen=True):
    """Objects of one folder of the store."""

    objects: int = 0
    bytes: int = 0


class Measured(msgspec.Struct, frozen=True, omit_defaults=True):
    """One count. `folders`: by folder of the store; `disk_free_bytes`: -1 where objects are in a bucket."""

    at: float  # unix seconds
    folders: dict[str, Amount]
    database_bytes: int = 0
    disk_free_bytes: int = -1

    @property
    def object_bytes(self) -> int:
        """Of all folders."""
        return sum(each.bytes for each in self.folders.values())


_decode = msgspec.json.Decoder(Measured).decode


async def keep_measured(redis: RedisClient, found: Measured) -> None:
    """Raises `QueueUnavailable`."""
    with redis.guard():
        async with redis.raw.pipeline(transaction=False) as pipe:
            pipe.lpush(KEY, msgspec.json.encode(found))
            pipe.ltrim(KEY, 0, KEPT - 1)
            await pipe.execute()


async def read_measured(redis: RedisClient, count: int = KEPT) -> list[Measured]:
    """The last counts, the newest first; those that another version wrote otherwise are left out. Raises
    `QueueUnavailable`."""
    found = []
    for each in await redis.command("LRANGE", KEY, 0, count - 1):
        try:
            found.append(_decode(each))
        except msgspec.MsgspecError:
            continue
    return found


def growth_bytes_per_day(history: list[Measured]) -> float | None:
    """How fast objects and database grow, over a week at most; None before six hours can tell it."""
    if not history:
        return None
    newest = history[0]
    oldest = next((each for each in reversed(history) if newest.at - each.at <= 7 * 86_400.0), newest)
    seconds = newest.at - oldest.at
    if seconds < 6 * 3600.0:
        return None
    grown = newest.object_bytes + newest.database_bytes - oldest.object_bytes - oldest.database_bytes
    return grown * 86_400.0 / seconds
