"""Garbage collection: finds objects without a reference, and unfinished uploads.

A crash between object and row, a newer document, a page rendered again: each leaves an object behind.
What is older than an hour and named by no row and no page head is an orphan. By default orphans are only
counted and logged (ORCHARD_SWEEP=report), for a bucket may be shared by mistake; `delete` removes them,
each under the lock that puts take (shared/objects/guard.py).

A run looks at so many objects at most, and the next goes on after the last of them (docs/decisions/0039).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence

import msgspec

from shared.builds.rows import REMOVALS
from shared.builds.sessions import Sessions
from shared.errors.passing import CacheUnavailable
from shared.models import IndexHead
from shared.objects.files import FileObjectStore
from shared.objects.guard import sweeping
from shared.objects.port import ARTIFACTS, BUILDS, FOLDERS, STATEMENTS, TILES, VARIANTS, ObjectStat, is_key
from shared.objects.s3.store import S3ObjectStore
from shared.postgres.database import Fetch
from shared.redis.types import SCAN_COUNT
from shared.stores import Stores
from shared.telemetry.logs import get_logger

log = get_logger()

YOUNG_SECONDS = 3600.0
MOST_OBJECTS = 500_000  # of one run: some seconds of a core
BATCH = 1000
BODIES = 100_000  # page bodies that are looked for in all heads at once: 30 MB
ROUND = "orchard:sweep:round"  # in the queue Redis
_HEADS = "orchard:package_index:*"

NAMED_FILES = """
SELECT 'artifacts/' || encode(sha256, 'hex') AS key FROM artifacts WHERE sha256 = ANY($1)
UNION SELECT 'artifacts/' || encode(sha256, 'hex') FROM imported_files WHERE sha256 = ANY($1)
"""
NAMED_BY_BUILDS = "SELECT DISTINCT key FROM build_objects WHERE key = ANY($1)"
NAMED_TILES = "SELECT 'tiles/' || encode(sha256, 'hex') AS key FROM log_tiles WHERE sha256 = ANY($1)"
NAMED_STATEMENTS = """
SELECT 'statements/' || encode(object, 'hex') AS key FROM statements WHERE object = ANY($1)
UNION ALL SELECT 'statements/' || encode(object, 'hex') FROM build_statements WHERE object = ANY($1)
"""
NAMED_PAGES = "SELECT document_key AS key FROM index_documents WHERE document_key = ANY($1)"

NAMED_BY_DIGEST = {ARTIFACTS: NAMED_FILES, STATEMENTS: NAMED_STATEMENTS, TILES: NAMED_TILES}
"""By folder, of those whose rows have the digests."""

_decode_head = msgspec.msgpack.Decoder(IndexHead).decode


class SweepReport(msgspec.Struct):
    """Figures of one run; `deleted` is 0 in a dry run."""

    objects: int = 0
    bytes: int = 0
    orphans: int = 0
    orphan_bytes: int = 0
    deleted: int = 0
    uploads_aborted: int = 0


class Round(msgspec.Struct):
    """How far the sweep has come: the last key that was looked at, or a folder that begins ("documents/")."""

    at: str = ""


_decode_round = msgspec.json.Decoder(Round).decode


class Sweeper:
    """One run at a time, over stores that others open and close. `most`: objects of one run; 0: all, from the
    first on."""

    def __init__(
        self, stores: Stores, *, delete: bool, young_seconds: float = YOUNG_SECONDS, most: int = MOST_OBJECTS
    ) -> None:
        self._store = stores.bare_objects
        self._database = stores.database
        self._cache_redis = stores.cache_redis
        self._queue_redis = stores.queue_redis
        self._delete = delete
        self._young_seconds = young_seconds
        self._most = most

    async def run(self) -> SweepReport:
        """Raises what the stores raise; what was done until then is done and harmless."""
        report = SweepReport()
        if isinstance(self._store, S3ObjectStore):
            report.uploads_aborted = await self._store.abort_leftovers(self._young_seconds)
        if isinstance(self._store, FileObjectStore):
            await asyncio.to_thread(self._store.clear_leftovers)
        reached = await self._read_round() if self._most else Round()
        for folder in FOLDERS:
            if folder < reached.at.partition("/")[0]:
                continue
            if not await self._sweep_folder(folder, reached, report):
                break
            reached = Round(f"{folder}0")  # "0" sorts after "/": after all of this folder
        else:
            reached = Round()
        if self._most:
            await self._keep_round(reached)
        log.info("sweep_done", dry_run=not self._delete, **msgspec.structs.asdict(report))
        return report

    async def _sweep_folder(self, folder: str, reached: Round, report: SweepReport) -> bool:
        """Whether its end was reached."""
        size = BODIES if folder == VARIANTS else BATCH
        batch: list[ObjectStat] = []
        async for found in self._store.list(f"{folder}/", reached.at):
            if not is_key(found.key):
                continue
            if self._most and report.objects >= self._most:
                await self._sweep(batch, report)
                return False
            report.objects += 1
            report.bytes += found.size_bytes
            reached.at = found.key
            if found.modified_at < time.time() - self._young_seconds:
                batch.append(found)
            if len(batch) >= size:
                await self._sweep(batch, report)
                batch = []
        await self._sweep(batch, report)
        return True

    async def _sweep(self, batch: Sequence[ObjectStat], report: SweepReport) -> None:
        if not batch:
            return
        named = await self._named([each.key for each in batch])
        orphans = [each for each in batch if each.key not in named]
        report.orphans += len(orphans)
        report.orphan_bytes += sum(each.size_bytes for each in orphans)
        if not self._delete or not orphans:
            return
        if orphans[0].key.startswith(f"{VARIANTS}/"):
            # A head names a body that was just put, which the lock and its age tell, or copies the name from
            # an older head, which may have been out of sight while it was replaced: hence once more.
            named = await self._named([each.key for each in orphans])
        for each in orphans:
            if each.key not in named and await self._delete_orphan(each.key):
                report.deleted += 1

    async def _delete_orphan(self, key: str) -> bool:
        """Deletes one orphan under the lock, after checking again what may have changed."""
        async with sweeping(self._queue_redis, key) as alone:
            if not alone:
                return False
            found = await self._store.stat(key)
            if found is None or found.modified_at >= time.time() - self._young_seconds:
                return False
            if not key.startswith(f"{VARIANTS}/") and await self._named([key]):
                return False
            if not await self._database.sharing(REMOVALS, lambda fetch: self._remove(key, fetch)):
                return False
            log.info("orphan_deleted", key=key, size_bytes=found.size_bytes)
            return True

    async def _remove(self, key: str, fetch: Fetch) -> bool:
        if await fetch(NAMED_BY_BUILDS, [key]):  # an import has named it
            return False
        await self._store.delete(key)
        return True

    async def _named(self, keys: Sequence[str]) -> set[str]:
        """Of these keys of one folder those that are named."""
        rows = await self._database.fetch(NAMED_BY_BUILDS, list(keys))
        named = {str(row["key"]) for row in rows}
        if keys[0].startswith(f"{VARIANTS}/"):
            named |= await Sessions(self._queue_redis).objects_in_use()
        return named | await self._named_elsewhere(keys)

    async def _named_elsewhere(self, keys: Sequence[str]) -> set[str]:
        """By what is no build."""
        if keys[0].startswith(f"{BUILDS}/"):
            return set()
        if keys[0].startswith(f"{VARIANTS}/"):
            return await self._named_by_heads(keys)
        statement = NAMED_BY_DIGEST.get(keys[0].partition("/")[0])
        if statement is not None:
            rows = await self._database.fetch(statement, [bytes.fromhex(each[-64:]) for each in keys])
        else:
            rows = await self._database.fetch(NAMED_PAGES, list(keys))
        return {str(row["key"]) for row in rows}

    async def _named_by_heads(self, keys: Collection[str]) -> set[str]:
        """Large bodies are named by page heads in the cache alone. A head that we cannot read may name any
        of them, so nothing is deleted; nor while the cache does not answer. All heads are read once, however
        many the keys are."""
        wanted, named = set(keys), set[str]()
        try:
            async for names in self._cache_redis.scan(_HEADS, SCAN_COUNT):
                heads = [name for name in names if ":v:" not in name]
                for value in await self._cache_redis.get_many(heads):
                    if value is not None:
                        bodies = _decode_head(value).variants.values()
                        named.update(body.object_key for body in bodies if body.object_key in wanted)
        except (CacheUnavailable, msgspec.MsgspecError) as error:
            log.info("variants_not_swept", reason=type(error).__name__)
            return wanted
        return named

    async def _read_round(self) -> Round:
        with self._queue_redis.guard():
            value = await self._queue_redis.raw.get(ROUND)
        try:
            return Round() if value is None else _decode_round(value)
        except msgspec.MsgspecError:
            return Round()

    async def _keep_round(self, reached: Round) -> None:
        with self._queue_redis.guard():
            await self._queue_redis.raw.set(ROUND, msgspec.json.encode(reached))
