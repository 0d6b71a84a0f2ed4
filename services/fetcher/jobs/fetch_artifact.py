"""Job `fetch_artifact`: download, relay meanwhile, verify, store, tell.

Order of writes: object under its hash → row → cache → event. The spool's readers end normally only
after that, so a complete transfer is always a correct and a kept one.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path

import msgspec

from services.fetcher.direct import DirectFiles, PublishedCheck
from services.fetcher.download import Download, GoneUpstream
from services.fetcher.entries import Entries, Found, Refresh
from services.fetcher.live import LiveDownload, LiveDownloads
from services.fetcher.metadata_fallback import MetadataFallback, parent_of
from services.fetcher.sealing import Sealer, public_url
from services.fetcher.spool import Spool
from services.fetcher.upstreams import Upstreams
from shared.artifacts import ArtifactRepository, UrlName
from shared.batches import BatchWriter
from shared.clients.objects import ObjectStore, artifact_key
from shared.clients.queue import JobQueue
from shared.clients.queue_context import JobContext
from shared.clients.threads import BoundedThreads
from shared.errors import (
    DigestMismatch,
    FileNotFound,
    PassingError,
    QueueFull,
    QueueUnavailable,
    UpstreamUnavailable,
)
from shared.jobs import ExtractDependencies, FetchArtifact
from shared.logs import get_logger
from shared.models import ArtifactFacts, CachedUrl
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase, Resource

log = get_logger()

SMALL_BYTES = 256 * 1024
SMALL_DELAY_SECONDS = 0.025  # a small file is done before a reader could have connected
WHOLE_DELAY_SECONDS = 0.25  # all bytes are here, and soon sealed: a relay would only be more work

_encode = msgspec.msgpack.Encoder().encode
_numbers = itertools.count()


class FetchArtifactJob:
    """Handler of `FetchArtifact`."""

    def __init__(
        self,
        *,
        upstreams: Upstreams,
        entries: Entries,
        direct: DirectFiles,
        refresh: Refresh,
        live: LiveDownloads,
        sealer: Sealer,
        fallback: MetadataFallback,
        artifacts: ArtifactRepository,
        lookups: BatchWriter[UrlName, ArtifactFacts | None],
        objects: ObjectStore,
        queue: JobQueue,
        threads: BoundedThreads,
        spool_folder: Path,
        max_bytes: int,
    ) -> None:
        self._upstreams = upstreams
        self._entries = entries
        self._direct = direct
        self._refresh = refresh
        self._live = live
        self._sealer = sealer
        self._fallback = fallback
        self._artifacts = artifacts
        self._lookup = lookups.add  # jobs of a burst share statements
        self._objects = objects
        self._queue = queue
        self._threads = threads
        self._spool_folder = spool_folder
        self._max_bytes = max_bytes

    async def __call__(self, ctx: JobContext, job: FetchArtifact) -> None:
        """Raises `FileNotFound`, `DigestMismatch` or why the file cannot be had now."""
        await self._fetch(ctx, job, relay=True)

    async def _fetch(self, ctx: JobContext, job: FetchArtifact, *, relay: bool) -> ArtifactFacts:
        """The facts of the file, stored now if it was not before. `relay`: it is the job's own file."""
        protocol = protocol_named(job.protocol)
        resource = protocol.artifact_resource(job.project, job.file_id, job.filename)
        row, found = await asyncio.gather(
            self._lookup((job.protocol, job.project, job.file_id, job.filename)),
            self._known(protocol, resource),
        )
        if row is not None and await self._sealer.is_intact(row):
            await self._sealer.tell_cache(job.protocol, resource.identity, row)
            if relay:
                await self._tell_done(ctx, row)
            return row
        promised = row.sha256 if row is not None else resource.sha256
        if resource.direct:
            run = _ArtifactRun(self, ctx, job, protocol, resource, promised, relay=relay)
            return await self._from_first(run)
        if found is None:
            found = await self._entries.find_anew(
                protocol, job.project, job.file_id, job.filename, self._refresh
            )
        parent = parent_of(protocol, job.filename)
        if parent is not None:
            promised = row.sha256 if row is not None else ""  # the address holds its wheel's digest
        run = _ArtifactRun(self, ctx, job, protocol, resource, promised, relay=relay)
        try:
            return await run.download(found)
        except (GoneUpstream, DigestMismatch) as error:
            if parent is None:
                return await self._again(run, found, error)
        except PassingError:
            if parent is None:
                raise
        return await run.from_parent(found, parent)

    async def _known(self, protocol: PackageProxyBase, resource: Resource) -> Found | None:
        if resource.direct:
            return None
        return await self._entries.known(protocol, resource.project, resource.file_id, resource.filename)

    async def _from_first(self, run: _ArtifactRun) -> ArtifactFacts:
        """A file that no index lists, from the first source that does not truly lack it."""
        for found in await self._direct.find(run.protocol, run.resource):
            try:
                return await run.download(found)
            except GoneUpstream:
                continue
            except DigestMismatch as error:
                await self._report_mismatch(run.job, found, error)
                raise
        raise await self._direct.absent(run.resource, run.generation)

    async def _report_mismatch(self, job: FetchArtifact, found: Found, error: DigestMismatch) -> None:
        log.warning("digest_mismatch", project=job.project, filename=job.filename, error=str(error))
        await self._artifacts.record_event(
            "digest_mismatch", job.protocol, job.project, job.filename, {"source": found.source.name}
        )

    async def _again(self, run: _ArtifactRun, found: Found, error: Exception) -> ArtifactFacts:
        """The file is not what its index says: once more if the index has changed meanwhile."""
        job = run.job
        mismatch = isinstance(error, DigestMismatch)
        if isinstance(error, DigestMismatch):
            await self._report_mismatch(job, found, error)
        newer = await self._entries.find_anew(
            run.protocol, job.project, job.file_id, job.filename, self._refresh
        )
        if newer != found:
            try:
                return await run.download(newer)
            except GoneUpstream:
                mismatch = False
        if mismatch:
            raise error
        raise UpstreamUnavailable(f"upstream {newer.source.name} lists {job.filename} but does not have it")

    async def _tell_done(self, ctx: JobContext, facts: ArtifactFacts) -> None:
        # In a burst the queue Redis may be busy for a moment; waiters would find the facts on their
        # timer, but telling them is faster.
        for pause in (0.05, 0.2, 0.0):
            told = await ctx.publish(
                "done",
                size_bytes=facts.size_bytes,
                content_type=facts.content_type,
                sha256=facts.sha256,
                value=_encode(facts),
            )
            if told or not ctx.is_current():
                return
            await asyncio.sleep(pause)

    async def _ask_for_extraction(self, job: FetchArtifact, facts: ArtifactFacts) -> None:
        extract = ExtractDependencies(
            protocol=job.protocol,
            project=job.project,
            file_id=job.file_id,
            filename=job.filename,
            sha256=facts.sha256,
            request_id=job.request_id,
        )
        try:
            await self._queue.enqueue(extract)
        except (QueueFull, QueueUnavailable) as error:
            log.info("extraction_not_queued", error=error.code)  # the extractor's sweep finds it


class _ArtifactRun:
    """One run of the job: from an entry to facts."""

    def __init__(
        self,
        owner: FetchArtifactJob,
        ctx: JobContext,
        job: FetchArtifact,
        protocol: PackageProxyBase,
        resource: Resource,
        promised_sha256: str,
        *,
        relay: bool,
    ) -> None:
        self.job = job
        self.protocol = protocol
        self._owner = owner
        self._ctx = ctx
        self.resource = resource
        self.generation = ctx.generation
        self._promised = promised_sha256
        self._relay = relay
        self._announcing: asyncio.Task[None] | None = None

    async def download(self, found: Found) -> ArtifactFacts:
        """Download and seal. Raises what `Download.run` raises, `StoreUnavailable`, `DatabaseUnavailable`."""
        owner, job = self._owner, self.job
        name = f"{self._ctx.generation}-{next(_numbers)}"
        spool = Spool(owner._spool_folder / name, owner._threads)
        live = LiveDownload(
            job_id=job.id,
            generation=self._ctx.generation,
            token=self._ctx.claim.token,
            content_type=found.entry.content_type,
            spool=spool,
            source=found.source,
            entry=found.entry,
        )
        published = PublishedCheck(owner._direct, owner._artifacts, found)
        published.start()
        try:
            download = Download(
                owner._upstreams,
                found.source,
                found.entry,
                spool,
                promised_sha256=self._promised,
                max_bytes=owner._max_bytes,
                on_head=self._announcer(live),
                kept_digests=self.protocol.kept_digests,
            )
            sha256 = await download.run()
            digests = download.kept_digests
            await published.verify(self.resource, {**digests, "sha256": sha256})
            key = artifact_key(sha256)
            if (data := spool.in_memory) is not None:
                await owner._objects.put_bytes(key, data)
            else:
                await owner._objects.put_file(key, spool.path, sha256=sha256)
            facts = await self._seal(found, sha256, spool.size, digests)
            if facts.sha256 == sha256:
                spool.seal()  # otherwise other bytes stand under this name: readers break off
            return facts
        finally:
            if self._announcing is not None:
                self._announcing.cancel()
            published.cancel()
            owner._live.end(live)
            spool.release()

    async def from_parent(self, found: Found, parent: str) -> ArtifactFacts:
        """The metadata that upstream does not deliver, out of the file it describes."""
        owner, job = self._owner, self.job

        async def fetch_parent(filename: str) -> ArtifactFacts:
            wanted = msgspec.structs.replace(job, filename=filename)
            return await owner._fetch(self._ctx, wanted, relay=False)

        try:
            raw = await owner._fallback.read(self.protocol, found.entry, parent, fetch_parent, self._promised)
        except FileNotFound as error:  # advertised, so it must not be missing
            raise UpstreamUnavailable(error.message) from error
        sha256 = hashlib.sha256(raw).hexdigest()
        await owner._objects.put_bytes(artifact_key(sha256), raw)
        log.info("metadata_from_parent", filename=job.filename)
        return await self._seal(found, sha256, len(raw), {})

    async def _seal(
        self, found: Found, sha256: str, size_bytes: int, digests: dict[str, str]
    ) -> ArtifactFacts:
        """Row → cache → event → extraction."""
        owner, job = self._owner, self.job
        metadata = parent_of(self.protocol, job.filename) is not None
        facts = await owner._sealer.seal(
            CachedUrl(
                protocol=job.protocol,
                project=job.project,
                file_id=job.file_id,
                filename=job.filename,
                sha256=sha256,
                size_bytes=size_bytes,
                content_type=found.entry.content_type,
                object_key=artifact_key(sha256),
                generation=self._ctx.generation,
                source_id=found.source.id,
                upstream_url=public_url(found.entry.url),
                role="metadata" if metadata else "file",
                digests=digests,
            ),
            self.resource.identity,
        )
        if self._relay:
            if self._announcing is not None:
                self._announcing.cancel()  # no `live` after `done`
            await owner._tell_done(self._ctx, facts)
        if not metadata and self.protocol.is_extractable(job.filename):
            await owner._ask_for_extraction(job, facts)
        log.info("artifact_stored", filename=job.filename, size_bytes=facts.size_bytes, sha256=facts.sha256)
        return facts

    def _announcer(self, live: LiveDownload) -> Callable[[], None]:
        """What to do when the upstream's head has come: let readers in, and tell them."""

        def on_head() -> None:
            if not self._relay:
                return
            self._owner._live.begin(live)
            self._announcing = asyncio.create_task(self._announce(live))

        return on_head

    async def _announce(self, live: LiveDownload) -> None:
        total = live.spool.total
        if total is not None and total <= SMALL_BYTES:
            await asyncio.sleep(SMALL_DELAY_SECONDS)
            if live.spool.size == total:
                await asyncio.sleep(WHOLE_DELAY_SECONDS)
        await self._ctx.publish("live", size_bytes=total, content_type=live.content_type)
