"""Throughput of queues: counts by the queue's scripts in slices of ten seconds, over two windows.

The counts lie in Redis beside the queue (lua/parts/count.lua), so they are those of the whole
fleet, and no process needs a history of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shared.queue import keys, scripts
from shared.queue.jobs import QUEUES
from shared.redis.client import RedisClient

WINDOWS_SECONDS = (60, 300)
_FIELDS = (
    "enqueued", "started", "finished", "failed", "dead", "retried", "postponed", "wait_us", "run_us",
    "wait_max_us", "run_max_us",
)  # fmt: skip
_MAXIMA = 2  # the last fields are longest times, not sums


class QueueRates(msgspec.Struct, frozen=True):
    """What happened in one queue over one window."""

    seconds: float  # what the window covers: its length and the part of a slice that has passed
    enqueued: int  # accepted, not those that coalesced with a job already there
    started: int
    finished: int
    failed: int  # ended with an error for its waiters
    dead: int  # given up
    retried: int  # given back unfinished, or taken again after its worker was lost
    postponed: int  # put back by themselves to wait for something
    wait_seconds: float  # sum, from due to started
    run_seconds: float  # sum, from started to ended
    longest_wait_seconds: float
    longest_run_seconds: float


async def read_rates(redis: RedisClient, queues: Sequence[str] = QUEUES) -> dict[str, tuple[QueueRates, ...]]:
    """Each queue's figures, one for each of `WINDOWS_SECONDS`, by one call. Raises `QueueUnavailable`."""
    answers = await scripts.RATES(
        redis,
        [keys.queue_key(queue) for queue in queues],
        [len(WINDOWS_SECONDS), _MAXIMA, *WINDOWS_SECONDS, *_FIELDS],
    )
    return {
        queue: tuple(_rates(*window) for window in windows)
        for queue, windows in zip(queues, answers, strict=True)
    }


def _rates(covered_ms: int, *counts: int) -> QueueRates:
    return QueueRates(covered_ms / 1000, *counts[:7], *(micros / 1e6 for micros in counts[7:]))
