"""Marks that one of all processes may set for a time: the right to probe, to sweep, to ask again."""

from __future__ import annotations

from shared.clients.redis import RedisClient
from shared.clients.redis_script import Script

_TAKE = Script("""
-- KEYS: the mark.  ARGV: milliseconds to keep it.  1: it is ours; 0: somebody has it.
-- A mark that lasts longer than any can (without expiry, or set before the clock went back) is nobody's.
local left, keep = redis.call('PTTL', KEYS[1]), tonumber(ARGV[1])
if left >= 0 and left <= 2 * keep + 1000 then return 0 end
redis.call('SET', KEYS[1], '1', 'PX', keep)
return 1
""")


async def take_mark(redis: RedisClient, key: str, seconds: float) -> bool:
    """Whether the mark is ours for `seconds`. Raises the role's error. (If the reply is lost with its
    connection, the retry says no although it is ours: nobody has the right until it runs out.)"""
    return bool(await _TAKE.run(redis, [key], [max(1, int(seconds * 1000))]))


async def mark_stands(redis: RedisClient, key: str, seconds: float) -> bool:
    """Whether a mark that is kept for `seconds` is set. Raises the role's error."""
    with redis.guard():
        return 0 <= int(await redis.raw.pttl(key)) <= 2 * seconds * 1000 + 1000
