"""Job `resolve`: steps a protocol's resolver, has what it lacks fetched, keeps the result.

The job never waits in its slot: it enqueues what is missing, saves its state, and is deferred until
that is there. Order of writes: row → cache → event. Only a complete answer is kept for ever; one that
lacks something for a passing cause is handed to those who wait now, and forgotten.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping

import msgspec

from services.extractor.resolution_documents import DocumentLoader
from services.extractor.resolution_progress import Progress
from services.extractor.wakeups import Wakeups
from shared.cache import CacheService, Category
from shared.clients.queue import JobQueue
from shared.clients.queue_context import Deferred, JobContext
from shared.clients.threads import BoundedThreads
from shared.errors import ArtifactNotFound, CacheUnavailable, NotResolvable, ResolutionTooLarge
from shared.jobs import AnyJob, ExtractDependencies, Resolve
from shared.logs import get_logger
from shared.protocols.base import PackageProxyBase
from shared.protocols.resolution import (
    Known,
    Needs,
    Resolution,
    ResolutionRequest,
    Resolver,
    RootFile,
    Unavailable,
)
from shared.resolutions import ResolutionRepository, handed_identifier

log = get_logger()

MOST_SECONDS = 120.0  # from the first run on; what is not there then is left out
MOST_SOLVER_SECONDS = 30.0  # of solving, over all runs
MOST_STEPS = 2000
MOST_JOBS = 2000  # fetched for one resolution
BACKSTOP_SECONDS = 0.5
EXTRACTION_SECONDS = 0.1  # the end of an extraction is not told
HANDED_SECONDS = 15  # how long an incomplete answer lies ready for those who wait
REMEMBERED = 32  # resolutions in the making whose documents stay in memory

_encode = msgspec.json.Encoder().encode
_progress = msgspec.json.Decoder(Progress)


class ResolveHandler:
    """`handlers[Resolve]` of an extractor."""

    def __init__(
        self,
        *,
        resolutions: ResolutionRepository,
        loader: DocumentLoader,
        cache: CacheService,
        queue: JobQueue,
        wakeups: Wakeups,
        threads: BoundedThreads,
        protocols: Mapping[str, PackageProxyBase],
    ) -> None:
        self._resolutions = resolutions
        self._loader = loader
        self._cache = cache
        self._queue = queue
        self._wakeups = wakeups
        self._threads = threads
        self._protocols = protocols
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._wanting: dict[str, Needs] = {}  # what the last step of each of them lacked

    async def __call__(self, ctx: JobContext, job: Resolve) -> None:
        """Raises `ResolutionConflict`, `ResolutionTooLarge`, `ProjectNotFound`, `ArtifactNotFound`,
        `NotResolvable`, passing errors of the stores, and `Deferred` while something is fetched."""
        try:
            await self._run(ctx, job)
        except Deferred:
            raise
        except BaseException:
            self._let_go(job)
            await self._forget(job)
            raise
        self._let_go(job)

    def _let_go(self, job: Resolve) -> None:
        self._known.pop(job.key, None)
        self._wanting.pop(job.key, None)
        self._wakeups.forget(job.id)

    async def _run(self, ctx: JobContext, job: Resolve) -> None:
        saved = await self._resolutions.progress(job.key)
        if not job.refresh and saved is None:
            standing = await self._resolutions.find(job.key)
            if standing is not None:
                await self._cached(job.protocol, job.key, standing)
                await ctx.publish("done")
                return
        progress = _read_progress(saved)
        try:
            resolution = await self._resolve(job, progress)
        except Deferred:
            await self._resolutions.save_progress(job.key, _encode(progress))
            raise
        names = {node.name for node in resolution.nodes}
        stale = tuple(sorted(names.intersection(progress.stale)))
        resolution = msgspec.structs.replace(resolution, stale=stale)
        await self._keep(job, resolution)
        await ctx.publish("done")
        log.info(
            "resolved",
            protocol=job.protocol,
            key=job.key,
            nodes=len(resolution.nodes),
            complete=resolution.complete,
            steps=progress.steps,
            documents=progress.known,
            solver_seconds=round(progress.solver_seconds, 4),
            seconds=round(time.time() - progress.started_at, 4),
        )

    async def _resolve(self, job: Resolve, progress: Progress) -> Resolution:
        protocol = self._protocols.get(job.protocol)
        resolver = protocol.resolver if protocol is not None else None
        if protocol is None or resolver is None:
            raise NotResolvable(f"dependencies of {job.protocol} are not resolved yet")
        request = ResolutionRequest(
            protocol=job.protocol,
            artifact=job.artifact,
            requirements=job.requirements,
            max_depth=job.max_depth,
            include_optional=job.include_optional,
            environment=job.environment,
            as_of=job.as_of,
        )
        root = await self._root(job)
        known = self._known.setdefault(job.key, Known())
        self._known.move_to_end(job.key)
        while len(self._known) > REMEMBERED:
            self._wanting.pop(self._known.popitem(last=False)[0], None)
        queued: set[str] = set()
        if job.key in self._wanting:  # nothing is solved anew before one of these is there
            await self._bring(protocol, request, job, known, self._wanting[job.key], progress, queued)
        while True:
            progress.steps += 1
            if progress.steps > MOST_STEPS:
                raise ResolutionTooLarge(f"no answer was found in {MOST_STEPS} steps")
            started = time.monotonic()
            until = started + MOST_SOLVER_SECONDS - progress.solver_seconds
            outcome = await self._threads.run(_step, resolver, request, root, known, until)
            progress.solver_seconds += time.monotonic() - started
            if isinstance(outcome, Resolution):
                return outcome
            self._wanting[job.key] = outcome
            await self._bring(protocol, request, job, known, outcome, progress, queued)

    async def _bring(
        self,
        protocol: PackageProxyBase,
        request: ResolutionRequest,
        job: Resolve,
        known: Known,
        needs: Needs,
        progress: Progress,
        queued: set[str],
    ) -> None:
        """Add what is there to `known`. Raises `Deferred` when nothing more can be done now."""
        wanted = [each for each in needs.documents if each not in known.documents]
        if not wanted:
            return
        brought = await self._loader.load(protocol, request, wanted, progress)
        if brought.jobs and time.time() - progress.started_at > MOST_SECONDS:
            late = set(wanted) - set(brought.found)
            brought.found |= {each: Unavailable(f"not there in {MOST_SECONDS:.0f} s") for each in late}
            brought.jobs.clear()
        if len(progress.asked) > MOST_JOBS:
            raise ResolutionTooLarge(f"more than {MOST_JOBS} documents would have to be fetched")
        known.documents.update(brought.found)
        progress.known, progress.wanted = len(known.documents), len(brought.jobs)
        new = [each for each in brought.jobs if each.id not in queued]
        if not brought.found:
            self._wakeups.when_ended(job, {each.id for each in brought.jobs})
        for each in new:
            queued.add(each.id)
            await self._queue.enqueue(_labelled(each, job.request_id))
        if not brought.found:
            extraction = any(isinstance(each, ExtractDependencies) for each in brought.jobs)
            raise Deferred(EXTRACTION_SECONDS if extraction else BACKSTOP_SECONDS)

    async def _root(self, job: Resolve) -> RootFile | None:
        if not job.artifact:
            return None
        row = await self._resolutions.root(job.artifact, job.protocol)
        if row is None:
            raise ArtifactNotFound(f"no {job.protocol} file with the SHA256 {job.artifact} is stored here")
        return RootFile(row.project, row.file_id, row.filename, job.artifact, row.size_bytes)

    # --- results ------------------------------------------------------------------------------------

    async def _keep(self, job: Resolve, resolution: Resolution) -> None:
        body = _encode(resolution)
        if resolution.complete and not resolution.stale:
            standing = await self._resolutions.keep(
                job.key, job.protocol, job.artifact, body, replace=job.refresh
            )
            await self._cached(job.protocol, job.key, standing)
            return
        await self._resolutions.end_progress(job.key)
        await self._cached(job.protocol, handed_identifier(job.key), body, ttl=HANDED_SECONDS)

    async def _cached(self, protocol: str, identifier: str, body: bytes, *, ttl: int | None = None) -> None:
        try:
            await self._cache.set(Category.DEPENDENCY_RESOLUTION, protocol, identifier, body, ttl=ttl)
        except CacheUnavailable as error:
            log.info("cache_not_written", error=error.message)

    async def _forget(self, job: Resolve) -> None:
        try:
            async with asyncio.timeout(2.0):
                await self._resolutions.end_progress(job.key)
        except Exception as error:  # the state is of no use to anyone; another's resolution sweeps it
            log.debug("progress_not_ended", key=job.key, error=type(error).__name__)


def _step(
    resolver: Resolver, request: ResolutionRequest, root: RootFile | None, known: Known, until: float
) -> Resolution | Needs:
    return resolver.resolve(request, root, known, give_up=lambda: time.monotonic() > until)


def _labelled(job: AnyJob, request_id: str) -> AnyJob:
    return msgspec.structs.replace(job, request_id=request_id)


def _read_progress(saved: bytes | None) -> Progress:
    if saved is not None:
        try:
            progress = _progress.decode(saved)
        except msgspec.MsgspecError:  # another version's: begin anew
            progress = Progress(started_at=0.0)
        if time.time() - progress.started_at < 2 * MOST_SECONDS:  # older: of a job that was given up
            return progress
    return Progress(started_at=time.time())
