-- What happened in a queue, in slices of ten seconds that expire: rates are read from them over the whole
-- fleet, however many processes came and went. Needs now.lua. Call it after a script's first write (see
-- latch.lua): counting must never be why Redis refuses a script.
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
