"""Frees space before it is too late: the longest unused files go when the disk comes near its floor.

ORCHARD_EVICT_* are bounds by choice, looked at by the hour. This is the bound that the disk sets, looked at
all the time, with the same protection (services/extractor/evictor.py).
"""

from __future__ import annotations

import asyncio

from services.extractor.evictor import Evictor
from shared.clients.objects import ObjectStore
from shared.clients.postgres import Database
from shared.clients.redis import RedisClient
from shared.disk import DiskFloor
from shared.errors import OrchardError
from shared.logs import get_logger

log = get_logger()

LOOK_SECONDS = 10.0
AGAIN_SECONDS = 300.0  # after a run that could not free enough: each run reads all kept answers
UNUSED_SECONDS = 600.0  # what was used since stays: it may be an installation in progress
FLOORS_LEFT = 3  # so many floors are free afterwards


class PressureEvictor:
    """Looks at the disk while open. For a store in files; a bucket has no floor that is seen from here."""

    def __init__(
        self, *, floor: DiskFloor, store: ObjectStore, database: Database, queue_redis: RedisClient
    ) -> None:
        self._floor = floor
        self._store = store
        self._database = database
        self._redis = queue_redis
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start; the first look is now."""
        self._task = asyncio.create_task(self._run(), name="disk pressure")

    async def aclose(self) -> None:
        """Stop, in the middle of a run if need be."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def relieve(self) -> bool:
        """Free what is wanted if the disk is low; whether it is well now. Raises what the stores raise."""
        disk = self._floor.look()
        if not disk.is_low:
            return True
        wanted = FLOORS_LEFT * disk.floor_bytes - disk.free_bytes
        log.warning("disk_low", free_bytes=disk.free_bytes, floor_bytes=disk.floor_bytes)
        evictor = Evictor(
            store=self._store,
            database=self._database,
            queue_redis=self._redis,
            days=0,
            max_bytes=0,
            free_bytes=wanted,
            unused_seconds=UNUSED_SECONDS,
        )
        await evictor.run()
        return not self._floor.look().is_low

    async def _run(self) -> None:
        while True:
            pause = LOOK_SECONDS
            try:
                if not await self.relieve():
                    pause = AGAIN_SECONDS if not self._floor.look().is_short else LOOK_SECONDS * 3
            except OrchardError as error:
                log.info("disk_not_relieved", error=error.code)
            except Exception:  # or nobody would free anything any more
                log.exception("disk_not_relieved")
            await asyncio.sleep(pause)
