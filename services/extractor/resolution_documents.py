"""Brings what a resolution needs out of the stores, and names the jobs that fetch what is not there.

Everything is taken as clients of this Orchard would see it: pages through their heads in the cache
(fresh, or asked for again), files by their rows. Batches are one statement each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime

from services.extractor.prepared_documents import PreparedDocuments
from services.extractor.resolution_progress import OWN_TROUBLE, Brought, Progress, failure_of
from services.extractor.sandbox import Sandbox
from shared import clock
from shared.access_watcher import AccessWatcher
from shared.artifacts import ArtifactRepository
from shared.blocks import Blocks
from shared.cache import CacheService, IndexRead
from shared.clients.objects import ObjectStore
from shared.clients.queue import JobQueue
from shared.clients.threads import BoundedThreads
from shared.errors import Blocked, ObjectMissing, UpstreamInvalid
from shared.events import Event
from shared.jobs import AnyJob, ExtractDependencies, FetchArtifact, FetchIndex
from shared.models import SealedFile
from shared.protocols.base import PackageProxyBase
from shared.protocols.resolution import Absent, Document, ResolutionRequest, Resolver, Unavailable
from shared.resolutions import ResolutionRepository, StoredMetadata

MOST_RETRIES = 4


class DocumentLoader:
    """Shared by all resolutions of a process."""

    def __init__(
        self,
        *,
        cache: CacheService,
        artifacts: ArtifactRepository,
        resolutions: ResolutionRepository,
        store: ObjectStore,
        queue: JobQueue,
        threads: BoundedThreads,
        sandbox: Sandbox,
        access: AccessWatcher,
    ) -> None:
        self._access = access
        self._cache = cache
        self._artifacts = artifacts
        self._resolutions = resolutions
        self._queue = queue
        self._prepared = PreparedDocuments(cache=cache, store=store, threads=threads, sandbox=sandbox)

    async def load(
        self,
        protocol: PackageProxyBase,
        request: ResolutionRequest,
        documents: Sequence[Document],
        progress: Progress,
    ) -> Brought:
        """All of the documents that are there. Raises `CacheUnavailable`, `DatabaseUnavailable`,
        `StoreUnavailable`, `QueueUnavailable`."""
        resolver = protocol.resolver
        assert resolver is not None
        run = _Round(self, protocol, resolver, request, progress)
        if self._access.blocks.any:
            documents = run.allowed(documents, self._access.blocks)
        await asyncio.gather(
            run.indexes([each for each in documents if each.kind == "index"]),
            run.metadata([each for each in documents if each.kind == "metadata"]),
            run.stored([each for each in documents if each.kind == "stored"]),
        )
        return run.brought


class _Round:
    """One round of one resolution."""

    def __init__(
        self,
        owner: DocumentLoader,
        protocol: PackageProxyBase,
        resolver: Resolver,
        request: ResolutionRequest,
        progress: Progress,
    ) -> None:
        self.brought = Brought({}, [])
        self._owner = owner
        self._protocol = protocol
        self._resolver = resolver
        self._progress = progress
        self._as_of = datetime.fromisoformat(request.as_of).timestamp() if request.as_of else None

    def allowed(self, documents: Sequence[Document], blocks: Blocks) -> list[Document]:
        """Without those of blocked projects and versions, which are noted as not to be had."""
        kept = []
        for each in documents:
            version = ""
            if each.filename:
                resource = self._protocol.artifact_resource(each.project, each.file_id, each.filename)
                version = self._protocol.version_asked(resource)
            try:
                blocks.check(self._protocol.name, each.project, version)
                blocks.check_digest(each.file_id)
            except Blocked as error:
                self.brought.found[each] = Absent(error.message, blocked=True)
            else:
                kept.append(each)
        return kept

    # --- indexes --------------------------------------------------------------------------------

    async def indexes(self, documents: list[Document]) -> None:
        if not documents:
            return
        reads = await asyncio.gather(*(self._read_head(document) for document in documents))
        there: list[tuple[Document, str]] = []
        for document, read in zip(documents, reads, strict=True):
            key = await self._judge(document, read)
            if key:
                there.append((document, key))
        if there:
            sealed = await self._owner._resolutions.sealed(
                self._protocol.name, [document.project for document, _ in there]
            )
            await asyncio.gather(
                *(self._load_page(document, key, sealed[document.project]) for document, key in there)
            )

    async def _read_head(self, document: Document) -> IndexRead:
        identity = self._identity(document)
        return await self._owner._cache.read_index(self._protocol.name, identity, "", direct=True)

    def _identity(self, document: Document) -> str:
        return document.identity or self._protocol.index_identity(document.project)

    async def _judge(self, document: Document, read: IndexRead) -> str:
        """The key of the document to use, or "" after noting an answer or a job."""
        job = FetchIndex(protocol=self._protocol.name, identity=self._identity(document))
        head, now = read.head, clock.now()
        asked_at = self._progress.asked.get(job.id)
        current = head is not None and (not read.revision or head.source_revision >= read.revision)
        settled = (
            current
            and head is not None
            and (
                now < head.fresh_until
                or (self._as_of is not None and head.status == 200 and head.fetched_at >= self._as_of)
                or (asked_at is not None and (head.failing or head.fetched_at >= asked_at))
            )
        )
        if not settled:
            ended = await self._outcome(job, asked_at)
            if ended is not None and ended.kind == "failed":
                self.brought.found[document] = failure_of(ended)
                return ""
            if ended is None or not current:
                self._ask(job)
                return ""
        assert head is not None
        if head.status == 404:
            self.brought.found[document] = Absent("no source knows this project")
            return ""
        if head.failing and now >= head.fresh_until and document.project not in self._progress.stale:
            self._progress.stale.append(document.project)
        return head.document_key

    async def _load_page(
        self, document: Document, key: str, sealed: dict[tuple[str, str], SealedFile]
    ) -> None:
        blocks = self._owner._access.blocks.of(self._protocol.name, document.project)
        try:
            if blocks.stamp:
                identity = self._identity(document)
                page = await self._owner._prepared.page_without(self._protocol, identity, key, blocks, sealed)
            else:
                page = await self._owner._prepared.page(self._resolver, key)
            page = self._resolver.with_sealed(page, sealed)
        except Blocked as error:
            page = Absent(error.message, blocked=True)
        except (ObjectMissing, UpstreamInvalid) as error:
            page = Unavailable(f"the stored index cannot be read: {error.message}")
        self.brought.found[document] = page

    # --- metadata -------------------------------------------------------------------------------

    async def metadata(self, documents: list[Document]) -> None:
        if not documents:
            return
        names = [self._protocol.metadata_filename(each.filename) or "" for each in documents]
        rows = await self._owner._resolutions.stored_metadata(self._protocol.name, documents, names)
        await asyncio.gather(*(self._one(*each) for each in zip(documents, names, rows, strict=True)))

    async def _one(self, document: Document, name: str, row: StoredMetadata) -> None:
        if row.sha256 and self._protocol.has_model(document.filename):
            try:
                found = await self._owner._prepared.model(self._protocol, document, row)
            except ObjectMissing as error:
                found = Unavailable(error.message)
        elif row.object_key:
            try:
                raw = await self._owner._prepared.read(row.object_key)
                found = self._resolver.prepare_metadata(document, raw)
            except ObjectMissing as error:
                found = Unavailable(error.message)
        elif row.extraction_state == "extracted":
            extraction = await self._owner._artifacts.get_extraction(row.sha256)
            found = (
                Unavailable("its row is gone")
                if extraction is None
                else self._resolver.prepare_metadata(document, extraction)
            )
        elif row.extraction_state in ("unknown", "unextractable"):
            found = Absent(row.extraction_reason)
        else:
            await self._fetch(document, name, row)
            return
        self.brought.found[document] = found

    async def _fetch(self, document: Document, name: str, row: StoredMetadata) -> None:
        job: AnyJob
        if row.sha256:  # stored, but nobody has read it yet
            job = ExtractDependencies(
                protocol=self._protocol.name,
                project=document.project,
                file_id=document.file_id,
                filename=document.filename,
                sha256=row.sha256,
            )
        else:
            job = FetchArtifact(
                protocol=self._protocol.name,
                project=document.project,
                file_id=document.file_id,
                filename=name if document.advertised and name else document.filename,
            )
        ended = await self._outcome(job, self._progress.asked.get(job.id))
        if ended is not None and ended.kind == "failed":
            self.brought.found[document] = failure_of(ended)
        else:
            self._ask(job)

    # --- what is stored -------------------------------------------------------------------------

    async def stored(self, documents: list[Document]) -> None:
        if not documents:
            return
        projects = sorted({document.project for document in documents})
        sealed = await self._owner._resolutions.sealed(self._protocol.name, projects)
        for document in documents:
            file = sealed[document.project].get((document.file_id, document.filename))
            self.brought.found[document] = Absent("it is not stored") if file is None else file

    # --- jobs -----------------------------------------------------------------------------------

    async def _outcome(self, job: AnyJob, asked_at: float | None) -> Event | None:
        """How a job ended that this resolution has asked for; None while it has not."""
        if asked_at is None:
            return None
        claim, event = await self._owner._queue.read_state(job.id)
        if claim is not None or event is None or event.kind == "live":
            return None
        # Generations are microseconds of Redis's clock: an older outcome is another request's.
        if event.generation < (asked_at - 2.0) * 1_000_000:
            return None
        retried = self._progress.retried.get(job.id, 0)
        if event.error is not None and event.error.code in OWN_TROUBLE and retried < MOST_RETRIES:
            self._progress.retried[job.id] = retried + 1
            return None
        return event

    def _ask(self, job: AnyJob) -> None:
        self._progress.asked.setdefault(job.id, time.time())
        self.brought.jobs.append(job)
