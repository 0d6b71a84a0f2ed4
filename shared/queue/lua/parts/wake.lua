-- Wake one idle worker: a token on the list that they are blocked on.
local function wake(tokens, most)
  if redis.call('LLEN', tokens) < most then redis.call('RPUSH', tokens, '1') end
end
