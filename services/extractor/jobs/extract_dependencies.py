"""The job that reads a stored artifact: its dependencies into rows, its core metadata into the index.

It can run twice and can be cut off anywhere: what it writes is decided by what already stands, and
the final state is written after the metadata, so that a cut leaves the artifact to be read again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from services.extractor.backfill import MetadataBackfill
from services.extractor.sandbox import Outcome, Sandbox
from shared import metrics
from shared.artifacts import ArtifactRepository
from shared.batches import BatchWriter
from shared.cache import CacheService, Category
from shared.clients.queue_context import JobContext
from shared.errors import CacheUnavailable, InvalidData, PassingError, ShuttingDown
from shared.jobs import ExtractDependencies
from shared.logs import get_logger
from shared.models import ArtifactFacts, Extraction
from shared.protocols.base import PackageProxyBase

log = get_logger()

R = TypeVar("R")

RETRY_DELAYS_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 10.0, 10.0)  # half a minute; then the sweep's turn
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
        protocols: Mapping[str, PackageProxyBase],
    ) -> None:
        self._artifacts = artifacts
        self._extractions = extractions
        self._cache = cache
        self._sandbox = sandbox
        self._backfill = backfill
        self._protocols = protocols

    async def __call__(self, ctx: JobContext, job: ExtractDependencies) -> None:
        """Returns when everything is written. Raises `PassingError` when a store stays away: the
        artifact stays `pending` and is found by the sweep (pending.py)."""
        await _patiently(lambda: self._run(ctx, job))

    async def _run(self, ctx: JobContext, job: ExtractDependencies) -> None:
        protocol = self._protocols[job.protocol]
        facts = await self._artifacts.get_cached_url_with_artifact(
            job.protocol, job.project, job.file_id, job.filename
        )
        known = await self._artifacts.get_extraction(facts.sha256) if facts else None
        if facts is None or known is None:
            log.info("extraction_skipped", filename=job.filename, reason="not stored")
            return
        metadata_stands = await self._backfill.stands(protocol, job)
        if known.state in ("unknown", "unextractable") or (known.state == "extracted" and metadata_stands):
            if ctx.try_number > 1 and metadata_stands:  # whoever died here may not have told the index
                await self._backfill.tell_index(protocol, job)
            return
        outcome = await self._read(protocol, job, facts)
        news = False
        if outcome.raw_metadata is not None and not metadata_stands:
            news = await self._backfill.seal(protocol, job, outcome.raw_metadata, ctx.generation)
        await self._store(job, outcome)
        if news:
            await self._backfill.tell_index(protocol, job)

    async def _read(
        self, protocol: PackageProxyBase, job: ExtractDependencies, facts: ArtifactFacts
    ) -> Outcome:
        if not protocol.is_extractable(job.filename):
            reason = "files of this kind declare no dependencies"
            return Outcome(Extraction(sha256=facts.sha256, state="unknown", reason=reason), None, 0)
        started = time.perf_counter()
        outcome = await self._sandbox.extract(
            protocol=job.protocol,
            filename=job.filename,
            sha256=facts.sha256,
            key=facts.object_key,
            size_bytes=facts.size_bytes,
        )
        log.info(
            "artifact_read",
            protocol=job.protocol,
            filename=job.filename,
            sha256=facts.sha256,
            state=outcome.extraction.state,
            reason=outcome.extraction.reason,
            dependencies=len(outcome.extraction.dependencies),
            bytes_read=outcome.bytes_read,
            size_bytes=facts.size_bytes,
            seconds=round(time.perf_counter() - started, 4),
        )
        return outcome

    async def _store(self, job: ExtractDependencies, outcome: Outcome) -> None:
        extraction = outcome.extraction
        try:
            await self._extractions.add(extraction)
        except InvalidData as error:
            log.warning("extraction_not_storable", sha256=extraction.sha256, reason=error.message)
            reason = "invalid: what it declares cannot be stored"
            extraction = Extraction(sha256=extraction.sha256, state="unextractable", reason=reason)
            await self._extractions.add(extraction)
        _count(job.protocol, extraction, outcome.bytes_read)
        # The list of the package's files shows the state of each.
        await _gladly(self._cache.delete(Category.PACKAGE_VERSIONS, job.protocol, job.project))
        if extraction.state == "extracted":  # ARCHITECTURE.md: only what is finished is kept for ever
            await _gladly(
                self._cache.set(
                    Category.ARTIFACT_DEPENDENCIES,
                    job.protocol,
                    extraction.sha256,
                    encode_extraction(extraction),
                )
            )


async def _patiently(call: Callable[[], Awaitable[R]]) -> R:
    """The call's result; a store's passing trouble is waited out for about half a minute."""
    for delay in RETRY_DELAYS_SECONDS:
        try:
            return await call()
        except ShuttingDown:
            raise
        except PassingError as error:
            log.info("extraction_waits", error=error.code, retry_seconds=delay)
        await asyncio.sleep(delay)
    return await call()


async def _gladly(write: Awaitable[Any]) -> None:
    """A cache that is away is no reason to read an artifact again: readers ask the database then."""
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
