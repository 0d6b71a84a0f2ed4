"""Has effective dependencies worked out again that lack a document: it may have come since.

A parent or a BOM that no source had is published later, or its source was away for longer than a
derivation waits. What lacks a value for ever (an undefined property) is left alone.
"""

from __future__ import annotations

import asyncio

from shared.clients.postgres import Database
from shared.clients.queue import JobQueue
from shared.errors import OrchardError
from shared.jobs import DeriveDependencies
from shared.logs import get_logger

log = get_logger()

PAUSE_SECONDS = 600.0
REST_SECONDS = 3600.0  # between two tries of one artifact
PAGE_ROWS = 50  # a turn: each try asks upstreams for what is missing

# "missing:" is how the pure step names a document that was not there.
INCOMPLETE = """
SELECT DISTINCT ON (e.derived_at, e.sha256) u.protocol, u.project, u.file_id, u.filename, e.sha256
FROM effective_models e JOIN cached_urls u USING (sha256)
WHERE NOT e.complete AND u.role = 'file' AND e.derived_at < now() - make_interval(secs => $1)
  AND EXISTS (SELECT FROM unnest(e.problems) AS problem WHERE problem LIKE 'missing:%')
ORDER BY e.derived_at, e.sha256
LIMIT $2
"""


class IncompleteSweep:
    """Runs while open."""

    def __init__(
        self, database: Database, queue: JobQueue, *, limit: int, rest_seconds: float = REST_SECONDS
    ) -> None:
        """`limit`: most jobs that may be ready in the queue."""
        self._database = database
        self._queue = queue
        self._limit = limit
        self._rest_seconds = rest_seconds
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start looking, after a pause: at start there is more urgent work."""
        self._task = asyncio.create_task(self._run(), name="incomplete-sweep")

    async def aclose(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def sweep(self) -> int:
        """Queue those whose last try is longest ago; how many there were."""
        rows = await self._database.fetch(INCOMPLETE, self._rest_seconds, PAGE_ROWS)
        for row in rows:
            job = DeriveDependencies(
                protocol=row["protocol"],
                project=row["project"],
                file_id=row["file_id"],
                filename=row["filename"],
                sha256=row["sha256"].hex(),
            )
            await self._queue.enqueue(job, limit=self._limit)
        if rows:
            log.info("incomplete_derivations_queued", count=len(rows))
        return len(rows)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            try:
                await self.sweep()
            except OrchardError as error:  # a store is away: the next turn finds them
                log.info("incomplete_sweep_failed", error=error.code)
