"""Lua scripts by their hash: one round trip, and no loading at start-up.

The smallest of them sets marks that one of all processes may have for a time: the right to probe, to sweep,
to ask again.
"""

from __future__ import annotations

import hashlib
from typing import Any

from redis.exceptions import NoScriptError

from shared.redis.client import RedisClient


class Script:
    """One Lua script, called by its hash; sent whole only when Redis does not know it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, redis: RedisClient, keys: list[str], args: list[Any]) -> Any:
        """The script's reply. Raises the client's error."""
        with redis.guard():
            return await self.submit(redis, keys, args)

    async def submit(self, redis: RedisClient, keys: list[str], args: list[Any]) -> Any:
        """The same within a guard of the caller's."""
        try:
            return await redis.submit("EVALSHA", self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return await redis.submit("EVAL", self.text, len(keys), *keys, *args)


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
    return 0 <= int(await redis.command("PTTL", key)) <= 2 * seconds * 1000 + 1000
