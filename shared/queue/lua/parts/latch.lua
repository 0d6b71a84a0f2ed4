-- A script's first write decides whether Redis refuses it when out of memory. Workers must be able
-- to finish jobs then (it is what frees memory), so theirs begins with a write that needs none.
redis.call('ZREM', KEYS[1], '')
