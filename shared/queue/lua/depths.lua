-- parts: now
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
