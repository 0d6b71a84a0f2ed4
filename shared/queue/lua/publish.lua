-- parts: owned
redis.call('DEL', '') -- what parts/latch.lua does; this script's first key is no sorted set
local state = owned(KEYS[1], ARGV[1])
if state ~= 1 then return state end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[2])
return 1
