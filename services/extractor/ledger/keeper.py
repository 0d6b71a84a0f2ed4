"""`LedgerKeeper`: takes the batches of servings that gateways left in the queue Redis, and stores them.

Read, stored, removed, in this order: what is killed in between is read again, and stored once (`LedgerRows`).
Of several extractors one at a time has the turn; where two work for a moment, no harm is done.
"""

from __future__ import annotations

import time
from datetime import timedelta

from services.extractor.ledger.rows import Kept, LedgerRows, today
from shared.artifacts.repository import ArtifactRepository
from shared.errors import InvalidData
from shared.ledger.batch import Batch, Damaged, UnknownFormat, decode_batch
from shared.ledger.stream import read_batches, remove_all, remove_batch
from shared.process.periodic import Every
from shared.redis.script import take_mark
from shared.stores import Stores
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import LEDGER_STORED

log = get_logger()

TURN_SECONDS = 1.0
DAILY_SECONDS = 3600.0  # partitions are made and dropped this often
UNKNOWN_SECONDS = 86_400.0  # so long a batch of a later version waits for it: it takes room from others
_MARK = "orchard:servings:keeper"
_EVER = timedelta(days=36_500)


class LedgerKeeper:
    """Of one extractor, while open. `days` 0: the ledger is off, and nothing of it stays."""

    def __init__(self, stores: Stores, *, days: int) -> None:
        self._redis = stores.queue_redis
        self._artifacts: ArtifactRepository = stores.artifacts
        self._days = days
        self._rows = LedgerRows(stores.database, days=days)
        self._prepared_at = -DAILY_SECONDS
        self._passed = b""  # up to this entry there is nothing but batches of a later version
        self._turns = Every(TURN_SECONDS, self._turn, name="ledger", first_seconds=0)

    async def open(self) -> None:
        """Start taking."""
        await self._turns.open()

    async def aclose(self) -> None:
        """Stop, in the middle of a batch if need be."""
        await self._turns.aclose()

    async def _turn(self) -> None:
        if await take_mark(self._redis, _MARK, TURN_SECONDS * 0.9):
            await self.run()

    async def run(self) -> int:
        """Take all that waits; how many batches. Raises what the stores raise: the rest stays."""
        if time.monotonic() - self._prepared_at >= DAILY_SECONDS:
            dropped = await self._prepare()
            if dropped:
                log.info("servings_dropped_by_age", days=dropped)
            self._prepared_at = time.monotonic()
            self._passed = b""
        if not self._days:
            await remove_all(self._redis)
            return 0
        taken, after, left = 0, self._passed, 0
        while entries := await read_batches(self._redis, after):
            for after, data in entries:
                try:
                    await self._keep(data)
                except UnknownFormat:
                    if _age_seconds(after) < UNKNOWN_SECONDS:
                        left += 1
                        continue  # stays for an extractor of that version
                    log.warning("servings_of_another_version_dropped", size_bytes=len(data))
                await remove_batch(self._redis, after, len(data))
                taken += 1
        if left:
            self._passed = after
        return taken

    async def _prepare(self) -> int:
        if self._days:
            return await self._rows.prepare()
        return await self._rows.drop_before(today() + _EVER)

    async def _keep(self, data: bytes) -> None:
        """Raises `UnknownFormat`."""
        try:
            batch = decode_batch(data)
            kept = await self._rows.keep(batch)
        except (Damaged, InvalidData) as error:  # it would hold up all others for ever
            LEDGER_STORED.labels("damaged").inc()
            log.error("servings_damaged", size_bytes=len(data), reason=str(error))
            return
        _count(kept)
        if batch.dropped and not kept.repeated:
            await self._tell(batch)

    async def _tell(self, batch: Batch) -> None:
        """Of servings that were lost before this batch."""
        await self._artifacts.record_event("servings_dropped", "", "", "", {"gateway": batch.instance[:8]})
        log.warning("servings_were_dropped", gateway=batch.instance[:8], servings=batch.dropped)


def _age_seconds(entry: bytes) -> float:
    """By the id of an entry, which begins with milliseconds."""
    return time.time() - int(entry.partition(b"-")[0]) / 1000


def _count(kept: Kept) -> None:
    for name in ("stored", "repeated", "expired"):
        LEDGER_STORED.labels(name).inc(getattr(kept, name))
