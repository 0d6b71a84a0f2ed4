-- parts: now
local last = tonumber(redis.call('HGET', KEYS[1], 'last') or 0) or 0
if not (last < 2 ^ 52) then last = 0 end
local generation = math.max(last + 1, micros)
redis.call('HSET', KEYS[1], 'last', string.format('%.0f', generation))
return string.format('%.0f', generation)
