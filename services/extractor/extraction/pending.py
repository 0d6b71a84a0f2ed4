"""Finds artifacts that were stored, but whose extraction job was lost or given up.

A queue Redis that came back empty, or a database that was away for longer than a job waits, leaves
artifacts `pending`. At start and then every few minutes they are queued again; equal jobs coalesce.
"""

from __future__ import annotations

import datetime

from shared.postgres.database import Database
from shared.process.periodic import Every
from shared.queue.jobs import ExtractDependencies
from shared.queue.producer import JobQueue
from shared.telemetry.logs import get_logger

log = get_logger()

PAUSE_SECONDS = 300.0
PAGE_PAUSE_SECONDS = 10.0  # while there is a backlog
PAGE_ROWS = 200
YOUNG_SECONDS = 60.0  # seconds: younger ones have their job in the queue

_FIRST = (datetime.datetime.fromtimestamp(0, datetime.UTC), b"")

PENDING = """
SELECT u.protocol, u.project, u.file_id, u.filename, a.sha256, a.created_at
FROM artifacts a JOIN cached_urls u USING (sha256)
WHERE a.extraction_state = 'pending' AND u.role = 'file'
  AND a.created_at < now() - make_interval(secs => $1) AND (a.created_at, a.sha256) > ($2, $3)
ORDER BY a.created_at, a.sha256
LIMIT $4
"""


class PendingSweep:
    """Runs at `open` and then at intervals."""

    def __init__(
        self,
        database: Database,
        queue: JobQueue,
        *,
        limit: int,
        young_seconds: float = YOUNG_SECONDS,
        page_rows: int = PAGE_ROWS,
    ) -> None:
        """`limit`: most jobs that may be ready in the queue. `page_rows`: how many are queued at a time."""
        self._database = database
        self._queue = queue
        self._limit = limit
        self._young_seconds = young_seconds
        self._page_rows = page_rows
        self._after = _FIRST  # where the last page ended
        self._turns = Every(
            PAUSE_SECONDS, self._turn, name="pending sweep", first_seconds=0, retry_seconds=PAGE_PAUSE_SECONDS
        )

    async def open(self) -> None:
        """Start."""
        await self._turns.open()

    async def aclose(self) -> None:
        """Stop."""
        await self._turns.aclose()

    async def sweep(self) -> int:
        """Queue the next page of pending artifacts, oldest first; how many there were.

        Goes on where the last page ended and begins anew after the last: artifacts that can never be read
        (lost object, crashing child) must not hide those behind them.
        """
        rows = await self._database.fetch(PENDING, self._young_seconds, *self._after, self._page_rows)
        queued = 0
        for row in rows:
            job = ExtractDependencies(
                protocol=row["protocol"],
                project=row["project"],
                file_id=row["file_id"],
                filename=row["filename"],
                sha256=row["sha256"].hex(),
            )
            queued += (await self._queue.enqueue(job, limit=self._limit)).accepted
        if queued:
            log.info("pending_artifacts_queued", count=queued)
        full = len(rows) == self._page_rows
        self._after = (rows[-1]["created_at"], rows[-1]["sha256"]) if full else _FIRST
        return len(rows)

    async def _turn(self) -> float:
        return PAGE_PAUSE_SECONDS if await self.sweep() == self._page_rows else PAUSE_SECONDS
