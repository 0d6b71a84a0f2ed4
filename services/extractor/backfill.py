"""Back-fill: a stored wheel's own METADATA becomes the metadata file that its index advertises.

ARCHITECTURE.md "Back-fill": object, then row (pinned for ever, first one stands), then the cache, then
the index is rendered again. Nothing that a page has shown changes: where the upstream already
advertises other metadata than the wheel holds, the upstream's is left to be fetched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from shared.artifacts import ArtifactRepository
from shared.cache import CacheService
from shared.clients.object_verify import read_whole
from shared.clients.objects import ObjectStore, artifact_key
from shared.clients.queue import JobQueue
from shared.clients.threads import BoundedThreads
from shared.errors import CacheUnavailable, ObjectMissing, QueueFull
from shared.jobs import ExtractDependencies, RenderIndex
from shared.logs import get_logger
from shared.models import FORMAT, ArtifactFacts, CachedUrl, FileEntry
from shared.protocols.base import PackageProxyBase

log = get_logger()

# An install brings many wheels of one project rarely, but a mirror run does: one rendering for all
# that become known within this time.
RENDER_AFTER_SECONDS = 2.0
# Core metadata is UTF-8 text (core metadata specification, 2.1 and later).
METADATA_TYPE = "text/plain; charset=utf-8"
_STRENGTH = ("sha512", "sha384", "sha256", "blake2b", "sha224", "sha1", "md5")


class MetadataBackfill:
    """Seals metadata documents and tells the index of them."""

    def __init__(
        self,
        *,
        artifacts: ArtifactRepository,
        store: ObjectStore,
        cache: CacheService,
        queue: JobQueue,
        threads: BoundedThreads,
    ) -> None:
        self._artifacts = artifacts
        self._store = store
        self._cache = cache
        self._queue = queue
        self._threads = threads

    async def stands(self, protocol: PackageProxyBase, job: ExtractDependencies) -> bool:
        """Whether nothing is to be back-filled: the row is there, or such files have no metadata."""
        name = protocol.metadata_filename(job.filename)
        if name is None:
            return True
        found = await self._artifacts.get_cached_url_with_artifact(
            job.protocol, job.project, job.file_id, name
        )
        return found is not None

    async def seal(
        self, protocol: PackageProxyBase, job: ExtractDependencies, raw_metadata: bytes, generation: int
    ) -> bool:
        """Store and pin the document. True: the index does not advertise it yet."""
        name = protocol.metadata_filename(job.filename)
        assert name is not None
        advertised = await self._advertised(protocol, job)
        if advertised and not _matches(advertised, raw_metadata):
            log.warning("metadata_differs", protocol=job.protocol, filename=job.filename)
            await self._artifacts.record_event(
                "metadata_differs", job.protocol, job.project, job.filename, {"advertised": advertised}
            )
            return False
        resource = protocol.artifact_resource(job.project, job.file_id, name)
        sha256 = hashlib.sha256(raw_metadata).hexdigest()
        key = artifact_key(sha256)
        await self._store.put_bytes(key, raw_metadata)
        standing = await self._artifacts.seal_metadata(
            CachedUrl(
                protocol=job.protocol,
                project=job.project,
                file_id=job.file_id,
                filename=name,
                sha256=sha256,
                size_bytes=len(raw_metadata),
                content_type=resource.content_type or METADATA_TYPE,
                object_key=key,
                generation=generation,
                role="metadata",
            )
        )
        facts = ArtifactFacts(
            format=FORMAT,
            sha256=standing.sha256,
            size_bytes=standing.size_bytes,
            content_type=standing.content_type,
            object_key=standing.object_key,
            filename=name,
            created_at=standing.created_at,
        )
        try:
            await self._cache.write_facts(job.protocol, resource.identity, facts)
        except CacheUnavailable as error:
            log.info("cache_not_written", error=error.message)
        log.info(
            "metadata_backfilled",
            protocol=job.protocol,
            filename=job.filename,
            metadata_sha256=standing.sha256,
            first=standing.sha256 == sha256,
        )
        return not advertised

    async def tell_index(self, protocol: PackageProxyBase, job: ExtractDependencies) -> None:
        """Have the project's page rendered again, once for all that happens within two seconds."""
        render = RenderIndex(
            protocol=job.protocol,
            identity=protocol.index_identity(job.project),
            request_id=job.request_id,
        )
        try:
            await self._queue.enqueue(render, defer_seconds=RENDER_AFTER_SECONDS)
        except QueueFull as error:  # the page's next refresh shows it as well
            log.info("render_not_queued", error=error.message)

    async def _advertised(self, protocol: PackageProxyBase, job: ExtractDependencies) -> Mapping[str, str]:
        """The digests of the metadata that the upstream's last document gives, {} if none."""
        identity = protocol.index_identity(job.project)
        document = await self._artifacts.stored_document(job.protocol, identity)
        if document is None:
            return {}
        try:
            body = await read_whole(self._store, document.document_key, self._threads)
        except ObjectMissing:
            return {}
        # Large pages take tens of milliseconds to decode: not on the loop.
        entry = await self._threads.run(_find, protocol, body, job.file_id, job.filename)
        return (entry.metadata_hashes or {}) if entry else {}


def _find(protocol: PackageProxyBase, body: bytes, file_id: str, filename: str) -> FileEntry | None:
    return protocol.find_file(protocol.decode_document(body), file_id, filename)


def _matches(digests: Mapping[str, str], data: bytes) -> bool:
    """Whether the strongest digest that we can compute is this data's (the rule for downloads too)."""
    for algorithm in _STRENGTH:
        if algorithm in digests:
            computed = hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
            return computed == digests[algorithm].lower()
    return False
