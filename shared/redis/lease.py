"""A lease: what one of all processes does at a time, for as long as it takes."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator

from shared.errors import OrchardError
from shared.redis.client import RedisClient
from shared.redis.script import Script

_TAKE = Script("""
-- KEYS: the lease.  ARGV: whose, milliseconds.  1: it is ours for so long from now on; 0: somebody has it.
-- One that lasts longer than any can is nobody's (`take_mark`).
local left, is_ours = redis.call('PTTL', KEYS[1]), redis.call('GET', KEYS[1]) == ARGV[1]
if not is_ours and left >= 0 and left <= 2 * tonumber(ARGV[2]) + 1000 then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""")

_GIVE_BACK = Script("""
-- KEYS: the lease.  ARGV: whose.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 0
""")

RENEWALS = 3  # while it lasts


@contextlib.asynccontextmanager
async def lease(redis: RedisClient, key: str, seconds: float) -> AsyncIterator[bool]:
    """Whether nobody else has it. If so it is renewed until the block ends, and given back then; of a process
    that dies it ends after `seconds`. While Redis does not answer it may end too: what is done under it must
    bear to be done twice. Raises the role's error where it cannot be asked for."""
    of, keep = [key], [secrets.token_hex(8), str(max(1, int(seconds * 1000)))]
    if not await _TAKE.run(redis, of, keep):
        yield False
        return
    renewing = asyncio.create_task(_renew(redis, of, keep, seconds / RENEWALS))
    try:
        yield True
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        with contextlib.suppress(OrchardError):
            await _GIVE_BACK.run(redis, of, keep[:1])


async def _renew(redis: RedisClient, of: list[str], keep: list[str], pause_seconds: float) -> None:
    while True:
        await asyncio.sleep(pause_seconds)
        with contextlib.suppress(OrchardError):
            await _TAKE.run(redis, of, keep)
