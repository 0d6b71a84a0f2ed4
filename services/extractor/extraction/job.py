"""Job `extract_dependencies`: a stored artifact's dependencies into rows, its core metadata into the index.

It is idempotent and may be killed anywhere: the final state is written after the metadata, so that an
interrupted run leaves the artifact `pending`, to be read again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from services.extractor.extraction.backfill import MetadataBackfill
from services.extractor.extraction.licences import LicenceNotes
from services.extractor.extraction.sandbox.parent import Outcome, Sandbox
from shared.artifacts.repository import ArtifactRepository
from shared.cache.keys import Category
from shared.cache.service import CacheService
from shared.errors import InvalidData
from shared.errors.passing import CacheUnavailable, PassingError, ShuttingDown
from shared.models import Extraction, StoredFile
from shared.postgres.batches import BatchWriter
from shared.protocols.base import PackageProxyBase
from shared.queue.context import JobContext
from shared.queue.jobs import ExtractDependencies
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger

log = get_logger()

R = TypeVar("R")

RETRY_DELAYS_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 10.0, 10.0)  # later `PendingSweep` finds it
_REASONS = frozenset({"memory", "time", "size", "depth", "crash", "invalid"})

encode_extraction = msgspec.msgpack.Encoder().encode


class ExtractDependenciesHandler:
    """`handlers[ExtractDependencies]` of an extractor."""

    def __init__(
        self,
        *,
        artifacts: ArtifactRepository,
        extractions: BatchWriter[Extraction, bool],
        cache: CacheService,
        sandbox: Sandbox,
        backfill: MetadataBackfill,
        licences: LicenceNotes,
        protocols: Mapping[str, PackageProxyBase],
    ) -> None:
        self._artifacts = artifacts
        self._extractions = extractions
        self._cache = cache
        self._sandbox = sandbox
        self._backfill = backfill
        self._licences = licences
        self._protocols = protocols

    async def __call__(self, ctx: JobContext, job: ExtractDependencies) -> None:
        """Returns when everything is written. Raises `PassingError` when a store stays away: the
        artifact stays `pending` and is found by the sweep (pending.py)."""
        await _with_retries(lambda: self._run(ctx, job))

    async def _run(self, ctx: JobContext, job: ExtractDependencies) -> None:
        protocol = self._protocols[job.protocol]
        metadata_name = protocol.archive.metadata_filename(job.filename)
        index = protocol.grammar.index_identity(job.project)
        standing = await self._artifacts.standing_file(job.file, metadata_name or "", index)
        if standing is None:
            log.info("extraction_skipped", filename=job.filename, reason="not stored")
            return
        if ctx.taken_over and standing.has_metadata:  # the run before was cut after it wrote that
            self._backfill.render_index(ctx, protocol, job)
        metadata_stands = standing.has_metadata or metadata_name is None
        state = standing.state
        if state in ("unknown", "unextractable") or (state == "extracted" and metadata_stands):
            return
        outcome = await self._read(protocol, job, standing.stored)
        if outcome.raw_metadata is not None and metadata_name is not None and not metadata_stands:
            await self._backfill.seal(ctx, protocol, job, metadata_name, outcome.raw_metadata, standing)
        elif metadata_name is not None and standing.provisional_sha256:
            await self._backfill.disown(job, metadata_name, standing)
        await self._licences.note(ctx, protocol, job, outcome.extraction)
        await self._store(job, outcome)

    async def _read(self, protocol: PackageProxyBase, job: ExtractDependencies, file: StoredFile) -> Outcome:
        if not protocol.archive.is_extractable(job.filename):
            reason = "files of this kind declare no dependencies"
            return Outcome(Extraction(sha256=file.sha256, state="unknown", reason=reason), None, 0)
        started = time.perf_counter()
        outcome = await self._sandbox.extract(
            protocol=job.protocol,
            filename=job.filename,
            sha256=file.sha256,
            key=file.object_key,
            size_bytes=file.size_bytes,
        )
        log.info(
            "artifact_read",
            protocol=job.protocol,
            filename=job.filename,
            sha256=file.sha256,
            state=outcome.extraction.state,
            reason=outcome.extraction.reason,
            dependencies=len(outcome.extraction.dependencies),
            bytes_read=outcome.bytes_read,
            size_bytes=file.size_bytes,
            seconds=round(time.perf_counter() - started, 4),
        )
        return outcome

    async def _store(self, job: ExtractDependencies, outcome: Outcome) -> None:
        extraction = msgspec.structs.replace(outcome.extraction, licence=None, licence_at=None)  # noted apart
        try:
            await self._extractions.add(extraction)
        except InvalidData as error:
            log.warning("extraction_not_storable", sha256=extraction.sha256, reason=error.message)
            reason = "invalid: what it declares cannot be stored"
            extraction = Extraction(sha256=extraction.sha256, state="unextractable", reason=reason)
            await self._extractions.add(extraction)
        _count(job.protocol, extraction, outcome.bytes_read)
        # The list of the package's files shows the state of each.
        await _best_effort(self._cache.delete(Category.PACKAGE_VERSIONS, job.protocol, job.project))
        if extraction.state == "extracted":  # only what is finished is cached for ever
            await _best_effort(
                self._cache.set(
                    Category.ARTIFACT_DEPENDENCIES,
                    job.protocol,
                    extraction.sha256,
                    encode_extraction(extraction),
                )
            )


async def _with_retries(call: Callable[[], Awaitable[R]]) -> R:
    """The call's result; passing errors are retried for about half a minute."""
    for delay in RETRY_DELAYS_SECONDS:
        try:
            return await call()
        except ShuttingDown:
            raise
        except PassingError as error:
            log.info("extraction_waits", error=error.code, retry_seconds=delay)
        await asyncio.sleep(delay)
    return await call()


async def _best_effort(write: Awaitable[Any]) -> None:
    """Awaits a write to the cache; a cache that is away is only logged: readers ask the database then."""
    try:
        await write
    except CacheUnavailable as error:
        log.info("cache_not_written", error=error.message)


def _count(protocol: str, extraction: Extraction, bytes_read: int) -> None:
    reason = ""
    if extraction.state != "extracted":
        word = extraction.reason.partition(":")[0]
        reason = word if word in _REASONS else "content"
    metrics.EXTRACTIONS.labels(protocol, extraction.state, reason).inc()
    metrics.EXTRACTION_BYTES_READ.inc(bytes_read)
