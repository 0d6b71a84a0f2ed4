"""The Lua scripts of the queue: each step is one call, and so atomic.

Each script is a file in `lua/`; its first line names the pieces of `lua/parts/` that go before it. All
times are Redis's own (TIME, milliseconds): a worker whose clock is wrong loses no lease and steals none.
Only commands of Redis 6.2. The scripts build key names from job ids, hence one Redis server, not a Redis
Cluster. What may be sent twice after a lost connection is idempotent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from redis.exceptions import OutOfMemoryError, ResponseError

from shared.errors.passing import QueueFull, QueueUnavailable
from shared.redis.client import RedisClient
from shared.redis.script import Script

_FOLDER = Path(__file__).parent / "lua"
CALL_SECONDS = 0.9  # of any call, waiting for a connection and one retry included


@contextlib.asynccontextmanager
async def bounded(redis: RedisClient) -> AsyncIterator[None]:
    """Raise `QueueUnavailable` instead of waiting longer than `CALL_SECONDS`, `QueueFull` when
    Redis is out of memory."""
    with _named(), redis.guard():
        async with asyncio.timeout(CALL_SECONDS):
            yield


@contextlib.contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except QueueUnavailable as error:
        cause = error.__cause__
        # Redis 6 names it in the text of a failed script, later servers by the kind of error.
        if isinstance(cause, OutOfMemoryError) or (isinstance(cause, ResponseError) and "OOM" in str(cause)):
            raise QueueFull("the queue Redis is out of memory") from cause
        raise


class QueueScript(Script):
    """A script of the queue: `Script` with a deadline over all of it."""

    def __init__(self, name: str) -> None:
        body = (_FOLDER / f"{name}.lua").read_text()
        _, _, parts = body.partition("\n")[0].partition("-- parts: ")
        super().__init__(
            "".join((_FOLDER / "parts" / f"{part}.lua").read_text() for part in parts.split()) + body
        )

    async def __call__(self, redis: RedisClient, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """The script's answer. Raises `QueueUnavailable` within about a second, `QueueFull`."""
        async with bounded(redis):
            return await self.submit(redis, list(keys), list(args))


ENQUEUE = QueueScript("enqueue")
"""Put a job in, or join the one of its id.

KEYS queue, job, claim, tokens, outcome, two more queues of the same id or ''.
ARGV id, payload, defer ms, limit (0: none), expiry ms, most tokens, '1' if this payload replaces that of a
job it joins, how many of the two queues are more urgent: from the others it moves over, '1' if the run that
it joins does not count, and another is to come after it.
Returns {1 accepted | 0 joined | -1 the queue is full, claim or '', outcome or ''}: the two as they were
found.
"""

CLAIM = QueueScript("claim")
"""Take jobs that are due, each under a new generation, and raise their due times to the end of the lease.

KEYS queue, tokens, generation.
ARGV most jobs, lease ms, address, seed of tokens, grace ms, delay ms of unknown kinds, expiry ms of tries,
'1' when a token may be left over, then "tag:format" of each kind and "@protocol" of each protocol that this
worker knows.
Returns {ms until the next job is due or -1, epoch, {{id, payload, generation, token, tries, µs since
due, 1 if an earlier run began and did not end}…}, {{id, kind} of unknown ones…}}.
A job of an unknown kind is passed over for the grace (workers that know it poll within that), then moved
back by the delay, so that it does not stand in the way of others.
"""

RENEW = QueueScript("renew")
"""Extend leases. KEYS queue. ARGV lease ms, then id and generation of each running job.

Returns for each job: 1 extended; 0 another generation holds it; -1 no claim is there.
"""

RESTORE = QueueScript("restore")
"""Set a vanished claim again under its generation, if nobody can have claimed the job since.

KEYS queue, job, claim, tries, generation.
ARGV id, generation, address, token, tries, epoch, payload, lease ms, job expiry ms, tries' expiry ms.
Returns {1, epoch} when it stands again, {0, ''} when it is lost.
Either the job is still queued, its last claim and its count of tries are ours (Redis or we were frozen for
longer than the lease), or Redis came back empty (another epoch, or none) and at most a new, untried copy of
the job was queued.
"""

FINISH = QueueScript("finish")
"""Take a job out of the queue, tell how it ended, bury it where a dead letter is given, put in what follows.

KEYS queue, job, claim, tries, outcome, dead, then those of ENQUEUE for each job that follows.
ARGV id, generation, event or '', outcome's ms, channel, dead letter or '', most dead, quarantine ms, what is
counted ('finished', 'failed', 'dead'), then those of ENQUEUE for each job that follows.
Returns {1, ENQUEUE's code for each that follows…} when it finished; {0}: another generation holds it;
{-1}: no claim is there. A job has one dead letter: another one of it takes the first one's place, and counts.
"""

RELEASE = QueueScript("release")
"""Give jobs back unfinished: due after the delay, this try not counted.

KEYS queue, tokens. ARGV most tokens, delay ms, then id and generation of each job.
Returns how many were ours.
"""

SETTLE = QueueScript("settle")
"""Bring due times and expiries within what they can be, when Redis's clock went back.

KEYS queue. ARGV lease ms, longest deferral ms, most jobs looked at. Returns how many jobs were moved.
Both are absolute times of that clock. The lease starts anew: a worker that lives renews it, a dead one does
not.
"""

PUBLISH = QueueScript("publish")
"""Tell an event of a running job and keep it. KEYS claim, outcome. ARGV generation, event, outcome's ms,
channel.

Returns 1 published; 0 another generation holds the job; -1 there is no claim.
"""

NEW_GENERATION = QueueScript("new_generation")
"""A generation newer than every claim so far, which no claim gets: a fence against those who run now.

KEYS generation. Returns it as text.
"""

DEPTHS = QueueScript("depths")
"""How much lies in queues. KEYS queue and dead-letter list of each.

Returns {ready, running, deferred, dead, age of the first ready job in ms}… in that order.
"""

RATES = QueueScript("rates")
"""What happened in queues lately (`parts/count.lua` counts it). KEYS queues.

ARGV number of windows, number of maxima, seconds of each window in rising order, then the fields, maxima
last.
Returns {{ms covered, field…} of each window} of each queue; the slice that is being filled counts with the
part of it that has passed.
"""
