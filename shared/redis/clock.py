"""One clock for all processes: the cache Redis's, carried on by this machine's monotonic clock.

Freshness is stamped by one machine and judged by another. Their wall clocks may differ, and each may be set
back; the time of the one Redis that both use is the same for both. Without an answer the last offset is
used; before the first one, the wall clock.
"""

from __future__ import annotations

import contextlib
import time

from shared.errors import OrchardError
from shared.process.periodic import Every
from shared.redis.client import RedisClient
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger

log = get_logger()

MEASURE_SECONDS = 5.0
SLOWEST_SECONDS = 0.2  # an answer that took longer tells too little
SKEW_SECONDS = 5.0  # differences of wall clocks below this are of no interest
APART_SECONDS = 5.0
"""By so much the times of two processes may differ that share this clock."""


class _Offset:
    """How far the shared time is ahead of `time.monotonic()`; None: not known yet."""

    seconds: float | None = None


def now() -> float:
    """Unix seconds by the shared clock."""
    offset = _Offset.seconds
    return time.time() if offset is None else time.monotonic() + offset


def is_fresh(now: float, fetched_at: float, fresh_until: float) -> bool:
    """Whether what was stamped `fetched_at` counts as current; all in unix seconds of this clock.

    What comes from the future was stamped by a clock that has gone back since: its age is unknown.
    """
    return fetched_at - APART_SECONDS <= now < fresh_until


class SharedClock:
    """Keeps `now()` of this process. The caller opens and closes it."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._turns = Every(MEASURE_SECONDS, self.measure, name="shared clock")
        self._skewed = False

    async def open(self) -> None:
        """Measures once and goes on; a Redis that is away is not waited for."""
        await self.measure()
        await self._turns.open()

    async def aclose(self) -> None:
        """Stops; `now()` is the wall clock again."""
        await self._turns.aclose()
        _Offset.seconds = None

    async def measure(self) -> None:
        """Ask once. Never raises for a store that is away."""
        before = time.monotonic()
        with contextlib.suppress(OrchardError):
            seconds, micros = await self._redis.command("TIME")
            after = time.monotonic()
            if after - before <= SLOWEST_SECONDS:
                _Offset.seconds = int(seconds) + int(micros) / 1e6 - (before + after) / 2
                self._report(time.time() - now())

    def _report(self, skew: float) -> None:
        metrics.CLOCK_SKEW.set(skew)
        skewed = abs(skew) > SKEW_SECONDS
        if skewed and not self._skewed:
            log.warning("clock_skewed", seconds=round(skew, 1), hint="set this machine's clock (NTP)")
        self._skewed = skewed
