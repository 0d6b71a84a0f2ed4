-- parts: now
local windows, fields = {}, {}
local count, maxima = tonumber(ARGV[1]), tonumber(ARGV[2])
for i = 3, #ARGV do
  if i - 2 <= count then windows[i - 2] = tonumber(ARGV[i]) else fields[#fields + 1] = ARGV[i] end
end
local slice = math.floor(micros / 10000000)
local passed = math.floor(micros / 1000) - slice * 10000
local answers = {}
for i, queue in ipairs(KEYS) do
  local sums, answer, window = {}, {}, 1
  for j = 1, #fields do sums[j] = 0 end
  for back = 0, windows[#windows] / 10 do
    local values = redis.call('HMGET', queue .. ':rates:' .. (slice - back), unpack(fields))
    for j, value in ipairs(values) do
      local number = tonumber(value or 0)
      if j > #fields - maxima then sums[j] = math.max(sums[j], number) else sums[j] = sums[j] + number end
    end
    if back * 10 == windows[window] then
      answer[window] = {windows[window] * 1000 + passed, unpack(sums)}
      window = window + 1
    end
  end
  answers[i] = answer
end
return answers
