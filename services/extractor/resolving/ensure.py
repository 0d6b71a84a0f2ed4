"""Job `ensure`: an ensure file resolved, every chosen file fetched, the lock made of both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import msgspec

from services.extractor.resolving.ensure_builds import BuildFinder, environments_of
from services.extractor.resolving.ensure_fetching import MOST_SECONDS, EnsureFetching, documents_of, files_of
from services.extractor.resolving.ensure_locking import Locksmith
from services.extractor.resolving.pin_finding import PinFinder
from services.extractor.resolving.progress import OWN_TROUBLE, EnsureProgress, EnsureWork, WantedFile
from services.extractor.resolving.stepping import Made, SteppingJob
from shared.errors import (
    Blocked,
    NotResolvable,
    ProjectNotFound,
    ResolutionConflict,
    ResolutionTooLarge,
)
from shared.errors.catalogue import from_value
from shared.errors.passing import DeadlineExceeded, UpstreamUnavailable
from shared.judging.kept import BlockedGraphs
from shared.protocols.base import PackageProxyBase
from shared.protocols.lock import encode_lock, graphs_of
from shared.protocols.resolution import Resolution, ResolutionRequest
from shared.queue.context import Deferred
from shared.queue.events import Event
from shared.queue.jobs import Ensure, Resolve
from shared.queue.producer import JobQueue
from shared.queue.waiting import outcome_since
from shared.queue.wakeups import Wakeups
from shared.resolving.answers import KeptLocks, KeptResolutions, resolve_job
from shared.resolving.ensure_file import EnsureFile
from shared.resolving.pinned import PinnedFiles, read_document

MOST_RESOLVING_SECONDS = 600.0
BACKSTOP_SECONDS = 0.5
RESOLUTIONS_AT_ONCE = 6  # resolutions of one ensure in the queue
MOST_RETRIES = 4  # of a resolution, after trouble of our own or an answer that was gone too soon

_UNBUILDABLE = (ResolutionConflict, ProjectNotFound, ResolutionTooLarge, NotResolvable)
"""Ends of the resolution of what a package is built with: a lock tells of them, and is whole all the same."""

_resolution = msgspec.json.Decoder(Resolution)


class EnsureHandler(SteppingJob[Ensure, EnsureProgress, EnsureWork]):
    """`handlers[Ensure]` of an extractor. Raises the errors of the resolutions, beside what its base
    raises."""

    LOGGED = "ensured"
    REMEMBERED = 8  # whose graphs stay in memory
    MOST_SECONDS = MOST_SECONDS

    def __init__(
        self,
        *,
        locks: KeptLocks,
        resolutions: KeptResolutions,
        fetching: EnsureFetching,
        locksmith: Locksmith,
        finder: PinFinder,
        builds: BuildFinder,
        graphs: BlockedGraphs,
        queue: JobQueue,
        wakeups: Wakeups,
        protocols: Mapping[str, PackageProxyBase],
    ) -> None:
        super().__init__(locks, wakeups, state=EnsureProgress, work=EnsureWork)
        self._resolutions = resolutions
        self._fetching = fetching
        self._locksmith = locksmith
        self._finder = finder
        self._builds = builds
        self._graphs = graphs
        self._queue = queue
        self._protocols = protocols

    async def advance(self, job: Ensure, work: EnsureWork, state: EnsureProgress) -> Made:
        file = read_document(job.document)
        if isinstance(file, PinnedFiles):
            if work.files is None:
                await self._fetch_from(work, state, await self._finder.find(job, file, work, state))
            await self._fetching.fetch(job, work, state)
        else:
            await self._gather(job, file, work, state)
        lock = await self._locksmith.make(job.key, file, work, state)
        stale = any(graph.stale for table in lock.protocols.values() for graph in graphs_of(table))
        figures = {
            "complete": lock.complete,
            "missing": len(lock.missing),
            "files": lock.files,
            "size_bytes": lock.size_bytes,
        }
        return Made(encode_lock(lock), lock.complete and not stale, figures)

    async def _gather(self, job: Ensure, file: EnsureFile, work: EnsureWork, state: EnsureProgress) -> None:
        """Resolve and fetch, then what the fetched files are built with, until there is nothing new."""
        requests = [request for plan in file.plans for request in plan.requests]
        while True:
            building = self._building(file, work, state)
            await self._resolve(job, requests, building, work, state)
            wanted = self._wanted([*requests, *building], work)
            if work.files is None or wanted.keys() != work.files.keys():
                await self._fetch_from(work, state, wanted)
            await self._fetching.fetch(job, work, state)
            await self._builds.read(work)
            if len(self._building(file, work, state)) == len(building):
                return
            state.building_since = state.building_since or time.time()

    def _building(self, file: EnsureFile, work: EnsureWork, state: EnsureProgress) -> list[ResolutionRequest]:
        """What is to be resolved for what is built, as far as that is known."""
        return [
            environment.request
            for plan in file.plans
            for environment in environments_of(self._protocols[plan.protocol], plan, work, state).values()
            if environment.request is not None
        ]

    async def _fetch_from(
        self, work: EnsureWork, state: EnsureProgress, wanted: Mapping[str, WantedFile]
    ) -> None:
        state.phase, state.resolving = "fetching", []
        await self._fetching.begin(work, wanted)

    def _wanted(self, requests: Sequence[ResolutionRequest], work: EnsureWork) -> dict[str, WantedFile]:
        """The files of all complete graphs; an incomplete one may still change."""
        wanted: dict[str, WantedFile] = {}
        for request in requests:
            resolution = work.resolutions.get(request.key)
            if resolution is None:  # of what is built with that, too
                continue
            protocol = self._protocols[request.protocol]
            if resolution.truncated:
                raise ResolutionTooLarge(f"{protocol.name}: the graph is deeper than {request.max_depth}")
            if resolution.complete:
                wanted |= documents_of(protocol, resolution) | files_of(protocol, resolution)
        return wanted

    # --- resolutions ------------------------------------------------------------------------------

    async def _resolve(
        self,
        job: Ensure,
        requests: Sequence[ResolutionRequest],
        building: Sequence[ResolutionRequest],
        work: EnsureWork,
        progress: EnsureProgress,
    ) -> None:
        """Fill `work.resolutions`. Raises `Deferred` while some are computed, and their errors; of those that
        are for `building` alone what no retry cures is noted in their place."""
        every = {request.key: request for request in (*requests, *building)}
        known = work.resolutions.keys() | progress.unbuildable.keys()
        left = [request for key, request in every.items() if key not in known]
        if not left:
            return
        ended = await asyncio.gather(
            *(self._find(_job(each, job, progress), progress) for each in left), return_exceptions=True
        )
        found: list[Resolution | None] = []
        for request, end in zip(list(left), ended, strict=True):
            if isinstance(end, _UNBUILDABLE) and request not in requests:
                progress.unbuildable[request.key] = f"{end.code}: {end.message}"
                progress.asked_to_resolve.pop(_job(request, job, progress).id, None)
                left.remove(request)
            elif isinstance(end, BaseException):
                raise end
            else:
                found.append(end)
        jobs = {request.key: _job(request, job, progress) for request in left}
        for request, resolution in zip(left, found, strict=True):
            if resolution is not None:
                work.resolutions[request.key] = resolution
                progress.asked_to_resolve.pop(jobs.pop(request.key).id, None)
                names = {node.name for node in resolution.nodes}
                progress.documents += len(names) + len(resolution.nodes) + len(resolution.documents)
        if not jobs:
            progress.resolving = []
            return
        since = progress.building_since or progress.started_at
        if time.time() - since > MOST_RESOLVING_SECONDS:
            raise DeadlineExceeded(f"it was not resolved in {MOST_RESOLVING_SECONDS:.0f} s")
        # Those that were enqueued, and as many more as the window allows: others share the queue.
        ordered = sorted(jobs.values(), key=lambda each: each.id not in progress.asked_to_resolve)
        asked = ordered[:RESOLUTIONS_AT_ONCE]
        for resolve in asked:
            progress.asked_to_resolve.setdefault(resolve.id, time.time())
        progress.phase, progress.resolving = "resolving", [resolve.key for resolve in asked]
        self._wakeups.when_ended(job, {each.id for each in asked}, most_left=len(asked) // 2)
        for resolve in asked:
            await self._queue.enqueue(resolve)
        raise Deferred(BACKSTOP_SECONDS)

    async def _find(self, resolve: Resolve, progress: EnsureProgress) -> Resolution | None:
        """The answer of a resolution; None while it is computed, also in place of one that names what may
        not be served any more. Raises its error."""
        if not resolve.refresh:
            kept = await self._resolutions.row(resolve.key)
            if kept is not None and await self._refused(kept) is None:
                return _resolution.decode(kept)
            if kept is not None:
                progress.refused.append(resolve.key)
                return None
        seen = progress.seen.get(resolve.id, 0)
        asked_at = progress.asked_to_resolve.get(resolve.id)
        event = await outcome_since(self._queue, resolve.id, asked_at, before=seen)
        if event is None:
            return None
        progress.seen[resolve.id] = event.generation
        if event.kind == "failed":
            return self._failed(event, resolve, progress)
        ended = await self._resolutions.ended(resolve.protocol, resolve.key)
        body = ended.body if ended is not None else await self._resolutions.row(resolve.key)
        if body is None:
            return self._failed(event, resolve, progress)
        refused = await self._refused(body)
        if refused is None:
            return _resolution.decode(body)
        if not resolve.refresh:
            progress.refused.append(resolve.key)
        if not _may_try_again(resolve, progress):
            raise refused
        return None

    async def _refused(self, body: bytes) -> Blocked | None:
        """Why an answer may not be used; None: it may."""
        try:
            await self._graphs.check(body)
        except Blocked as error:
            return error
        return None

    @staticmethod
    def _failed(event: Event, resolve: Resolve, progress: EnsureProgress) -> None:
        """Returns if the resolution is to be tried again; else raises its error."""
        gone = event.error is None  # an incomplete answer is cached for some seconds only
        own = gone or (event.error is not None and event.error.code in OWN_TROUBLE)
        if own and _may_try_again(resolve, progress):
            return
        raise from_value(event.error) if event.error else UpstreamUnavailable("a resolution gave no answer")


def _job(request: ResolutionRequest, job: Ensure, progress: EnsureProgress) -> Resolve:
    refresh = job.refresh or request.key in progress.refused
    return resolve_job(request, refresh=refresh, request_id=job.request_id)


def _may_try_again(resolve: Resolve, progress: EnsureProgress) -> bool:
    """Counts the tries."""
    tries = progress.retried.get(resolve.id, 0)
    progress.retried[resolve.id] = tries + 1
    return tries < MOST_RETRIES
