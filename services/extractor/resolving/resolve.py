"""Job `resolve`: steps a protocol's resolver, and has the documents that it lacks fetched."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from services.extractor.resolving.documents import DocumentLoader
from services.extractor.resolving.progress import Progress
from services.extractor.resolving.refusals import Refusal, Refusals, stamp_of
from services.extractor.resolving.stepping import Made, SteppingJob
from services.extractor.resolving.stored import StoredFiles
from shared.errors import ArtifactNotFound, NotResolvable, ResolutionConflict, ResolutionTooLarge
from shared.errors.catalogue import from_value
from shared.process.threads import BoundedThreads
from shared.protocols.base import PackageProxyBase
from shared.protocols.resolution import (
    Document,
    KnownDocuments,
    NeededDocuments,
    Resolution,
    ResolutionRequest,
    Resolver,
    RootFile,
    Unavailable,
)
from shared.queue.context import Deferred
from shared.queue.jobs import AnyJob, ExtractDependencies, Resolve
from shared.queue.producer import JobQueue
from shared.queue.wakeups import Wakeups
from shared.resolving.answers import KeptResolutions, request_of

MOST_SECONDS = 120.0  # from the first run on; documents missing then are left out
MOST_SOLVER_SECONDS = 30.0  # of solving, over all runs
MOST_STEPS = 2000
MOST_JOBS = 2000  # fetched for one resolution
BACKSTOP_SECONDS = 0.5
EXTRACTION_SECONDS = 0.1  # seconds: the end of an extraction is not published

_encode = msgspec.json.Encoder().encode


class ResolveWork:
    """What one process remembers of one resolution."""

    def __init__(self) -> None:
        self.known = KnownDocuments()
        self.stamps: dict[Document, str] = {}  # as in `Brought`
        self.wanting: NeededDocuments | None = None  # what the last step lacked
        self.looked = False  # whether it was asked for a refusal
        self.refusal: Refusal | None = None  # which may still hold


class ResolveHandler(SteppingJob[Resolve, Progress, ResolveWork]):
    """`handlers[Resolve]` of an extractor. Raises `ResolutionConflict`, `ResolutionTooLarge`,
    `ProjectNotFound`, `ArtifactNotFound`, `NotResolvable`, beside what its base raises."""

    LOGGED = "resolved"
    REMEMBERED = 32
    MOST_SECONDS = MOST_SECONDS

    def __init__(
        self,
        *,
        resolutions: KeptResolutions,
        stored: StoredFiles,
        loader: DocumentLoader,
        queue: JobQueue,
        wakeups: Wakeups,
        threads: BoundedThreads,
        protocols: Mapping[str, PackageProxyBase],
    ) -> None:
        super().__init__(resolutions, wakeups, state=Progress, work=ResolveWork)
        self._refusals = Refusals(resolutions)
        self._stored = stored
        self._loader = loader
        self._queue = queue
        self._threads = threads
        self._protocols = protocols

    async def advance(self, job: Resolve, work: ResolveWork, state: Progress) -> Made:
        resolution = await self._resolve(job, work, state)
        names = {node.name for node in resolution.nodes}
        stale = tuple(sorted(names.intersection(state.stale)))
        resolution = msgspec.structs.replace(resolution, stale=stale)
        figures = {
            "protocol": job.protocol,
            "nodes": len(resolution.nodes),
            "complete": resolution.complete,
            "steps": state.steps,
            "documents": state.known,
            "solver_seconds": round(state.solver_seconds, 4),
        }
        return Made(_encode(resolution), resolution.complete and not stale, figures)

    async def _resolve(self, job: Resolve, work: ResolveWork, progress: Progress) -> Resolution:
        protocol = self._protocols.get(job.protocol)
        resolver = protocol.resolver if protocol is not None else None
        if protocol is None or resolver is None:
            raise NotResolvable(f"dependencies of {job.protocol} are not resolved yet")
        request = request_of(job)
        root = await self._root(job)
        queued: set[str] = set()

        async def bring(needs: NeededDocuments) -> None:
            await self._bring(protocol, request, job, work, needs, progress, queued)

        if work.wanting is not None:  # nothing is solved anew before one of these is there
            await bring(work.wanting)
        await self._refuse_again(job, work, bring)
        while True:
            progress.steps += 1
            if progress.steps > MOST_STEPS:
                raise ResolutionTooLarge(f"no answer was found in {MOST_STEPS} steps")
            started = time.monotonic()
            until = started + MOST_SOLVER_SECONDS - progress.solver_seconds
            try:
                outcome = await self._threads.run(_step, resolver, request, root, work.known, until)
            except ResolutionConflict as error:
                await self._refusals.keep(job, error, work.known.documents, work.stamps)
                raise
            progress.solver_seconds += time.monotonic() - started
            if isinstance(outcome, Resolution):
                return outcome
            work.wanting = outcome
            await bring(outcome)

    async def _refuse_again(
        self, job: Resolve, work: ResolveWork, bring: Callable[[NeededDocuments], Awaitable[None]]
    ) -> None:
        """Raises the `ResolutionConflict` that was found before, if all that it follows from is the same."""
        if not work.looked:
            work.refusal, work.looked = await self._refusals.find(job), True
        refusal = work.refusal
        if refusal is None:
            return
        while not work.known.documents.keys() >= set(refusal.documents):
            await bring(NeededDocuments(refusal.documents))
        if stamp_of(refusal.documents, work.stamps) == refusal.stamp:
            raise from_value(refusal.error)
        work.refusal = None

    async def _bring(
        self,
        protocol: PackageProxyBase,
        request: ResolutionRequest,
        job: Resolve,
        work: ResolveWork,
        needs: NeededDocuments,
        progress: Progress,
        queued: set[str],
    ) -> None:
        """Add the stored documents to what is known. Raises `Deferred` when none of the needed ones is
        stored."""
        known = work.known
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
        work.stamps.update(brought.stamps)
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
        root = await self._stored.root(job.artifact, job.protocol)
        if root is None:
            raise ArtifactNotFound(f"no {job.protocol} file with the SHA256 {job.artifact} is stored here")
        return root


def _step(
    resolver: Resolver, request: ResolutionRequest, root: RootFile | None, known: KnownDocuments, until: float
) -> Resolution | NeededDocuments:
    return resolver.resolve(request, root, known, give_up=lambda: time.monotonic() > until)


def _labelled(job: AnyJob, request_id: str) -> AnyJob:
    return msgspec.structs.replace(job, request_id=request_id)
