"""The Lua of a lease: claim jobs, renew, restore, finish, give back. See `queue_scripts`."""

from __future__ import annotations

from shared.clients.queue_scripts import COUNT, LATCH, NOW, OWNED, WAKE, QueueScript

# KEYS queue, tokens, generation
# ARGV most jobs, lease ms, address, seed of tokens, grace ms, unknown's delay ms, tries' expiry ms,
#      '1' when a token may be left over, then "tag:format" of each kind this worker knows
# {ms until the next job is due or -1, epoch, {id, payload, generation, token, tries, µs since due}…,
#  {unknown}…}
# A job of an unknown kind is passed over for the grace (workers that know it poll within that),
# then moved back by the delay, so that it does not stand in the way of others.
CLAIM = QueueScript(
    NOW
    + COUNT
    + """
local most, lease = tonumber(ARGV[1]), tonumber(ARGV[2])
local utmost = math.max(2 * lease, 10000)
local grace, delay = tonumber(ARGV[5]), tonumber(ARGV[6])
local known, claimed, unknown, wait, skipped = nil, {}, {}, -1, 0
local waited, longest_wait, again = 0, 0, 0
local last, epoch

local function prepare()
  redis.call('ZREM', KEYS[1], '') -- see LATCH
  known = {}
  for i = 9, #ARGV do known[ARGV[i]] = true end
  local state = redis.call('HMGET', KEYS[3], 'epoch', 'last')
  epoch, last = state[1], tonumber(state[2] or 0) or 0
  if not (last < 2 ^ 52) then last = 0 end -- garbage: the number after it could not be told from it
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
  if left > utmost then
    redis.call('PEXPIRE', claim, lease) -- see SETTLE
    left = lease
  end
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
  local tries = redis.pcall('INCR', 'arq:retry:' .. id)
  if type(tries) ~= 'number' then -- no number stood there
    redis.call('DEL', 'arq:retry:' .. id)
    tries = redis.call('INCR', 'arq:retry:' .. id)
  end
  if tries == 1 then redis.call('PEXPIRE', 'arq:retry:' .. id, ARGV[7]) end
  if tries > 1 then again = again + 1 end
  local due = math.floor(math.min(now - score, 86400000) * 1000)
  waited, longest_wait = waited + due, math.max(longest_wait, due)
  claimed[#claimed + 1] = {id, payload, generation, token, tries, due}
end

local looking, pages = true, 0
while looking and #claimed < most and pages < 8 do
  pages = pages + 1
  local last_place = skipped + math.max(most - #claimed, 32) - 1
  local page = redis.call('ZRANGE', KEYS[1], skipped, last_place, 'WITHSCORES')
  if #page == 0 then looking = false end
  for i = 1, #page, 2 do
    if #claimed == most then break end
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
if #claimed > 0 then
  redis.call('HSET', KEYS[3], 'last', string.format('%.0f', last))
  count(KEYS[1], 'started', #claimed)
  count(KEYS[1], 'wait_us', waited)
  longest(KEYS[1], 'wait_max_us', longest_wait)
  if again > 0 then count(KEYS[1], 'retried', again) end
end
if not known and ARGV[8] == '1' then redis.call('DEL', KEYS[2]) end
return {wait, epoch or '', claimed, unknown}
"""
)

# KEYS queue; ARGV lease ms, then id and generation of each running job
# For each job: 1 extended; 0 another generation holds it; -1 no claim is there.
RENEW = QueueScript(
    LATCH
    + NOW
    + OWNED
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

# KEYS queue; ARGV lease ms, longest deferral ms, most jobs looked at
# How many jobs were moved. Expiries and due times are absolute times of Redis's clock. If it goes back, they
# are further away than any can be: they are brought within what they may be. The lease starts anew, so that
# a worker that lives renews it and one that is dead does not.
SETTLE = QueueScript(
    LATCH
    + NOW
    + """
local lease, deferral = tonumber(ARGV[1]), tonumber(ARGV[2])
local utmost = math.max(2 * lease, 10000)
local after = '(' .. string.format('%.17g', now + utmost)
local far = redis.call('ZREVRANGEBYSCORE', KEYS[1], '+inf', after, 'WITHSCORES', 'LIMIT', 0, ARGV[3])
local moved = 0
for i = 1, #far, 2 do
  local claim, due = 'orchard:claim:' .. far[i], nil
  if redis.call('EXISTS', claim) == 1 then
    redis.call('PEXPIRE', claim, lease)
    due = now + lease
  elseif tonumber(far[i + 1]) > now + deferral + 1000 then
    due = now + deferral
  end
  if due then
    redis.call('ZADD', KEYS[1], due, far[i])
    moved = moved + 1
  end
end
return moved
"""
)

# KEYS queue, job, claim, tries, generation
# ARGV id, generation, address, token, tries, epoch, payload, lease ms, job expiry ms, tries' expiry ms
# {1, epoch} the claim stands again under its old generation; {0, ''} it is lost.
# A claim that is gone may be set again if nobody claimed since: either the job is still queued and
# its count of tries is ours (Redis or we were frozen for longer than the lease), or Redis came back
# empty (another epoch, or none) and at most a new, untried copy of the job was queued since.
RESTORE = QueueScript(
    LATCH
    + NOW
    + OWNED
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
if (tonumber(known[2] or 0) or 0) < tonumber(ARGV[2]) then redis.call('HSET', KEYS[5], 'last', ARGV[2]) end
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
    LATCH
    + NOW
    + COUNT
    + OWNED
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
count(KEYS[1], ARGV[6] ~= '' and 'dead' or ARGV[3] ~= '' and 'failed' or 'finished', 1)
-- a generation is the time of its claim, but for a clock that stepped back
local ran = math.max(0, micros - tonumber(ARGV[2]))
count(KEYS[1], 'run_us', ran)
longest(KEYS[1], 'run_max_us', ran)
return 1
"""
)

# KEYS queue, tokens; ARGV most tokens, delay ms, then id and generation of each job given back
# How many were ours. They are due after the delay, and this try is not counted.
RELEASE = QueueScript(
    LATCH
    + NOW
    + COUNT
    + OWNED
    + WAKE
    + """
local released = 0
local delay = tonumber(ARGV[2])
for i = 3, #ARGV, 2 do
  local id = ARGV[i]
  if owned('orchard:claim:' .. id, ARGV[i + 1]) == 1 then
    redis.call('DEL', 'orchard:claim:' .. id)
    redis.call('ZADD', KEYS[1], 'XX', now + delay, id)
    redis.pcall('DECR', 'arq:retry:' .. id)
    if delay == 0 then wake(KEYS[2], tonumber(ARGV[1])) end
    released = released + 1
  end
end
if released > 0 then count(KEYS[1], delay == 0 and 'retried' or 'postponed', released) end
return released
"""
)
