"""When housekeeping runs: at intervals, of several extractors one at a time, and no more than its share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from shared.errors import OrchardError
from shared.process.periodic import Every
from shared.redis.client import RedisClient
from shared.redis.script import take_mark
from shared.telemetry.logs import get_logger

log = get_logger()

FIRST_SECONDS = 60.0
REST = 20  # times as long as it took: what reads all there is takes a twentieth of a core at most


class Run(Protocol):
    """One piece of housekeeping."""

    async def run(self) -> object:
        """Raises `OrchardError` when a store fails."""
        ...


class Resting:
    """A piece of housekeeping that reads everything that is stored: it rests in proportion, in whatever
    extractor its next turn comes."""

    def __init__(self, run: Run, redis: RedisClient) -> None:
        self._run = run
        self._redis = redis
        self._mark = f"orchard:sweeper:{type(run).__name__}"

    async def run(self) -> object:
        """None while it rests. Raises `OrchardError` when a store fails."""
        with self._redis.guard():
            if await self._redis.raw.exists(self._mark):
                return None
        began = time.monotonic()
        try:
            return await self._run.run()
        finally:
            await take_mark(self._redis, self._mark, REST * (time.monotonic() - began))


class SweepTimer:
    """Runs housekeeping at intervals while open, in order; of several extractors one at a time."""

    def __init__(self, runs: Sequence[Run], redis: RedisClient, *, interval_seconds: float) -> None:
        self._runs = runs
        self._redis = redis
        self._interval = interval_seconds
        self._turns = Every(
            interval_seconds, self._turn, name="sweep", first_seconds=min(interval_seconds, FIRST_SECONDS)
        )

    async def open(self) -> None:
        """Start; the first run is within a minute, if none was lately."""
        await self._turns.open()

    async def aclose(self) -> None:
        """Stop, in the middle of a run if need be."""
        await self._turns.aclose()

    async def _turn(self) -> None:
        if not await take_mark(self._redis, "orchard:sweeper", self._interval * 0.9):
            return  # another extractor's turn
        for each in self._runs:
            try:
                await each.run()
            except OrchardError as error:
                log.info("sweep_failed", kind=type(each).__name__, error=error.code)
            except Exception:  # the others run all the same
                log.exception("sweep_broken", kind=type(each).__name__)
