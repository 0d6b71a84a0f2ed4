-- parts: now count
local most, lease = tonumber(ARGV[1]), tonumber(ARGV[2])
local utmost = math.max(2 * lease, 10000)
local grace, delay = tonumber(ARGV[5]), tonumber(ARGV[6])
local known, claimed, unknown, wait, skipped = nil, {}, {}, -1, 0
local waited, longest_wait, again = 0, 0, 0
local last, epoch

local function prepare()
  redis.call('ZREM', KEYS[1], '') -- see parts/latch.lua
  known = {}
  for i = 9, #ARGV do known[ARGV[i]] = true end
  local state = redis.call('HMGET', KEYS[3], 'epoch', 'last')
  epoch, last = state[1], tonumber(state[2] or 0) or 0
  if not (last < 2 ^ 52) then last = 0 end -- garbage: the number after it would be equal to it
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

local function is_known(name) -- "fetch_index:1", "ensure@cargo+nuget:1"
  local tag, protocols, format = string.match(name, '^([^@:]*)@?([^:]*):(.*)$')
  if not tag or not known[tag .. ':' .. format] then return false end
  for protocol in string.gmatch(protocols, '[^+]+') do
    if not known['@' .. protocol] then return false end
  end
  return true
end

local function take(id, score)
  local payload = redis.call('GET', 'arq:job:' .. id)
  if not payload then
    redis.call('ZREM', KEYS[1], id) -- expired, or finished under the other queue
    return
  end
  local name = kind(payload)
  if not is_known(name) then
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
    redis.call('PEXPIRE', claim, lease) -- see settle.lua
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
  local taken_over = redis.call('EXISTS', 'orchard:claimed:' .. id)
  redis.call('SET', 'orchard:claimed:' .. id, string.format('%.0f', generation), 'PX', ARGV[7])
  redis.call('ZADD', KEYS[1], now + lease, id)
  redis.call('DEL', 'orchard:again:' .. id) -- this run begins after all that was asked for
  local tries = redis.pcall('INCR', 'arq:retry:' .. id)
  if type(tries) ~= 'number' then -- no number stood there
    redis.call('DEL', 'arq:retry:' .. id)
    tries = redis.call('INCR', 'arq:retry:' .. id)
  end
  if tries == 1 then redis.call('PEXPIRE', 'arq:retry:' .. id, ARGV[7]) end
  if tries > 1 then again = again + 1 end
  local due = math.floor(math.min(now - score, 86400000) * 1000)
  waited, longest_wait = waited + due, math.max(longest_wait, due)
  claimed[#claimed + 1] = {id, payload, generation, token, tries, due, taken_over}
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
