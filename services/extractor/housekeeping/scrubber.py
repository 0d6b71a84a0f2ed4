"""Hashes all stored objects in rounds: each within ORCHARD_SCRUB_DAYS, used or not.

The cursor of the round is in the queue Redis, so each run goes on where the last one ended. Keys are digests,
so evenly spread: a run's share of them is its share of what is stored, and nothing has to be counted. A
decayed object is set aside and a fetcher downloads it again, to the sealed digest. Page bodies (`variants/`)
are hashed whenever they are read, and rendered again.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shared.errors import OrchardError
from shared.errors.passing import QueueFull, QueueUnavailable
from shared.objects.guard import sweeping
from shared.objects.port import ARTIFACTS, DOCUMENTS, is_key
from shared.objects.verify import Verifier, is_occupied
from shared.queue.jobs import FetchArtifact
from shared.stores import Stores
from shared.telemetry.logs import get_logger

log = get_logger()

CURSOR = "orchard:scrub:cursor"
BATCH = 500
LEAST_OBJECTS = 50  # of one run, or so many bytes
LEAST_BYTES = 256 * 1024 * 1024
SLACK = 1.2  # runs that fail or are late still leave the round in time

FILES = """
SELECT a.object_key, a.size_bytes, c.protocol, c.project, c.file_id, c.filename
FROM (SELECT * FROM artifacts WHERE sha256 > decode($1, 'hex') ORDER BY sha256 LIMIT $2) a
LEFT JOIN LATERAL (SELECT * FROM cached_urls u WHERE u.sha256 = a.sha256 LIMIT 1) c ON true
ORDER BY a.sha256
"""
PAGES = """
SELECT document_key AS object_key, min(protocol) AS protocol, min(project) AS project,
       min(identity) AS filename
FROM index_documents WHERE document_key > $1 GROUP BY document_key ORDER BY document_key LIMIT $2
"""


class ScrubReport(msgspec.Struct):
    """Figures of one run."""

    looked: int = 0  # for so many; evicted ones are not there
    scrubbed: int = 0
    bytes: int = 0
    decayed: int = 0
    at: str = ""  # where the next run goes on; "" begins a round


class Scrubber:
    """One run at a time. Under ORCHARD_OFFLINE nothing is fetched again."""

    def __init__(self, stores: Stores, verifier: Verifier, *, days: float, interval_seconds: float) -> None:
        self._store = stores.bare_objects
        self._verifier = verifier
        self._database = stores.database
        self._artifacts = stores.artifacts
        self._redis = stores.queue_redis
        self._queue = None if stores.settings.offline else stores.queue
        self._share = min(1.0, SLACK * interval_seconds / (days * 86_400.0))

    async def run(self) -> ScrubReport:
        """Raises what the stores raise; the next run goes on where this one stopped."""
        report = ScrubReport(at=await self._read_cursor())
        goal = _place(report.at) + self._share
        done = False
        while not done:
            rows = await self._next(report.at)
            if not rows:
                report.at, done = "", True
            for row in rows:
                await self._scrub(row, report)
                report.looked += 1
                report.at = str(row["object_key"])
                enough = report.looked >= LEAST_OBJECTS or report.bytes >= LEAST_BYTES
                if done := enough and _place(report.at) >= goal:
                    break
            await self._keep_cursor(report.at)
        log.info("scrub_done", **msgspec.structs.asdict(report))
        return report

    async def _next(self, cursor: str) -> list[Any]:
        """The objects after the cursor: files, then documents; none at the end of a round."""
        folder, _, digest = cursor.partition("/")
        if folder in ("", ARTIFACTS):
            rows = await self._database.fetch(FILES, digest, BATCH)
            if rows:
                return list(rows)
            cursor = ""
        return list(await self._database.fetch(PAGES, cursor or f"{DOCUMENTS}/", BATCH))

    async def _scrub(self, row: Any, report: ScrubReport) -> None:
        key = str(row["object_key"])
        try:
            found = await self._store.stat(key)
            if found is None and not is_occupied(self._store, key):
                return  # evicted, or lost: whoever asks for it has it fetched
            size = int(row.get("size_bytes") or (found.size_bytes if found else 0))
            report.scrubbed += 1
            report.bytes += size
            # Twice: what is deleted from a bucket is gone, and a reading may go wrong on its way.
            for _ in range(2):
                if await self._verifier.is_intact(key, size, anew=True):
                    return
        except OrchardError as error:
            log.warning("scrub_failed", key=key, error=error.code)
            return
        report.decayed += 1
        await self._heal(key, row)

    async def _heal(self, key: str, row: Any) -> None:
        async with sweeping(self._redis, key) as alone:
            if not alone:
                return  # it is being written
            await self._store.set_aside(key)
        log.warning("object_decayed", key=key)
        if row["protocol"] is None:
            return
        await self._artifacts.record_event(
            "object_decayed", row["protocol"], row["project"], row["filename"], {"object": key}
        )
        if self._queue is None or not key.startswith(f"{ARTIFACTS}/"):
            return  # a document is fetched with its page's next refresh
        job = FetchArtifact(row["protocol"], row["project"], row["file_id"], row["filename"])
        try:
            await self._queue.enqueue(job)
        except (QueueFull, QueueUnavailable) as error:
            log.info("refetch_not_queued", key=key, error=error.code)  # whoever asks for it has it fetched

    async def _read_cursor(self) -> str:
        with self._redis.guard():
            value = await self._redis.raw.get(CURSOR)
        text = value.decode("ascii", "replace") if isinstance(value, bytes) else ""
        folder = text.partition("/")[0]
        return text if folder in (ARTIFACTS, DOCUMENTS) and is_key(text) else ""

    async def _keep_cursor(self, cursor: str) -> None:
        with self._redis.guard():
            await self._redis.raw.set(CURSOR, cursor)


def _place(key: str) -> float:
    """How much of a round lies before a key: files are its first half, documents the second."""
    folder, _, digest = key.partition("/")
    return (int(digest[:8] or "0", 16) / 2**32 + (folder == DOCUMENTS)) / 2
