"""How fast a queue moves: what the queue's scripts counted in slices of ten seconds, over two windows.

The counts lie in Redis beside the queue (`COUNT` in queue_scripts.py), so they are those of the whole
fleet, and no process needs a history of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shared.clients import queue_format as keys
from shared.clients.queue_scripts import NOW, QueueScript
from shared.clients.redis import RedisClient
from shared.jobs import QUEUES

WINDOWS_SECONDS = (60, 300)
_FIELDS = (
    "enqueued", "started", "finished", "failed", "dead", "retried", "postponed", "wait_us", "run_us",
    "wait_max_us", "run_max_us",
)  # fmt: skip
_MAXIMA = 2  # the last fields are longest times, not sums

# KEYS queues; ARGV seconds of each window, in rising order, then the fields, maxima last
# {{milliseconds covered, field…}…} for each queue, a list for each window.
# The slice that is being filled counts with the part of it that has passed.
_RATES = QueueScript(
    NOW
    + f"""
local windows, fields = {{}}, {{}}
for i = 1, #ARGV do
  if i <= {len(WINDOWS_SECONDS)} then windows[i] = tonumber(ARGV[i]) else fields[#fields + 1] = ARGV[i] end
end
local slice = math.floor(micros / 10000000)
local passed = math.floor(micros / 1000) - slice * 10000
local answers = {{}}
for i, queue in ipairs(KEYS) do
  local sums, answer, window = {{}}, {{}}, 1
  for j = 1, #fields do sums[j] = 0 end
  for back = 0, windows[#windows] / 10 do
    local values = redis.call('HMGET', queue .. ':rates:' .. (slice - back), unpack(fields))
    for j, value in ipairs(values) do
      local number = tonumber(value or 0)
      if j > #fields - {_MAXIMA} then sums[j] = math.max(sums[j], number) else sums[j] = sums[j] + number end
    end
    if back * 10 == windows[window] then
      answer[window] = {{windows[window] * 1000 + passed, unpack(sums)}}
      window = window + 1
    end
  end
  answers[i] = answer
end
return answers
"""
)


class QueueRates(msgspec.Struct, frozen=True):
    """What happened in one queue over one window."""

    seconds: float  # what the window covers: its length and the part of a slice that has passed
    enqueued: int  # accepted, not those that coalesced with a job already there
    started: int
    finished: int
    failed: int  # ended with an error that its waiters were told
    dead: int  # given up
    retried: int  # given back unfinished, or taken again after its worker was lost
    postponed: int  # put back by themselves to wait for something
    wait_seconds: float  # sum, from due to started
    run_seconds: float  # sum, from started to ended
    longest_wait_seconds: float
    longest_run_seconds: float


async def read_rates(redis: RedisClient, queues: Sequence[str] = QUEUES) -> dict[str, tuple[QueueRates, ...]]:
    """Each queue's figures, one for each of `WINDOWS_SECONDS`, by one call. Raises `QueueUnavailable`."""
    answers = await _RATES(redis, [keys.queue_key(queue) for queue in queues], [*WINDOWS_SECONDS, *_FIELDS])
    return {
        queue: tuple(_rates(*window) for window in windows)
        for queue, windows in zip(queues, answers, strict=True)
    }


def _rates(covered_ms: int, *counts: int) -> QueueRates:
    return QueueRates(covered_ms / 1000, *counts[:7], *(micros / 1e6 for micros in counts[7:]))
