-- parts: latch now owned
local state = owned(KEYS[3], ARGV[2])
if state == 0 then return {0, ''} end
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
local tries = redis.call('GET', KEYS[4])
local known = redis.call('HMGET', KEYS[5], 'epoch', 'last')
local epoch = known[1]
if state == -1 then
  -- the count of tries alone does not tell: whoever gave the job back since has taken his from it
  local newest = redis.call('GET', 'orchard:claimed:' .. ARGV[1])
  local untaken = score and tries == ARGV[5] and (not newest or newest == ARGV[2])
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
redis.call('SET', 'orchard:claimed:' .. ARGV[1], ARGV[2], 'PX', ARGV[10])
redis.call('SET', KEYS[3],
  cmsgpack.pack({generation = tonumber(ARGV[2]), address = ARGV[3], token = ARGV[4]}), 'PX', ARGV[8])
redis.call('ZADD', KEYS[1], now + ARGV[8], ARGV[1])
return {1, epoch}
