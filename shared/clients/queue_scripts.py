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


_NOW = """
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = micros / 1000
"""

# A script's first write decides whether Redis refuses it when out of memory. Workers must be able
# to finish jobs then (it is what frees memory), so theirs begins with a write that needs none.
_LATCH = """
redis.call('ZREM', KEYS[1], '')
"""

_WAKE = """
local function wake(tokens, most)
  if redis.call('LLEN', tokens) < most then redis.call('RPUSH', tokens, '1') end
end
"""

# KEYS queue, other queue of the same id or '', job, claim, tokens
# ARGV id, payload, defer ms, limit (0 = none), expiry ms, '1' if it may move over, most tokens
# 1 accepted; 0 the id is there already (coalesced); -1 the queue is full.
ENQUEUE = QueueScript(
    _NOW
    + _WAKE
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
return 1
"""
)

# KEYS queue, tokens, generation
# ARGV most jobs, lease ms, address, seed of tokens, grace ms, unknown's delay ms, tries' expiry ms,
#      '1' when a token may be left over, then "tag:format" of each kind this worker knows
# {ms until the next job is due or -1, epoch, {id, payload, generation, token, tries}…, {unknown}…}
# A job of an unknown kind is passed over for the grace (workers that know it poll within that),
# then moved back by the delay, so that it does not stand in the way of others.
CLAIM = QueueScript(
    _NOW
    + """
local most, lease = tonumber(ARGV[1]), tonumber(ARGV[2])
local grace, delay = tonumber(ARGV[5]), tonumber(ARGV[6])
local known, claimed, unknown, wait, skipped = nil, {}, {}, -1, 0
local last, epoch

local function prepare()
  redis.call('ZREM', KEYS[1], '') -- see _LATCH
  known = {}
  for i = 9, #ARGV do known[ARGV[i]] = true end
  local state = redis.call('HMGET', KEYS[3], 'epoch', 'last')
  epoch, last = state[1], tonumber(state[2] or 0)
  if not epoch then
    epoch = string.format('%.0f', micros)
    redis.call('HSET', KEYS[3], 'epoch', epoch)
  end
end

local function kind(payload)
  local good, job = pcall(cmsgpack.unpack, payload)
  if not good or type(job) ~= 'table' or type(job.a) ~= 'table' then return '?' end
  return tostring(job.f) .. ':' .. tostring(job.a[1])
end

local function take(id, score)
  local payload = redis.call('GET', 'arq:job:' .. id)
  if not payload then
    redis.call('ZREM', KEYS[1], id) -- expired, or finished under the other queue
    return
  end
  local name = kind(payload)
  if not known[name] then
    unknown[#unknown + 1] = {id, name}
    if score < now - grace then
      redis.call('ZADD', KEYS[1], now + delay, id)
    else
      skipped = skipped + 1
    end
    return
  end
  local claim = 'orchard:claim:' .. id
  local left = redis.call('PTTL', claim)
  if left > 0 then
    redis.call('ZADD', KEYS[1], now + left, id) -- it runs already, taken from the other queue
    return
  end
  local generation = math.max(last + 1, micros)
  last = generation
  local token = redis.sha1hex(ARGV[4] .. id)
  redis.call('SET', claim,
    cmsgpack.pack({generation = generation, address = ARGV[3], token = token}), 'PX', lease)
  redis.call('ZADD', KEYS[1], now + lease, id)
  local tries = redis.call('INCR', 'arq:retry:' .. id)
  if tries == 1 then redis.call('PEXPIRE', 'arq:retry:' .. id, ARGV[7]) end
  claimed[#claimed + 1] = {id, payload, generation, token, tries}
end

local looking, pages = true, 0
while looking and #claimed < most and pages < 8 do
  pages = pages + 1
  local page = redis.call('ZRANGE', KEYS[1], skipped, skipped + most - #claimed - 1, 'WITHSCORES')
  if #page == 0 then looking = false end
  for i = 1, #page, 2 do
    local score = tonumber(page[i + 1])
    if score > now then
      wait = math.ceil(score - now)
      looking = false
      break
    end
    if not known then prepare() end
    take(page[i], score)
  end
end
if #claimed > 0 then redis.call('HSET', KEYS[3], 'last', string.format('%.0f', last)) end
if not known and ARGV[8] == '1' then redis.call('DEL', KEYS[2]) end
return {wait, epoch or '', claimed, unknown}
"""
)

_OWNED = """
local function owned(claim, generation)
  local raw = redis.call('GET', claim)
  if not raw then return -1 end
  if cmsgpack.unpack(raw).generation ~= tonumber(generation) then return 0 end
  return 1
end
"""

# KEYS queue; ARGV lease ms, then id and generation of each running job
# For each job: 1 extended; 0 another generation holds it; -1 no claim is there.
RENEW = QueueScript(
    _LATCH
    + _NOW
    + _OWNED
    + """
local answers = {}
for i = 2, #ARGV, 2 do
  local state = owned('orchard:claim:' .. ARGV[i], ARGV[i + 1])
  if state == 1 then
    redis.call('PEXPIRE', 'orchard:claim:' .. ARGV[i], ARGV[1])
    redis.call('ZADD', KEYS[1], 'XX', now + ARGV[1], ARGV[i])
  end
  answers[#answers + 1] = state
end
return answers
"""
)

# KEYS queue, job, claim, tries, generation
# ARGV id, generation, address, token, tries, epoch, payload, lease ms, job expiry ms, tries' expiry ms
# {1, epoch} the claim stands again under its old generation; {0, ''} it is lost.
# A claim that is gone may be set again if nobody claimed since: either the job is still queued and
# its count of tries is ours (Redis or we were frozen for longer than the lease), or Redis came back
# empty (another epoch, or none) and at most a new, untried copy of the job was queued since.
RESTORE = QueueScript(
    _LATCH
    + _NOW
    + _OWNED
    + """
local state = owned(KEYS[3], ARGV[2])
if state == 0 then return {0, ''} end
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
local tries = redis.call('GET', KEYS[4])
local known = redis.call('HMGET', KEYS[5], 'epoch', 'last')
local epoch = known[1]
if state == -1 then
  local untaken = score and tries == ARGV[5]
  local emptied = epoch ~= ARGV[6] and not tries
  if not untaken and not emptied then return {0, ''} end
end
if not epoch then
  epoch = string.format('%.0f', micros)
  redis.call('HSET', KEYS[5], 'epoch', epoch)
end
if tonumber(known[2] or 0) < tonumber(ARGV[2]) then redis.call('HSET', KEYS[5], 'last', ARGV[2]) end
redis.call('SET', KEYS[2], ARGV[7], 'PX', ARGV[9])
redis.call('SET', KEYS[4], ARGV[5], 'PX', ARGV[10])
redis.call('SET', KEYS[3],
  cmsgpack.pack({generation = tonumber(ARGV[2]), address = ARGV[3], token = ARGV[4]}), 'PX', ARGV[8])
redis.call('ZADD', KEYS[1], now + ARGV[8], ARGV[1])
return {1, epoch}
"""
)

# KEYS queue, job, claim, tries, outcome, dead
# ARGV id, generation, event or '', outcome's ms, channel, dead letter or '', most dead, quarantine ms
# 1 finished; 0 another generation holds it; -1 no claim is there.
FINISH = QueueScript(
    _LATCH
    + _OWNED
    + """
local state = owned(KEYS[3], ARGV[2])
if state ~= 1 then return state end
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('ZREM', KEYS[1], ARGV[1])
if ARGV[6] == '' then
  redis.call('DEL', KEYS[4])
else
  redis.call('LPUSH', KEYS[6], ARGV[6])
  redis.call('LTRIM', KEYS[6], 0, ARGV[7] - 1)
  -- the count stays for a while: queued again, the job is buried again and kills nobody
  if redis.call('PTTL', KEYS[4]) > tonumber(ARGV[8]) then redis.call('PEXPIRE', KEYS[4], ARGV[8]) end
end
if ARGV[3] ~= '' then
  redis.call('SET', KEYS[5], ARGV[3], 'PX', ARGV[4])
  redis.call('PUBLISH', ARGV[5], ARGV[3])
end
return 1
"""
)

# KEYS queue, tokens; ARGV most tokens, then id and generation of each job given back
# How many were ours. They are due at once, and this try is not counted.
RELEASE = QueueScript(
    _LATCH
    + _NOW
    + _OWNED
    + _WAKE
    + """
local released = 0
for i = 2, #ARGV, 2 do
  local id = ARGV[i]
  if owned('orchard:claim:' .. id, ARGV[i + 1]) == 1 then
    redis.call('DEL', 'orchard:claim:' .. id)
    redis.call('ZADD', KEYS[1], 'XX', now, id)
    redis.call('DECR', 'arq:retry:' .. id)
    wake(KEYS[2], tonumber(ARGV[1]))
    released = released + 1
  end
end
return released
"""
)

# KEYS claim, outcome; ARGV generation, event, outcome's ms, channel
# 1 told; 0 another generation holds the job; -1 no claim is there.
PUBLISH = QueueScript(
    "redis.call('DEL', '')"  # see _LATCH
    + _OWNED
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
    _NOW
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
