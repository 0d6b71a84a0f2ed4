-- Redis's own clock: `micros` since 1970, and `now` in milliseconds with a fraction.
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = micros / 1000
