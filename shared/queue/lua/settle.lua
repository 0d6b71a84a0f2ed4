-- parts: latch now
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
