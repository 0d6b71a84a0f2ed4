"""`LicenceNotes`: what files tell of their licence, into rows; and what was judged without knowing it, judged
anew."""

from __future__ import annotations

import asyncio

from services.extractor.extraction.backfill import ROW_SECONDS, MetadataBackfill
from shared.cache.service import CacheService
from shared.errors.passing import CacheUnavailable
from shared.models import Extraction, FileName
from shared.postgres.database import Database, Row
from shared.protocols.base import PackageProxyBase
from shared.queue.context import JobContext
from shared.queue.jobs import ExtractDependencies
from shared.telemetry.logs import get_logger

log = get_logger()

MOST_BELOW = 10_000  # files that have their licence from one
READERS_SECONDS = 0.3  # whoever read a row just before has written the facts of it by then

NOTE = """
WITH inherited AS (
    INSERT INTO inherited_licences (sha256, told_at) SELECT $1::bytea, $3::text WHERE $3::text <> ''
    ON CONFLICT (sha256) DO UPDATE SET told_at = excluded.told_at
)
UPDATE artifacts SET licence = $2 WHERE sha256 = $1::bytea
"""
# What of a project was judged is judged again: what is new since the last allowed version may be another. By
# a statement of its own after that: it sees each row whose fetcher did not see the licence (`Ages.settled`).
FORGET_JUDGED = """
WITH named AS (
    SELECT DISTINCT project, file_id, filename FROM cached_urls
    WHERE sha256 = $1::bytea AND protocol = $2 AND role = 'file'
), judged AS (
    UPDATE cached_urls SET judged = ''
    WHERE protocol = $2 AND project IN (SELECT project FROM named) AND judged <> ''
    RETURNING project, file_id, filename, extract(epoch FROM created_at)::float8 AS created_at
)
SELECT NULL::bytea AS below, project, file_id, filename, created_at FROM judged
UNION ALL SELECT sha256, '', '', '', 0 FROM inherited_licences
WHERE told_at IN (SELECT concat_ws(E'\\n', project, file_id, filename) FROM named)
"""
ELSEWHERE = """
SELECT a.licence FROM cached_urls c JOIN artifacts a USING (sha256)
WHERE c.protocol = $1 AND c.project = $2 AND c.file_id = $3 AND c.filename = $4
"""


class LicenceNotes:
    """Doing it again changes nothing. Methods raise `DatabaseUnavailable`."""

    def __init__(self, database: Database, cache: CacheService, backfill: MetadataBackfill) -> None:
        self._database = database
        self._cache = cache
        self._backfill = backfill

    async def note(
        self, ctx: JobContext, protocol: PackageProxyBase, job: ExtractDependencies, told: Extraction
    ) -> None:
        """Before the extraction is final, so that a run that is cut off is made again."""
        licence, at = told.licence, told.licence_at
        if licence is None and at is None:
            return
        digest, place = bytes.fromhex(told.sha256), "" if at is None else "\n".join(at)
        rows = await self._note(digest, licence, place, protocol)
        if licence is None and at is not None:  # noted first: whoever stores the other now finds it
            row = await self._database.fetchrow(ELSEWHERE, protocol.name, *at)
            licence = None if row is None else row["licence"]
            if licence is None:
                return
            rows = await self._note(digest, licence, place, protocol)
        noted, judged = {digest}, []
        while rows:
            row = rows.pop()
            if row["below"] is None:
                judged.append(row)
            elif (below := bytes(row["below"])) not in noted and len(noted) < MOST_BELOW:
                noted.add(below)
                rows += await self._note(below, licence, "", protocol)
        await self._judge_anew(ctx, protocol, job, judged)

    async def _note(
        self, digest: bytes, licence: str | None, place: str, protocol: PackageProxyBase
    ) -> list[Row]:
        """What was judged without it, and the files below."""
        await self._database.execute(NOTE, digest, licence, place)
        if licence is None:
            return []
        return list(await self._database.fetch(FORGET_JUDGED, digest, protocol.name))

    async def _judge_anew(
        self, ctx: JobContext, protocol: PackageProxyBase, job: ExtractDependencies, rows: list[Row]
    ) -> None:
        for project in sorted({row["project"] for row in rows}):
            self._backfill.render_index(ctx, protocol, job, project)
        for again in (False, True) if rows else ():
            if again:
                await asyncio.sleep(READERS_SECONDS)
            for row in rows:
                file = FileName(protocol.name, row["project"], row["file_id"], row["filename"])
                try:
                    await self._cache.fence_facts(file, row["created_at"] - ROW_SECONDS)
                except CacheUnavailable as error:
                    log.info("cache_not_written", error=error.message)
