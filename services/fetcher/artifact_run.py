"""One run of getting a file: from an entry to facts.

Order of writes: object under its hash → row → cache → event. The spool's readers end normally only
after that, so a complete transfer is always a correct and a kept one.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from services.fetcher.abandoned import Audience, Bounds, while_wanted
from services.fetcher.digests import Digests
from services.fetcher.direct import DirectFiles, PublishedCheck
from services.fetcher.download import Download
from services.fetcher.entries import Found
from services.fetcher.live import LiveDownload, LiveDownloads
from services.fetcher.metadata_fallback import MetadataFallback, parent_of
from services.fetcher.sealing import Sealer, public_url
from services.fetcher.spool import Spool
from services.fetcher.spool_upload import spool_upload
from services.fetcher.upstreams import Upstreams
from shared.access_watcher import AccessWatcher
from shared.artifacts import ArtifactRepository
from shared.clients.objects import ObjectStore, artifact_key
from shared.clients.queue import JobQueue
from shared.clients.queue_context import JobContext
from shared.clients.threads import BoundedThreads
from shared.disk import DiskFloor
from shared.errors import (
    FileNotFound,
    QueueFull,
    QueueUnavailable,
    SupersededError,
    UpstreamUnavailable,
)
from shared.jobs import ExtractDependencies, FetchArtifact, RenderIndex
from shared.logs import get_logger
from shared.models import ArtifactFacts, CachedUrl
from shared.protocols.base import PackageProxyBase, Resource

log = get_logger()

SMALL_BYTES = 256 * 1024
RENDER_AFTER_SECONDS = 2.0  # one rendering for all files of a project that come within this time
SMALL_DELAY_SECONDS = 0.025  # a small file is done before a reader could have connected
WHOLE_DELAY_SECONDS = 0.25  # all bytes are here, and soon sealed: a relay would only be more work

_encode = msgspec.msgpack.Encoder().encode
_numbers = itertools.count()

Fetch = Callable[[FetchArtifact], Awaitable[ArtifactFacts]]
"""The facts of another file, fetched if it is not stored yet."""


@dataclass(frozen=True)
class ArtifactTools:
    """What downloading, verifying and storing files needs; one per process."""

    upstreams: Upstreams
    direct: DirectFiles
    live: LiveDownloads
    sealer: Sealer
    fallback: MetadataFallback
    artifacts: ArtifactRepository
    objects: ObjectStore
    queue: JobQueue
    threads: BoundedThreads
    spool_folder: Path
    access: AccessWatcher
    floor: DiskFloor
    max_bytes: int
    abandoned: Bounds


async def tell_done(ctx: JobContext, facts: ArtifactFacts) -> None:
    """Tell those who wait that the file is stored."""
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


class ArtifactRun:
    """One run of the job: from an entry to facts."""

    def __init__(
        self,
        tools: ArtifactTools,
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
        self._tools = tools
        self._ctx = ctx
        self.resource = resource
        self.generation = ctx.generation
        self._promised = promised_sha256
        self.sealed_sha256 = ""  # what a row says of this name already
        self._relay = relay
        self._announcing: asyncio.Task[None] | None = None

    async def download(self, found: Found) -> ArtifactFacts:
        """Download and seal. Raises what `Download.run` raises, `Abandoned`, `StoreUnavailable`,
        `DatabaseUnavailable`."""
        tools, job = self._tools, self.job
        tools.floor.check()  # before the upstream is asked in vain
        name = f"{self._ctx.generation}-{next(_numbers)}"
        spool = Spool(tools.spool_folder / name, tools.threads)
        live = LiveDownload(
            job_id=job.id,
            generation=self._ctx.generation,
            token=self._ctx.claim.token,
            content_type=found.entry.content_type,
            spool=spool,
            source=found.source,
            entry=found.entry,
            audience=Audience(spool),
        )
        published = PublishedCheck(tools.direct, tools.artifacts, found)
        published.start()
        told = found.entry.hashes.get("sha256", "").lower()
        expected = self._promised or (told if " " not in told else "")
        try:
            async with spool_upload(tools.objects, spool, expected) as upload:
                download = Download(
                    tools.upstreams,
                    found.source,
                    found.entry,
                    spool,
                    promised_sha256=self._promised,
                    max_bytes=tools.max_bytes,
                    check_room=tools.floor.check,
                    on_head=published.head_came,
                    on_trusted=lambda: self._let_in(live),
                    kept_digests=self.protocol.kept_digests,
                )
                if self._relay and job.abandonable:
                    sha256 = await while_wanted(
                        download.run(), live.audience, tools.abandoned, self._is_needed
                    )
                else:
                    sha256 = await download.run()
                digests = download.kept_digests
                await published.verify(self.resource, {**digests, "sha256": sha256}, download.suspicion)
                await self._refuse_blocked(found, sha256)
                await self._pin(found)
                await upload.store(sha256)
            facts = await self._seal(found, sha256, spool.size, digests, download.modified)
            if facts.sha256 == sha256:
                spool.seal()  # otherwise other bytes stand under this name: readers break off
            return facts
        finally:
            if self._announcing is not None:
                self._announcing.cancel()
            published.cancel()
            tools.live.end(live)
            spool.release()

    async def _is_needed(self) -> bool:
        return not await self._tools.queue.is_abandonable(self.job)

    async def _pin(self, found: Found) -> None:
        """The first file of a project pins it. Raises `SupersededError` if another source's file did so
        meanwhile: this one is not kept."""
        if not found.owner:
            return
        job = self.job
        standing = await self._tools.artifacts.pin_first(job.protocol, job.project, found.source.id)
        if standing and standing not in found.owner:
            raise SupersededError(f"{job.project} was pinned to another upstream meanwhile")

    async def _refuse_blocked(self, found: Found, sha256: str) -> None:
        """Raises `Blocked`: bytes that are blocked are not kept, and their readers break off."""
        job = self.job
        if not self._tools.access.blocks.why_digest(sha256):
            return
        log.warning("blocked_file_refused", project=job.project, filename=job.filename, sha256=sha256)
        detail = {"sha256": sha256, "source": found.source.name}
        await self._tools.artifacts.record_event(
            "blocked_file_refused", job.protocol, job.project, job.filename, detail
        )
        self._tools.access.blocks.check_digest(sha256)

    async def from_parent(
        self, found: Found, parent: str, fetch: Fetch, *, index_stands: bool
    ) -> ArtifactFacts:
        """The metadata that upstream does not deliver, out of the file it describes, got by `fetch`.

        `index_stands` False: neither does what upstream has match what its index says of it. Then the
        file's own is sealed, and the page tells its digest from then on.
        """
        tools, job = self._tools, self.job

        async def fetch_parent(filename: str) -> ArtifactFacts:
            wanted = msgspec.structs.replace(job, filename=filename)
            return await fetch(wanted)

        try:
            raw = await tools.fallback.read(
                self.protocol, found.entry, parent, fetch_parent, self._promised, index_stands=index_stands
            )
        except FileNotFound as error:  # advertised, so it must not be missing
            raise UpstreamUnavailable(error.message) from error
        sha256 = hashlib.sha256(raw).hexdigest()
        await tools.objects.put_bytes(artifact_key(sha256), raw)
        log.info("metadata_from_parent", filename=job.filename)
        facts = await self._seal(found, sha256, len(raw), {})
        advertised = found.entry.hashes
        if not index_stands and advertised and not Digests(advertised).match(raw):
            log.warning("metadata_differs", protocol=job.protocol, filename=job.filename)
            await tools.artifacts.record_event(
                "metadata_differs", job.protocol, job.project, parent, {"advertised": advertised}
            )
            await self._ask_for_rendering(defer_seconds=0)
        return facts

    async def _seal(
        self, found: Found, sha256: str, size_bytes: int, digests: dict[str, str], modified: float = 0.0
    ) -> ArtifactFacts:
        """Row → cache → event → extraction."""
        tools, job = self._tools, self.job
        metadata = parent_of(self.protocol, job.filename) is not None
        facts = await tools.sealer.seal(
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
                modified=modified,
            ),
            self.resource.identity,
        )
        if self._relay:
            if self._announcing is not None:
                self._announcing.cancel()  # no `live` after `done`
            await tell_done(self._ctx, facts)
        if not metadata and self.protocol.is_extractable(job.filename):
            await self._ask_for_extraction(facts)
        if not found.entry.hashes and digests and not self.resource.direct:
            await self._ask_for_rendering()
        log.info("artifact_stored", filename=job.filename, size_bytes=facts.size_bytes, sha256=facts.sha256)
        return facts

    def _let_in(self, live: LiveDownload) -> None:
        """Let readers in while the bytes come, and tell them."""
        if self._relay:
            self._tools.live.begin(live)
            self._announcing = asyncio.create_task(self._announce(live))

    async def _announce(self, live: LiveDownload) -> None:
        total = live.spool.total
        if total is not None and total <= SMALL_BYTES:
            await asyncio.sleep(SMALL_DELAY_SECONDS)
            if live.spool.size == total:
                await asyncio.sleep(WHOLE_DELAY_SECONDS)
        await self._ctx.publish("live", size_bytes=total, content_type=live.content_type)

    async def _ask_for_rendering(self, defer_seconds: float = RENDER_AFTER_SECONDS) -> None:
        """The index told no digest, or a wrong one; from now on it can."""
        render = RenderIndex(
            protocol=self.job.protocol,
            identity=self.protocol.index_identity(self.job.project),
            request_id=self.job.request_id,
        )
        try:
            await self._tools.queue.enqueue(render, defer_seconds=defer_seconds)
        except (QueueFull, QueueUnavailable) as error:
            log.info("rendering_not_queued", error=error.code)  # the next change upstream brings it

    async def _ask_for_extraction(self, facts: ArtifactFacts) -> None:
        job = self.job
        extract = ExtractDependencies(
            protocol=job.protocol,
            project=job.project,
            file_id=job.file_id,
            filename=job.filename,
            sha256=facts.sha256,
            request_id=job.request_id,
        )
        try:
            await self._tools.queue.enqueue(extract)
        except (QueueFull, QueueUnavailable) as error:
            log.info("extraction_not_queued", error=error.code)  # the extractor's sweep finds it
