"""Counts what is stored, so that metrics, the API and people see how much it is and how fast it grows."""

from __future__ import annotations

import time

from shared.objects.measured import Amount, Measured, keep_measured
from shared.objects.port import FOLDERS, is_key
from shared.process.disk import DiskFloor
from shared.stores import Stores, objects_folder

DATABASE_SIZE = "SELECT pg_database_size(current_database()) AS bytes"


class Measuring:
    """One count at a time. It lists the whole store: let it rest (`Resting`)."""

    def __init__(self, stores: Stores) -> None:
        self._store = stores.bare_objects
        self._database = stores.database
        self._redis = stores.queue_redis
        settings = stores.settings
        self._floor = (
            None if settings.s3_endpoint else DiskFloor(objects_folder(settings), settings.min_free_bytes)
        )

    async def run(self) -> Measured:
        """Raises what the stores raise; then nothing is kept."""
        folders = {}
        for folder in FOLDERS:
            objects = size = 0
            async for found in self._store.list(f"{folder}/"):
                if is_key(found.key):
                    objects, size = objects + 1, size + found.size_bytes
            folders[folder] = Amount(objects, size)
        rows = await self._database.fetch(DATABASE_SIZE)
        disk = self._floor.glance() if self._floor is not None else None
        measured = Measured(time.time(), folders, int(rows[0]["bytes"]), disk.free_bytes if disk else -1)
        await keep_measured(self._redis, measured)
        return measured
