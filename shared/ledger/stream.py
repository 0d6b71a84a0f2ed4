"""Where batches wait between gateways and extractors: a stream of the queue Redis, bounded in bytes.

At least once: an entry is read, kept, and only then removed. A batch may so be read twice, and may lie there
twice (a put whose answer was lost is repeated); whoever keeps it tells by its number (`Batch`).
"""

from __future__ import annotations

from typing import Final

import msgspec

from shared.redis.client import RedisClient
from shared.redis.script import Script

STREAM: Final = "orchard:servings"
BYTES: Final = "orchard:servings:bytes"  # of the entries that wait
DROPPED: Final = "orchard:servings:dropped"  # servings that gateways had to drop, since this Redis began
MOST_BYTES: Final = 64 * 1024 * 1024
"""Of waiting batches. The queue Redis evicts nothing: what grew without a bound would end every job."""

AT_ONCE: Final = 16  # entries of one read: they pass a slow link within the deadline

_PUT = Script("""
-- KEYS: the stream, its bytes, the dropped.  ARGV: a batch, most bytes, servings dropped before it.
-- 1: it is there; 0: no room.
local waiting = tonumber(redis.call('GET', KEYS[2]) or '0')
if waiting > 0 and waiting + #ARGV[1] > tonumber(ARGV[2]) then
  if redis.call('XLEN', KEYS[1]) > 0 then return 0 end
  redis.call('DEL', KEYS[2])
end
redis.call('XADD', KEYS[1], '*', 'batch', ARGV[1])
redis.call('INCRBY', KEYS[2], #ARGV[1])
if ARGV[3] ~= '0' then redis.call('INCRBY', KEYS[3], ARGV[3]) end
return 1
""")

_REMOVE = Script("""
-- KEYS: the stream, its bytes.  ARGV: id and size of each entry to remove.
for i = 1, #ARGV, 2 do
  if redis.call('XDEL', KEYS[1], ARGV[i]) == 1 then redis.call('DECRBY', KEYS[2], ARGV[i + 1]) end
end
if redis.call('XLEN', KEYS[1]) == 0 then redis.call('DEL', KEYS[2]) end
return 1
""")

_STATE = Script("""
-- KEYS: the stream, the dropped.  {entries, milliseconds that the oldest waits, dropped}
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local age = 0
if first then
  local now = redis.call('TIME')
  age = now[1] * 1000 + math.floor(now[2] / 1000) - tonumber(string.match(first[1], '^%d+'))
end
return {redis.call('XLEN', KEYS[1]), math.max(0, age), tonumber(redis.call('GET', KEYS[2]) or '0')}
""")


class Waiting(msgspec.Struct, frozen=True):
    """The state of the stream."""

    batches: int
    lag_seconds: float  # how long the oldest batch has waited
    dropped: int  # servings lost for want of room


async def put_batch(
    redis: RedisClient, data: bytes, *, dropped: int = 0, most_bytes: int = MOST_BYTES
) -> bool:
    """Whether there was room. Raises `QueueUnavailable`: it may be there all the same."""
    return bool(await _PUT.run(redis, [STREAM, BYTES, DROPPED], [data, most_bytes, dropped]))


async def read_batches(redis: RedisClient, after: bytes = b"") -> list[tuple[bytes, bytes]]:
    """The oldest batches after the entry `after`, in order, with their ids; [] at the end. Raises
    `QueueUnavailable`."""
    start = b"(" + after if after else b"-"
    with redis.guard():
        found = await redis.raw.xrange(STREAM, min=start, max="+", count=AT_ONCE)
    return [(entry, fields.get(b"batch", b"")) for entry, fields in found]


async def remove_batch(redis: RedisClient, entry: bytes, size_bytes: int) -> None:
    """It is kept, or of no use. Raises `QueueUnavailable`."""
    await _REMOVE.run(redis, [STREAM, BYTES], [entry, size_bytes])


async def remove_all(redis: RedisClient) -> None:
    """Raises `QueueUnavailable`."""
    with redis.guard():
        await redis.raw.delete(STREAM, BYTES)


async def read_waiting(redis: RedisClient) -> Waiting:
    """Raises `QueueUnavailable`."""
    batches, milliseconds, dropped = await _STATE.run(redis, [STREAM, DROPPED], [])
    return Waiting(batches, milliseconds / 1000, dropped)
