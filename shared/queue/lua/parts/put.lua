-- Put a job in, or join the one of its id: KEYS from `key` on and ARGV from `arg` on, and the answer, are those of
-- `scripts.ENQUEUE`. Needs now, count, wake.
local function put(key, arg)
  local queue, job, tokens = KEYS[key], KEYS[key + 1], KEYS[key + 3]
  local id, payload, defer = ARGV[arg], ARGV[arg + 1], tonumber(ARGV[arg + 2])
  local limit, expiry, most = tonumber(ARGV[arg + 3]), ARGV[arg + 4], tonumber(ARGV[arg + 5])
  local higher = tonumber(ARGV[arg + 7])
  local state = redis.call('MGET', KEYS[key + 2], KEYS[key + 4])
  local claimed = state[1]
  local function answer(code)
    if code == 0 and ARGV[arg + 6] == '1' then redis.call('SET', job, payload, 'XX', 'KEEPTTL') end
    return {code, state[1] or '', state[2] or ''}
  end
  local function full()
    if limit == 0 then return false end
    if defer > 0 then return redis.call('ZCARD', queue) >= limit end
    return redis.call('ZCOUNT', queue, '-inf', now) >= limit
  end
  local function add()
    redis.call('SET', job, payload, 'PX', expiry)
    redis.call('ZADD', queue, now + defer, id)
    if defer == 0 then wake(tokens, most) end
  end
  local function standing() -- the payload of whoever asked before; nil for a guess or a refresh
    local raw = redis.call('GET', job)
    local good, held = pcall(cmsgpack.unpack, raw or '')
    local fields = good and type(held) == 'table' and held.k
    return type(fields) == 'table' and not fields.guessed and not fields.background and raw or nil
  end
  local score = redis.call('ZSCORE', queue, id)
  if score then
    if defer == 0 and tonumber(score) > now and not claimed then
      redis.call('ZADD', queue, now, id) -- it was deferred, and now someone waits for it
      wake(tokens, most)
    end
    if claimed and ARGV[arg + 8] == '1' then -- the run that goes on may have read what was before
      redis.call('SET', 'orchard:again:' .. id, payload, 'PX', expiry)
    end
    return answer(0)
  end
  for nth, other in ipairs({KEYS[key + 5], KEYS[key + 6]}) do
    if other ~= '' and redis.call('ZSCORE', other, id) then
      if nth <= higher then return answer(0) end
      if ARGV[arg + 6] ~= '1' then payload = standing() or payload end -- it asks for no less
      if claimed then -- it stays where it runs, as what is asked for now
        redis.call('SET', job, payload, 'XX', 'KEEPTTL')
        return answer(0)
      end
      if full() then return answer(-1) end
      redis.call('ZREM', other, id)
      add()
      return answer(0)
    end
  end
  if full() then return answer(-1) end
  add()
  count(queue, 'enqueued', 1)
  return answer(1)
end
