"""Back-fill: a stored wheel's own METADATA becomes the metadata file that its index advertises.

ARCHITECTURE.md "Back-fill": object, then row (pinned for ever, first one stands), then the cache, then
the index is rendered again. Nothing that a page has shown changes: where the upstream already
advertises other metadata than the wheel holds, the upstream's is left to be fetched. What was read of the
wheel before it was stored was shown without a digest, and is compared and replaced here
(docs/decisions/0033).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from shared.artifacts.repository import ArtifactRepository
from shared.cache.service import CacheService
from shared.digests import matches
from shared.errors.passing import CacheUnavailable, ObjectMissing
from shared.models import CachedUrl, FileEntry, FileName, StandingFile, StoredFile
from shared.objects.port import ObjectStore, artifact_key
from shared.objects.verify import read_whole
from shared.process.threads import BoundedThreads
from shared.protocols.base import PackageProxyBase
from shared.queue.context import JobContext
from shared.queue.jobs import IN_USE, ExtractDependencies, RenderIndex
from shared.telemetry.logs import get_logger

log = get_logger()

# An install brings many wheels of one project rarely, but a mirror run does: one rendering for all
# that become known within this time.
RENDER_AFTER_SECONDS = 2.0
# Core metadata is UTF-8 text (core metadata specification, 2.1 and later).
METADATA_TYPE = "text/plain; charset=utf-8"
ROW_SECONDS = 1e-6  # two rows of one name are made at least so far apart


class MetadataBackfill:
    """Seals metadata documents and has their index rendered again."""

    def __init__(
        self,
        *,
        artifacts: ArtifactRepository,
        store: ObjectStore,
        cache: CacheService,
        threads: BoundedThreads,
    ) -> None:
        self._artifacts = artifacts
        self._store = store
        self._cache = cache
        self._threads = threads

    async def seal(
        self,
        ctx: JobContext,
        protocol: PackageProxyBase,
        job: ExtractDependencies,
        name: str,
        raw_metadata: bytes,
        stored: StandingFile,
    ) -> None:
        """Store and pin the document as the file `name`; where the index does not tell its digest yet, a
        rendering follows. What was read of it before the file was stored gives way."""
        advertised = await self._advertised(protocol, job, stored.document_key)
        if advertised and not matches(advertised, raw_metadata):
            await self._differs(job, {"advertised": advertised})
            if stored.provisional_sha256:  # whoever compares it with what is advertised refuses it
                await self._drop(job, name)
            return
        if not advertised:  # before the row: whoever finds that, after a failure, does not know any more
            self.render_index(ctx, protocol, job)
        file = msgspec.structs.replace(job.file, filename=name)
        resource = protocol.grammar.artifact_resource(file)
        sha256 = hashlib.sha256(raw_metadata).hexdigest()
        key = artifact_key(sha256)
        await self._store.put_bytes(key, raw_metadata)
        url = CachedUrl(
            file,
            StoredFile(
                sha256=sha256,
                size_bytes=len(raw_metadata),
                content_type=resource.content_type or METADATA_TYPE,
                object_key=key,
                filename=name,
            ),
            generation=ctx.generation,
            role="metadata",
        )
        provisional = stored.provisional_sha256
        if provisional:
            if provisional != sha256:
                await self._differs(job, {"provisional": provisional})
            standing = await self._artifacts.pin_metadata(url)
            await self._forget(file, standing.created_at - ROW_SECONDS)
        else:
            standing = await self._artifacts.seal_metadata(url)
        await self._cache.write_facts(file, standing)
        log.info(
            "metadata_backfilled",
            protocol=job.protocol,
            filename=job.filename,
            metadata_sha256=standing.sha256,
            first=standing.sha256 == sha256,
        )

    async def disown(self, job: ExtractDependencies, name: str, stored: StandingFile) -> None:
        """Take away what was read of a file before it was stored: the stored one holds no such thing."""
        await self._differs(job, {"provisional": stored.provisional_sha256})
        await self._drop(job, name)

    async def _drop(self, job: ExtractDependencies, name: str) -> None:
        file = msgspec.structs.replace(job.file, filename=name)
        created_at = await self._artifacts.drop_provisional(file)
        if created_at:
            await self._forget(file, created_at)

    async def _differs(self, job: ExtractDependencies, detail: Mapping[str, object]) -> None:
        log.warning("metadata_differs", protocol=job.protocol, filename=job.filename)
        await self._artifacts.record_event(
            "metadata_differs", job.protocol, job.project, job.filename, detail
        )

    async def _forget(self, file: FileName, created_at: float) -> None:
        """Facts of a row of that time must not come back from whoever still has them."""
        try:
            await self._cache.fence_facts(file, created_at)
        except CacheUnavailable as error:
            log.info("cache_not_written", error=error.message)

    def render_index(
        self, ctx: JobContext, protocol: PackageProxyBase, job: ExtractDependencies, project: str = ""
    ) -> None:
        """Have a page rendered again, that of the job's project or of another, once for all that happens
        within two seconds."""
        render = RenderIndex(
            protocol=job.protocol,
            identity=protocol.grammar.index_identity(project or job.project),
            request_id=job.request_id,
            variant=IN_USE,
        )
        ctx.follow(render, defer_seconds=RENDER_AFTER_SECONDS)

    async def _advertised(
        self, protocol: PackageProxyBase, job: ExtractDependencies, document_key: str
    ) -> Mapping[str, str]:
        """The digests of the metadata file in the upstream's last document, {} if none."""
        if not document_key:
            return {}
        try:
            body = await read_whole(self._store, document_key, self._threads)
        except ObjectMissing:
            return {}
        # Large pages take tens of milliseconds to decode: not on the loop.
        entry = await self._threads.run(_find, protocol, body, job.file)
        return (entry.metadata_hashes or {}) if entry else {}


def _find(protocol: PackageProxyBase, body: bytes, file: FileName) -> FileEntry | None:
    return protocol.documents.find_file(protocol.documents.decode_document(body), file)
