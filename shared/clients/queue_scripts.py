"""The Lua of the queue: each step is one call, so that no step can be seen half done.

All times are Redis's own (TIME, milliseconds): a worker whose clock is wrong loses no lease and
steals none. Only commands of Redis 6.2. The scripts build key names from job ids, hence one Redis
server, not a Redis Cluster. What may be sent twice after a lost connection is idempotent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from redis.exceptions import ResponseError

from shared.clients.redis import RedisClient
from shared.clients.redis_script import Script
from shared.errors import QueueFull, QueueUnavailable

CALL_SECONDS = 0.9  # of any call, waiting for a connection and one retry included


@contextlib.asynccontextmanager
async def bounded(redis: RedisClient) -> AsyncIterator[None]:
    """Raise `QueueUnavailable` instead of waiting longer than `CALL_SECONDS`, `QueueFull` when
    Redis is out of memory."""
    with _named(), redis.guard():
        async with asyncio.timeout(CALL_SECONDS):
            yield


@contextlib.contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except QueueUnavailable as error:
        cause = error.__cause__
        if isinstance(cause, ResponseError) and "OOM" in str(cause):
            raise QueueFull("the queue Redis is out of memory") from cause
        raise


class QueueScript(Script):
    """A script of the queue: `Script` with a deadline over all of it."""

    async def __call__(self, redis: RedisClient, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """The script's answer. Raises `QueueUnavailable` within about a second, `QueueFull`."""
        async with bounded(redis):
            return await self.run(redis, list(keys), list(args))


NOW = """
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = micros / 1000
"""

# A script's first write decides whether Redis refuses it when out of memory. Workers must be able
# to finish jobs then (it is what frees memory), so theirs begins with a write that needs none.
LATCH = """
redis.call('ZREM', KEYS[1], '')
"""

WAKE = """
local function wake(tokens, most)
  if redis.call('LLEN', tokens) < most then redis.call('RPUSH', tokens, '1') end
end
"""

OWNED = """
local function owned(claim, generation)
  local raw = redis.call('GET', claim)
  if not raw then return -1 end
  local ok, held = pcall(cmsgpack.unpack, raw)
  if not ok or type(held) ~= 'table' then return -1 end -- what nobody can read, nobody holds
  if held.generation ~= tonumber(generation) then return 0 end
  return 1
end
"""

# What happened in a queue, in slices of ten seconds that expire: rates are read from them over the whole
# fleet, however many processes came and went. Needs NOW. Call it after a script's first write (see
# LATCH): counting must never be why Redis refuses a script.
COUNT = """
local slice = math.floor(micros / 10000000)
local function count(queue, what, by)
  local key = queue .. ':rates:' .. slice
  -- a field's first count sets the expiry; each later one would only cost time
  if redis.call('HINCRBY', key, what, string.format('%.0f', by)) == by then
    redis.call('PEXPIRE', key, 330000)
  end
end
local function longest(queue, what, micros)
  local key = queue .. ':rates:' .. slice
  if micros > tonumber(redis.call('HGET', key, what) or 0) then
    redis.call('HSET', key, what, string.format('%.0f', micros))
  end
end
"""

# KEYS queue, other queue of the same id or '', job, claim, tokens
# ARGV id, payload, defer ms, limit (0 = none), expiry ms, '1' if it may move over, most tokens
# 1 accepted; 0 the id is there already (coalesced); -1 the queue is full.
ENQUEUE = QueueScript(
    NOW
    + COUNT
    + WAKE
    + """
local id, defer, limit, most = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[7])
local function full()
  if limit == 0 then return false end
  if defer > 0 then return redis.call('ZCARD', KEYS[1]) >= limit end
  return redis.call('ZCOUNT', KEYS[1], '-inf', now) >= limit
end
local function add()
  redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[5])
  redis.call('ZADD', KEYS[1], now + defer, id)
  if defer == 0 then wake(KEYS[5], most) end
end
local score = redis.call('ZSCORE', KEYS[1], id)
if score then
  if defer == 0 and tonumber(score) > now and redis.call('EXISTS', KEYS[4]) == 0 then
    redis.call('ZADD', KEYS[1], now, id) -- it was deferred, and now someone waits for it
    wake(KEYS[5], most)
  end
  return 0
end
if KEYS[2] ~= '' and redis.call('ZSCORE', KEYS[2], id) then
  if ARGV[6] ~= '1' or redis.call('EXISTS', KEYS[4]) == 1 then return 0 end
  if full() then return -1 end
  redis.call('ZREM', KEYS[2], id)
  add()
  return 0
end
if full() then return -1 end
add()
count(KEYS[1], 'enqueued', 1)
return 1
"""
)

# KEYS claim, outcome; ARGV generation, event, outcome's ms, channel
# 1 told; 0 another generation holds the job; -1 no claim is there.
PUBLISH = QueueScript(
    "redis.call('DEL', '')"  # see LATCH
    + OWNED
    + """
local state = owned(KEYS[1], ARGV[1])
if state ~= 1 then return state end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[2])
return 1
"""
)

# KEYS queue and dead-letter list of each queue
# {ready, running, deferred, dead, age of the first ready job in ms}… in that order.
DEPTHS = QueueScript(
    NOW
    + """
local answers = {}
for i = 1, #KEYS, 2 do
  local ready = redis.call('ZCOUNT', KEYS[i], '-inf', now)
  local after = '(' .. string.format('%.17g', now)
  local later = redis.call('ZRANGEBYSCORE', KEYS[i], after, '+inf', 'LIMIT', 0, 5000)
  local running, names = 0, {}
  for j, id in ipairs(later) do
    names[#names + 1] = 'orchard:claim:' .. id
    if #names == 500 or j == #later then
      running = running + redis.call('EXISTS', unpack(names))
      names = {}
    end
  end
  local first, age = redis.call('ZRANGE', KEYS[i], 0, 0, 'WITHSCORES'), 0
  if ready > 0 then age = math.floor(now - tonumber(first[2])) end
  answers[#answers + 1] = {ready, running, redis.call('ZCARD', KEYS[i]) - ready - running,
    redis.call('LLEN', KEYS[i + 1]), age}
end
return answers
"""
)

# KEYS generation
# A generation newer than every claim so far, which no claim gets: a fence against those who run now.
NEW_GENERATION = QueueScript(
    NOW
    + """
local last = tonumber(redis.call('HGET', KEYS[1], 'last') or 0) or 0
if not (last < 2 ^ 52) then last = 0 end
local generation = math.max(last + 1, micros)
redis.call('HSET', KEYS[1], 'last', string.format('%.0f', generation))
return string.format('%.0f', generation)
"""
)
