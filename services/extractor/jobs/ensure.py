"""Job `ensure`: an ensure file resolved, every chosen file fetched, the lock kept.

As `resolve`, it never waits in its slot: it enqueues resolutions and downloads, saves its state, and is
deferred until some of them have ended. Order of writes: row → cache → event. Only a complete lock is
kept for ever; another is handed to those who wait now, with what is missing, and forgotten.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping

import msgspec

from services.extractor.ensure_fetching import MOST_SECONDS, EnsureFetching, documents_of, files_of
from services.extractor.ensure_locking import Locksmith
from services.extractor.ensure_state import EnsureProgress, EnsureWork, WantedFile
from services.extractor.job_outcomes import outcome_of
from services.extractor.resolution_progress import OWN_TROUBLE
from services.extractor.wakeups import Wakeups
from shared.cache import CacheService, Category
from shared.clients.queue import JobQueue
from shared.clients.queue_context import Deferred, JobContext
from shared.ensure_file import EnsureFile, read_json
from shared.ensure_lock import Lock, encode_lock
from shared.ensures import CACHED_AS, Ended, EnsureRepository, encode_ended, ended_identifier
from shared.error_catalogue import from_value
from shared.errors import (
    CacheUnavailable,
    DeadlineExceeded,
    OrchardError,
    ResolutionTooLarge,
    UpstreamUnavailable,
)
from shared.events import Event
from shared.jobs import Ensure, Resolve
from shared.logs import get_logger
from shared.protocols.base import PackageProxyBase
from shared.protocols.resolution import Resolution, ResolutionRequest
from shared.resolutions import ResolutionRepository
from shared.resolutions import handed_identifier as handed_resolution

log = get_logger()

MOST_RESOLVING_SECONDS = 600.0
BACKSTOP_SECONDS = 0.5
RESOLUTIONS_AT_ONCE = 6  # of one ensure in the queue
HANDED_SECONDS = 60  # how long an incomplete lock, or an error, lies ready for those who ask
MOST_RETRIES = 4  # of a resolution, after trouble of our own or an answer that was gone too soon
REMEMBERED = 8  # ensures in the making whose graphs stay in memory

_encode = msgspec.json.Encoder().encode
_progress = msgspec.json.Decoder(EnsureProgress)
_resolution = msgspec.json.Decoder(Resolution)


class EnsureHandler:
    """`handlers[Ensure]` of an extractor."""

    def __init__(
        self,
        *,
        ensures: EnsureRepository,
        resolutions: ResolutionRepository,
        fetching: EnsureFetching,
        locksmith: Locksmith,
        cache: CacheService,
        queue: JobQueue,
        wakeups: Wakeups,
        protocols: Mapping[str, PackageProxyBase],
    ) -> None:
        self._ensures = ensures
        self._resolutions = resolutions
        self._fetching = fetching
        self._locksmith = locksmith
        self._cache = cache
        self._queue = queue
        self._wakeups = wakeups
        self._protocols = protocols
        self._work: OrderedDict[str, EnsureWork] = OrderedDict()

    async def __call__(self, ctx: JobContext, job: Ensure) -> None:
        """Raises the errors of the resolutions, passing errors of the stores, and `Deferred` while
        something is resolved or fetched."""
        try:
            await self._run(ctx, job)
        except Deferred:
            raise
        except BaseException as error:
            try:
                if isinstance(error, OrchardError):
                    await self._remember_end(job, Ended(error=error.to_value()))
            finally:
                self._let_go(job)
                await self._forget(job)
            raise
        self._let_go(job)

    def _let_go(self, job: Ensure) -> None:
        self._work.pop(job.key, None)
        self._wakeups.forget(job.id)

    async def _run(self, ctx: JobContext, job: Ensure) -> None:
        saved = await self._ensures.progress(job.key)
        if not job.refresh and saved is None:
            standing = await self._ensures.find(job.key)
            if standing is not None:
                await self._remember(job.key, standing)
                await ctx.publish("done")
                return
        progress = _read_progress(saved)
        file = read_json(job.document)
        try:
            lock = await self._advance(job, file, progress)
        except Deferred:
            await self._ensures.save_progress(job.key, _encode(progress))
            raise
        await self._keep(job, lock)
        await ctx.publish("done")
        log.info(
            "ensured",
            key=job.key,
            complete=lock.complete,
            missing=len(lock.missing),
            files=lock.files,
            size_bytes=lock.size_bytes,
            seconds=round(time.time() - progress.started_at, 3),
        )

    async def _advance(self, job: Ensure, file: EnsureFile, progress: EnsureProgress) -> Lock:
        work = self._work.setdefault(job.key, EnsureWork())
        self._work.move_to_end(job.key)
        while len(self._work) > REMEMBERED:
            self._work.popitem(last=False)
        await self._resolve(job, file, work, progress)
        if work.files is None:
            progress.phase, progress.resolving = "fetching", []
            await self._fetching.begin(work, self._wanted(file, work))
        await self._fetching.fetch(job, work, progress)
        return await self._locksmith.make(job.key, file, work, progress)

    def _wanted(self, file: EnsureFile, work: EnsureWork) -> dict[str, WantedFile]:
        """The files of all graphs that are whole; of others nothing is sure yet."""
        wanted: dict[str, WantedFile] = {}
        for plan in file.plans:
            protocol = self._protocols[plan.protocol]
            for request in plan.requests:
                resolution = work.resolutions[request.key]
                if resolution.truncated:
                    raise ResolutionTooLarge(f"{plan.protocol}: the graph is deeper than {request.max_depth}")
                if resolution.complete:
                    wanted |= documents_of(protocol, resolution) | files_of(protocol, resolution)
        return wanted

    # --- resolutions ------------------------------------------------------------------------------

    async def _resolve(
        self, job: Ensure, file: EnsureFile, work: EnsureWork, progress: EnsureProgress
    ) -> None:
        """Fill `work.resolutions`. Raises `Deferred` while they are made, and their errors."""
        requests = [request for plan in file.plans for request in plan.requests]
        left = [request for request in requests if request.key not in work.resolutions]
        if not left:
            return
        jobs = {request.key: _resolve_job(request, job) for request in left}
        found = await asyncio.gather(*(self._find(jobs[each.key], job, progress) for each in left))
        for request, resolution in zip(left, found, strict=True):
            if resolution is not None:
                work.resolutions[request.key] = resolution
                progress.asked.pop(jobs.pop(request.key).id, None)
                names = {node.name for node in resolution.nodes}
                progress.documents += len(names) + len(resolution.nodes) + len(resolution.documents)
        if not jobs:
            progress.resolving = []
            return
        if time.time() - progress.started_at > MOST_RESOLVING_SECONDS:
            raise DeadlineExceeded(f"it was not resolved in {MOST_RESOLVING_SECONDS:.0f} s")
        # Those that were asked for, and as many more as there is room for: other people resolve, too.
        ordered = sorted(jobs.values(), key=lambda each: each.id not in progress.asked)
        asked = ordered[:RESOLUTIONS_AT_ONCE]
        for resolve in asked:
            progress.asked.setdefault(resolve.id, time.time())
        progress.resolving = [resolve.key for resolve in asked]
        self._wakeups.when_ended(job, {each.id for each in asked}, most_left=len(asked) // 2)
        for resolve in asked:
            await self._queue.enqueue(resolve)
        raise Deferred(BACKSTOP_SECONDS)

    async def _find(self, resolve: Resolve, job: Ensure, progress: EnsureProgress) -> Resolution | None:
        """The answer of a resolution; None while it is in the making. Raises its error."""
        if not job.refresh:
            kept = await self._resolutions.find(resolve.key)
            if kept is not None:
                return _resolution.decode(kept)
        seen = progress.seen.get(resolve.id, 0)
        event = await outcome_of(
            self._queue, resolve.id, progress.asked.get(resolve.id), seen_generation=seen
        )
        if event is None:
            return None
        progress.seen[resolve.id] = event.generation
        if event.kind == "failed":
            return self._failed(event, resolve, progress)
        handed = await self._handed(resolve)
        body = handed if handed is not None else await self._resolutions.find(resolve.key)
        if body is None:
            return self._failed(event, resolve, progress)
        return _resolution.decode(body)

    @staticmethod
    def _failed(event: Event, resolve: Resolve, progress: EnsureProgress) -> None:
        """Returns where it shall be tried again; else raises why there is no answer."""
        gone = event.error is None  # the answer lay ready only for some seconds
        if gone or (event.error is not None and event.error.code in OWN_TROUBLE):
            tries = progress.retried.get(resolve.id, 0)
            if tries < MOST_RETRIES:
                progress.retried[resolve.id] = tries + 1
                return
        raise from_value(event.error) if event.error else UpstreamUnavailable("a resolution gave no answer")

    async def _handed(self, resolve: Resolve) -> bytes | None:
        try:
            return await self._cache.get(
                Category.DEPENDENCY_RESOLUTION, resolve.protocol, handed_resolution(resolve.key)
            )
        except CacheUnavailable:
            return None

    # --- results ----------------------------------------------------------------------------------

    async def _keep(self, job: Ensure, lock: Lock) -> None:
        body = encode_lock(lock)
        stale = any(graph.stale for table in lock.protocols.values() for graph in (table, *table.plugins))
        if lock.complete and not stale:
            standing = await self._ensures.keep(job.key, body, replace=job.refresh)
            await self._remember(job.key, standing)
            return
        await self._remember_end(job, Ended(lock=body))
        await self._ensures.end_progress(job.key)

    async def _remember_end(self, job: Ensure, ended: Ended) -> None:
        await self._remember(ended_identifier(job.key), encode_ended(ended), HANDED_SECONDS)

    async def _remember(self, identifier: str, body: bytes, ttl: int | None = None) -> None:
        try:
            await self._cache.set(Category.DEPENDENCY_RESOLUTION, CACHED_AS, identifier, body, ttl=ttl)
        except CacheUnavailable as error:
            log.info("cache_not_written", error=error.message)

    async def _forget(self, job: Ensure) -> None:
        try:
            async with asyncio.timeout(2.0):
                await self._ensures.end_progress(job.key)
        except Exception as error:  # the state is of no use to anyone; another's ensure sweeps it
            log.debug("progress_not_ended", key=job.key, error=type(error).__name__)


def _resolve_job(request: ResolutionRequest, job: Ensure) -> Resolve:
    return Resolve(
        protocol=request.protocol,
        key=request.key,
        artifact=request.artifact,
        requirements=request.requirements,
        max_depth=request.max_depth,
        include_optional=request.include_optional,
        environment=request.environment,
        as_of=request.as_of,
        refresh=job.refresh,
        request_id=job.request_id,
    )


def _read_progress(saved: bytes | None) -> EnsureProgress:
    if saved is not None:
        try:
            progress = _progress.decode(saved)
        except msgspec.MsgspecError:  # another version's: begin anew
            progress = EnsureProgress(started_at=0.0)
        if time.time() - progress.started_at < 2 * MOST_SECONDS:  # older: of a job that was given up
            return progress
    return EnsureProgress(started_at=time.time())
