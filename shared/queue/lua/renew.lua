-- parts: latch now owned
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
