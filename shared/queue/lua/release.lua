-- parts: latch now count owned wake
local released = 0
local delay = tonumber(ARGV[2])
for i = 3, #ARGV, 2 do
  local id = ARGV[i]
  if owned('orchard:claim:' .. id, ARGV[i + 1]) == 1 then
    redis.call('DEL', 'orchard:claim:' .. id)
    redis.call('ZADD', KEYS[1], 'XX', now + delay, id)
    local tries = redis.pcall('DECR', 'arq:retry:' .. id)
    if type(tries) ~= 'number' or tries < 1 then redis.call('DEL', 'arq:retry:' .. id) end
    if delay == 0 then wake(KEYS[2], tonumber(ARGV[1])) end
    released = released + 1
  end
end
if released > 0 then count(KEYS[1], delay == 0 and 'retried' or 'postponed', released) end
return released
