"""The Lua scripts of the cache: what must be compared and written in one step.

Redis 6.2 commands only. `cmsgpack` is part of every Redis; numbers up to 2**53 are exact, and a
generation (microseconds since 1970) is below that until 2255.
"""

from __future__ import annotations

from shared.models import AHEAD_SECONDS, MOST_REVISION
from shared.redis.script import Script

# A stored head that cannot be read counts as absent: it will be replaced.
_READ_STORED = """
local function stored_head(key)
  local raw = redis.call('GET', key)
  if not raw then return nil end
  local ok, head = pcall(cmsgpack.unpack, raw)
  if not ok or type(head) ~= 'table' or type(head.generation) ~= 'number' then return nil end
  if type(head.variants) ~= 'table' then head.variants = {} end
  head.bodies_generation = head.bodies_generation or 0
  return head
end
local function fenced(stored, revision_key, told_revision, generation, source_revision)
  if stored and stored.generation > generation then
    -- A generation is the time of its claim. One that no clock has reached, beside a writer whose own is
    -- possible, was given by a clock that was wrong: it must not keep everybody out until then.
    local time = redis.call('TIME')
    local possible = (time[1] + {ahead}) * 1000000
    if stored.generation <= possible or generation > possible then return true end
  end
  local raw = told_revision
  if revision_key then raw = redis.call('GET', revision_key) end
  local known = tonumber(raw or '0') or 0
  return known <= {most} and source_revision < known
end
local function put(key, value, expire_at)
  if expire_at > 0 then redis.call('SET', key, value, 'PXAT', expire_at)
  else redis.call('SET', key, value) end
end
""".replace("{ahead}", str(AHEAD_SECONDS)).replace("{most}", str(MOST_REVISION))

WRITE_INDEX = Script(
    _READ_STORED
    + """
-- KEYS: head, revision (not in a cluster).  ARGV: head, generation, source revision, bodies' generation,
-- expiry (unix ms, 0 none), the head as it must stand or '', the revision where it is no key, number of
-- variants the head names, their names, then name/body pairs.
local generation, revision = tonumber(ARGV[2]), tonumber(ARGV[3])
local bodies, expire_at = tonumber(ARGV[4]), tonumber(ARGV[5])
local stored = stored_head(KEYS[1])
if fenced(stored, KEYS[2], ARGV[7], generation, revision) then return 0 end
if ARGV[6] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[6] then return 0 end
-- Adding variants to a page is only right while its other bodies are of the same generation.
if bodies ~= generation and stored and stored.bodies_generation ~= bodies then return 0 end
local named, count = {}, tonumber(ARGV[8])
for i = 9, 8 + count do named[ARGV[i]] = true end
local written = {}
for i = 9 + count, #ARGV, 2 do
  put(KEYS[1] .. ':v:' .. ARGV[i], ARGV[i + 1], expire_at)
  written[ARGV[i]] = true
end
if stored then
  for name in pairs(stored.variants) do
    local kept = named[name] and stored.bodies_generation == bodies
    if not written[name] and not kept then redis.call('UNLINK', KEYS[1] .. ':v:' .. name) end
  end
end
put(KEYS[1], ARGV[1], expire_at)
return 1
"""
)

WRITE_HEAD = Script(
    _READ_STORED
    + """
-- KEYS: head, revision (not in a cluster).  ARGV: head, generation, source revision, bodies' generation,
-- expiry (unix ms, 0 none), '1' when the page has bodies, the revision where it is no key.
local generation, revision = tonumber(ARGV[2]), tonumber(ARGV[3])
local bodies, expire_at = tonumber(ARGV[4]), tonumber(ARGV[5])
local stored = stored_head(KEYS[1])
if fenced(stored, KEYS[2], ARGV[7], generation, revision) then return 0 end
if stored then
  if ARGV[6] == '1' and stored.bodies_generation ~= bodies then return 0 end
  for name in pairs(stored.variants) do
    local key = KEYS[1] .. ':v:' .. name
    if ARGV[6] ~= '1' then redis.call('UNLINK', key)
    elseif expire_at > 0 then redis.call('PEXPIREAT', key, expire_at) end
  end
end
put(KEYS[1], ARGV[1], expire_at)
return 1
"""
)

WRITE_FACTS = Script("""
-- KEYS: facts, their fence.  ARGV: facts, unix seconds when their row was made.  0: that row was taken away.
local fence = redis.pcall('GET', KEYS[2])
if type(fence) == 'string' and tonumber(ARGV[2]) <= (tonumber(fence) or 0) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
""")

FENCE_FACTS = Script("""
-- KEYS: facts, their fence.  ARGV: unix seconds when the row that was taken away was made, seconds to fence.
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
return redis.call('UNLINK', KEYS[1])
""")

RAISE_REVISION = Script("""
-- KEYS: revision.  ARGV: revision, seconds to keep, the highest that can be.  The one that holds now.
local known = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
local wanted = tonumber(ARGV[1])
if wanted > known or not (known <= tonumber(ARGV[3])) then -- garbage, or NaN
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
  return wanted
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return known
""")

READ_BREAKERS = Script(
    """
-- KEYS: breaker, its pause, the next breaker, … Reply: value or false, ms of the pause left, …
local found = {}
for i = 1, #KEYS, 2 do
  local value = redis.pcall('GET', KEYS[i])
  local left = redis.call('PTTL', KEYS[i + 1])
  if left == -1 then redis.call('DEL', KEYS[i + 1]) end  -- a pause always ends
  found[i] = type(value) == 'string' and value
  found[i + 1] = left
end
return found
"""
)

WRITE_BREAKER = Script(
    """
-- KEYS: breaker, its pause, the set of names.  ARGV: value, ms to keep it, ms of the pause, name or ''.
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if tonumber(ARGV[3]) > 0 then redis.call('SET', KEYS[2], '1', 'PX', ARGV[3])
else redis.call('DEL', KEYS[2]) end
if ARGV[4] ~= '' then
  if redis.call('TYPE', KEYS[3]).ok ~= 'set' then redis.call('DEL', KEYS[3]) end
  redis.call('SADD', KEYS[3], ARGV[4])
  redis.call('PEXPIRE', KEYS[3], math.max(redis.call('PTTL', KEYS[3]), tonumber(ARGV[2])))
end
return 1
"""
)
