"""Loads the documents that a resolution needs from the stores, and names the jobs that fetch the missing
ones.

Everything is read as clients of this Orchard would get it: pages through their heads in the cache (fresh, or
fetched again), files by their rows. Batches are one statement each.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from services.extractor.extraction.sandbox.parent import Sandbox
from services.extractor.resolving.prepared_documents import PreparedDocuments
from services.extractor.resolving.progress import OWN_TROUBLE, Brought, Progress, failure_of
from services.extractor.resolving.stored import StoredFiles, StoredMetadata
from shared.access.watcher import AccessWatcher
from shared.artifacts.repository import ArtifactRepository
from shared.cache.service import CacheService, IndexRead
from shared.digests import is_sha256
from shared.errors import Blocked, UpstreamInvalid
from shared.errors.passing import ObjectMissing
from shared.models import FileName, SealedFile
from shared.objects.port import ObjectStore
from shared.policy.policy import Policy
from shared.process.threads import BoundedThreads
from shared.protocols.base import PackageProxyBase
from shared.protocols.resolution import Absent, Document, ResolutionRequest, Resolver, Unavailable
from shared.protocols.subjects import subject_of
from shared.queue.events import Event
from shared.queue.jobs import IN_USE, AnyJob, ExtractDependencies, FetchArtifact, FetchIndex
from shared.queue.producer import JobQueue
from shared.queue.waiting import outcome_since
from shared.redis import clock

MOST_RETRIES = 4


def _hashed(value: Any) -> str:
    return hashlib.sha256(msgspec.msgpack.encode(value)).hexdigest()


class DocumentLoader:
    """Shared by all resolutions of a process."""

    def __init__(
        self,
        *,
        cache: CacheService,
        artifacts: ArtifactRepository,
        stored: StoredFiles,
        store: ObjectStore,
        queue: JobQueue,
        threads: BoundedThreads,
        sandbox: Sandbox,
        access: AccessWatcher,
    ) -> None:
        self._access = access
        self._cache = cache
        self._artifacts = artifacts
        self._stored = stored
        self._queue = queue
        self._prepared = PreparedDocuments(cache=cache, store=store, threads=threads, sandbox=sandbox)

    async def load(
        self,
        protocol: PackageProxyBase,
        request: ResolutionRequest,
        documents: Sequence[Document],
        progress: Progress,
    ) -> Brought:
        """All of the documents that are stored. Raises `CacheUnavailable`, `DatabaseUnavailable`,
        `StoreUnavailable`, `QueueUnavailable`."""
        resolver = protocol.resolver
        assert resolver is not None
        run = _Round(self, protocol, resolver, request, progress)
        if self._access.policy.any:
            documents = run.allowed(documents, self._access.policy)
        await asyncio.gather(
            run.indexes([each for each in documents if each.kind == "index"]),
            run.metadata([each for each in documents if each.kind in ("metadata", "inner")]),
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

    def allowed(self, documents: Sequence[Document], policy: Policy) -> list[Document]:
        """Without those of blocked projects, versions and bytes, which are recorded as absent."""
        kept = []
        for each in documents:
            try:
                if each.filename:
                    resource = self._protocol.grammar.artifact_resource(self._file(each))
                    version = self._protocol.grammar.version_asked(resource)
                    told = each.file_id if is_sha256(each.file_id) else ""
                    policy.check_address(self._protocol.name, each.project, version, told)
                else:
                    policy.check(self._protocol.name, each.project, page=True)
                policy.check_digest(each.file_id)
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
            sealed = await self._owner._stored.sealed(
                self._protocol.name, [document.project for document, _ in there]
            )
            await asyncio.gather(
                *(self._load_page(document, key, sealed[document.project]) for document, key in there)
            )

    async def _read_head(self, document: Document) -> IndexRead:
        identity = self._identity(document)
        return await self._owner._cache.read_index(self._protocol.name, identity, direct=True)

    def _identity(self, document: Document) -> str:
        return document.identity or self._protocol.grammar.index_identity(document.project)

    async def _judge(self, document: Document, read: IndexRead) -> str:
        """The key of the document to use, or "" after recording an answer or a job."""
        job = FetchIndex(self._protocol.name, self._identity(document), variant=IN_USE)
        head, now = read.head, clock.now()
        asked_at = self._progress.asked.get(job.id)
        current = head is not None and head.is_made_of(read.revision)
        fresh = head is not None and clock.is_fresh(now, head.fetched_at, head.fresh_until)
        settled = (
            current
            and head is not None
            and (
                fresh
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
            self._note(document, Absent("no source knows this project"), "absent")
            return ""
        if head.failing and not fresh and document.project not in self._progress.stale:
            self._progress.stale.append(document.project)
        return head.document_key

    async def _load_page(
        self, document: Document, key: str, sealed: dict[tuple[str, str], SealedFile]
    ) -> None:
        verdicts = self._owner._access.policy.of(self._protocol.name, document.project)
        try:
            if verdicts.any:
                seen = None
                if verdicts.judges:
                    seen = await self._owner._artifacts.first_seen(self._protocol.name, document.project)
                page = await self._owner._prepared.page_without(
                    self._protocol, self._identity(document), key, verdicts, sealed, seen
                )
            else:
                page = await self._owner._prepared.page(self._resolver, key)
            page = self._resolver.with_sealed(page, sealed)
        except Blocked as error:
            self._note(document, Absent(error.message, blocked=True))
        except (ObjectMissing, UpstreamInvalid) as error:
            self._note(document, Unavailable(f"the stored index cannot be read: {error.message}"))
        else:
            made_of = key, verdicts.stamp, verdicts.rules_stamp, _hashed(sorted(sealed.items()))
            self._note(document, page, "" if verdicts.asks_more else "|".join(made_of))

    # --- metadata -------------------------------------------------------------------------------

    async def metadata(self, documents: list[Document]) -> None:
        if not documents:
            return
        names = [self._protocol.archive.metadata_filename(each.filename) or "" for each in documents]
        rows = await self._owner._stored.stored_metadata(self._protocol.name, documents, names)
        await asyncio.gather(*(self._one(*each) for each in zip(documents, names, rows, strict=True)))

    async def _one(self, document: Document, name: str, row: StoredMetadata) -> None:
        try:
            admitted = self._admits(document, row)
        except Blocked as error:
            self.brought.found[document] = Absent(error.message, blocked=True)
            return
        if not admitted:  # its age is not known: a fetcher finds it out
            await self._follow(document, FetchArtifact.of(self._file(document)))
            return
        inner = document.kind == "inner"
        if row.sha256 and (inner or self._protocol.archive.has_model(document.filename)):
            read = self._owner._prepared.inner if inner else self._owner._prepared.model
            try:
                found = await read(self._protocol, document, row)
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
        lasts = not isinstance(found, Unavailable)
        self._note(document, found, f"{row.sha256}|{row.object_key}|{row.extraction_state}" if lasts else "")

    def _admits(self, document: Document, row: StoredMetadata) -> bool:
        """See `Policy.admits`: of a stored file that no index lists. What an index lists comes from a page,
        which is without what may not be served."""
        policy = self._owner._access.policy
        if not policy.any or not row.stored_at:
            return True
        resource = self._protocol.grammar.artifact_resource(self._file(document))
        if not resource.direct:
            return True
        return policy.admits(subject_of(self._protocol, resource, row), clock.now())

    async def _fetch(self, document: Document, name: str, row: StoredMetadata) -> None:
        job: AnyJob
        if row.sha256:  # stored, but not extracted yet
            job = ExtractDependencies.of(self._file(document), sha256=row.sha256)
        else:
            job = FetchArtifact.of(self._file(document, name if document.advertised else ""))
        await self._follow(document, job)

    async def _follow(self, document: Document, job: AnyJob) -> None:
        """Asks for a job, or records how it has failed."""
        ended = await self._outcome(job, self._progress.asked.get(job.id))
        if ended is not None and ended.kind == "failed":
            self.brought.found[document] = failure_of(ended)
        else:
            self._ask(job)

    def _file(self, document: Document, filename: str = "") -> FileName:
        """`filename`: of another file beside it."""
        return FileName(
            self._protocol.name, document.project, document.file_id, filename or document.filename
        )

    # --- what is stored -------------------------------------------------------------------------

    async def stored(self, documents: list[Document]) -> None:
        if not documents:
            return
        projects = sorted({document.project for document in documents})
        sealed = await self._owner._stored.sealed(self._protocol.name, projects)
        for document in documents:
            file = sealed[document.project].get((document.file_id, document.filename))
            self._note(document, Absent("it is not stored") if file is None else file, _hashed(file))

    def _note(self, document: Document, found: Any, stamp: str = "") -> None:
        """`stamp`: see `Brought`."""
        self.brought.found[document] = found
        if stamp:
            self.brought.stamps[document] = stamp

    # --- jobs -----------------------------------------------------------------------------------

    async def _outcome(self, job: AnyJob, asked_at: float | None) -> Event | None:
        """The outcome of a job that this resolution has enqueued; None while it runs."""
        event = await outcome_since(self._owner._queue, job.id, asked_at)
        if event is None:
            return None
        retried = self._progress.retried.get(job.id, 0)
        if event.error is not None and event.error.code in OWN_TROUBLE and retried < MOST_RETRIES:
            self._progress.retried[job.id] = retried + 1
            return None
        return event

    def _ask(self, job: AnyJob) -> None:
        self._progress.asked.setdefault(job.id, time.time())
        self.brought.jobs.append(job)
