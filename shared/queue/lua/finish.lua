-- parts: latch now count owned wake put
local function bury(letters, id, letter, most) -- one letter of a job, however often it is given up
  for start = 0, most - 1, 50 do
    local page = redis.call('LRANGE', letters, start, start + 49)
    for _, raw in ipairs(page) do
      local good, old = pcall(cjson.decode, raw)
      if good and type(old) == 'table' and old.job_id == id then
        redis.call('LREM', letters, 1, raw)
        local new = cjson.decode(letter)
        new.count = (tonumber(old.count) or 1) + 1
        new.since = tonumber(old.since) or tonumber(old.at) or new.since
        redis.call('LPUSH', letters, cjson.encode(new))
        return
      end
    end
    if #page < 50 then break end
  end
  redis.call('LPUSH', letters, letter)
  redis.call('LTRIM', letters, 0, most - 1)
end

local state = owned(KEYS[3], ARGV[2])
if state ~= 1 then return {state} end
redis.call('DEL', KEYS[2], KEYS[3], 'orchard:claimed:' .. ARGV[1])
redis.call('ZREM', KEYS[1], ARGV[1])
local again = 'orchard:again:' .. ARGV[1]
if ARGV[6] == '' and redis.call('EXISTS', again) == 1 then
  redis.call('RENAME', again, KEYS[2])
  redis.call('ZADD', KEYS[1], now, ARGV[1])
else
  redis.call('DEL', again)
end
if ARGV[6] == '' then
  redis.call('DEL', KEYS[4])
else
  bury(KEYS[6], ARGV[1], ARGV[6], tonumber(ARGV[7]))
  -- the count stays for a while: queued again, the job is buried again and kills nobody
  if redis.call('PTTL', KEYS[4]) > tonumber(ARGV[8]) then redis.call('PEXPIRE', KEYS[4], ARGV[8]) end
end
if ARGV[3] ~= '' then
  redis.call('SET', KEYS[5], ARGV[3], 'PX', ARGV[4])
  redis.call('PUBLISH', ARGV[5], ARGV[3])
end
count(KEYS[1], ARGV[9], 1)
-- a generation is the time of its claim, but for a clock that stepped back
local ran = math.max(0, micros - tonumber(ARGV[2]))
count(KEYS[1], 'run_us', ran)
longest(KEYS[1], 'run_max_us', ran)
local answers = {1}
for nth = 0, (#KEYS - 6) / 7 - 1 do
  answers[#answers + 1] = put(7 + 7 * nth, 10 + 9 * nth)[1]
end
return answers
