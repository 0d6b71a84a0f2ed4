"""Garbage collection: finds objects without a reference, and unfinished uploads.

A crash between object and row, a newer document, a page rendered again: each leaves an object behind.
What is older than an hour and named by no row and no page head is an orphan. By default orphans are only
counted and logged (ORCHARD_SWEEP=report), for a bucket may be shared by mistake; `delete` removes them,
each under the lock that puts take (shared/objects/guard.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import msgspec

from shared.errors import CacheUnavailable, OrchardError
from shared.models import IndexHead
from shared.objects.files import FileObjectStore
from shared.objects.guard import sweeping
from shared.objects.port import ARTIFACTS, DOCUMENTS, VARIANTS, ObjectStat, is_key
from shared.objects.s3.store import S3ObjectStore
from shared.process.periodic import Every
from shared.redis.client import RedisClient
from shared.redis.script import take_mark
from shared.stores import Stores
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import STORED_BYTES

log = get_logger()

YOUNG_SECONDS = 3600.0
FIRST_SECONDS = 60.0
BATCH = 1000
_HEADS = "orchard:package_index:*"

NAMED = """
SELECT k.key FROM unnest($1::text[]) AS k(key)
WHERE EXISTS (SELECT FROM artifacts a
              WHERE k.key LIKE 'artifacts/%' AND a.sha256 = decode(split_part(k.key, '/', 2), 'hex'))
   OR EXISTS (SELECT FROM index_documents d WHERE d.document_key = k.key)
"""

_decode_head = msgspec.msgpack.Decoder(IndexHead).decode


class SweepReport(msgspec.Struct):
    """Figures of one run; `deleted` is 0 in a dry run."""

    objects: int = 0
    bytes: int = 0
    orphans: int = 0
    orphan_bytes: int = 0
    deleted: int = 0
    uploads_aborted: int = 0


class Sweeper:
    """One run at a time, over stores that others open and close."""

    def __init__(self, stores: Stores, *, delete: bool, young_seconds: float = YOUNG_SECONDS) -> None:
        self._store = stores.bare_objects
        self._database = stores.database
        self._cache_redis = stores.cache_redis
        self._queue_redis = stores.queue_redis
        self._delete = delete
        self._young_seconds = young_seconds

    async def run(self) -> SweepReport:
        """Raises what the stores raise; what was done until then is done and harmless."""
        report = SweepReport()
        if isinstance(self._store, S3ObjectStore):
            report.uploads_aborted = await self._store.abort_leftovers(self._young_seconds)
        if isinstance(self._store, FileObjectStore):
            await asyncio.to_thread(self._store.clear_leftovers)
        for folder in (ARTIFACTS, DOCUMENTS, VARIANTS):
            batch: list[ObjectStat] = []
            stored_bytes = 0
            async for found in self._store.list(f"{folder}/"):
                if not is_key(found.key):
                    continue
                report.objects += 1
                stored_bytes += found.size_bytes
                if found.modified_at < time.time() - self._young_seconds:
                    batch.append(found)
                if len(batch) >= BATCH:
                    await self._sweep(batch, report)
                    batch = []
            await self._sweep(batch, report)
            STORED_BYTES.labels(folder).set(stored_bytes)
            report.bytes += stored_bytes
        log.info("sweep_done", dry_run=not self._delete, **msgspec.structs.asdict(report))
        return report

    async def _sweep(self, batch: Sequence[ObjectStat], report: SweepReport) -> None:
        if not batch:
            return
        named = await self._named([each.key for each in batch])
        for each in batch:
            if each.key in named:
                continue
            report.orphans += 1
            report.orphan_bytes += each.size_bytes
            if self._delete and await self._delete_orphan(each.key):
                report.deleted += 1

    async def _delete_orphan(self, key: str) -> bool:
        """Deletes one orphan under the lock, after checking everything again."""
        async with sweeping(self._queue_redis, key) as alone:
            if not alone:
                return False
            found = await self._store.stat(key)
            if found is None or found.modified_at >= time.time() - self._young_seconds:
                return False
            if key in await self._named([key]):
                return False
            await self._store.delete(key)
            log.info("orphan_deleted", key=key, size_bytes=found.size_bytes)
            return True

    async def _named(self, keys: list[str]) -> set[str]:
        if keys[0].startswith(f"{VARIANTS}/"):
            return await self._named_by_heads(keys)
        return {str(row["key"]) for row in await self._database.fetch(NAMED, keys)}

    async def _named_by_heads(self, keys: list[str]) -> set[str]:
        """Large bodies are named by page heads in the cache alone. A head that we cannot read may name any
        of them, so nothing is deleted; nor while the cache does not answer."""
        named: set[str] = set()
        try:
            with self._cache_redis.guard():
                async for name in self._cache_redis.raw.scan_iter(match=_HEADS, count=1000):
                    if b":v:" in name:
                        continue
                    value = await self._cache_redis.raw.get(name)
                    if value is not None:
                        head = _decode_head(value)
                        named.update(v.object_key for v in head.variants.values() if v.object_key)
        except (CacheUnavailable, msgspec.MsgspecError) as error:
            log.info("variants_not_swept", reason=type(error).__name__)
            return set(keys)
        return named


class Run(Protocol):
    """One piece of housekeeping."""

    async def run(self) -> object:
        """Raises `OrchardError` when a store fails."""
        ...


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
