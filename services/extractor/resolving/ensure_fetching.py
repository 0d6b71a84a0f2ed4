"""Has the files of an ensure fetched, some at a time; rows say which are stored.

For files that may have been evicted, whose rows stay, the object store is asked, too. Clients' jobs share
the queue, so no more than `WINDOW` jobs of one ensure are in it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from services.extractor.housekeeping import evictor
from services.extractor.resolving.progress import OWN_TROUBLE, EnsureProgress, EnsureWork, Failure, WantedFile
from services.extractor.resolving.stored import StoredFiles
from shared.artifacts.repository import ArtifactRepository
from shared.artifacts.uses import report_uses
from shared.errors import ResolutionTooLarge
from shared.errors.catalogue import is_final
from shared.errors.passing import UpstreamRateLimited
from shared.models import StoredFile
from shared.objects.port import ObjectStore
from shared.protocols.base import PackageProxyBase
from shared.protocols.resolution import Resolution
from shared.queue.context import Deferred
from shared.queue.events import Event
from shared.queue.jobs import Ensure, FetchArtifact, FetchIndex
from shared.queue.producer import JobQueue
from shared.queue.waiting import outcome_since
from shared.queue.wakeups import Wakeups
from shared.redis.client import RedisClient

WINDOW = 24
BACKSTOP_SECONDS = 1.0
BATCH = 500  # rows looked up by one statement
LOOKS_AT_ONCE = 8  # into the object store
MOST_FILES = 20_000
MOST_SECONDS = 3600.0  # from the first run on; what is not there then is missing
MOST_RETRIES = 6  # after a failure of our own, or a Retry-After
MOST_SECOND_TRIES = 1  # after other failures of the upstream
LONGEST_PAUSE_SECONDS = 60  # at most, after a Retry-After


def files_of(protocol: PackageProxyBase, resolution: Resolution) -> dict[str, WantedFile]:
    """The files of a graph, by the id of the job that fetches each."""
    found: dict[str, WantedFile] = {}
    for node in resolution.nodes:
        if node.filename and not node.inert:
            job = FetchArtifact(protocol.name, node.name, node.file_id, node.filename)
            found[job.id] = WantedFile(job, node.version, node.sha256, node.size_bytes or 0)
    return found


def documents_of(protocol: PackageProxyBase, resolution: Resolution) -> dict[str, WantedFile]:
    """The documents of a graph that clients read too (POMs), by the id of the job that fetches each."""
    found: dict[str, WantedFile] = {}
    for document in resolution.documents:
        job = FetchArtifact(protocol.name, document.project, document.file_id, document.filename)
        found[job.id] = WantedFile(job, document.file_id)
    return found


class EnsureFetching:
    """Shared by all ensures of a process."""

    def __init__(
        self,
        *,
        artifacts: ArtifactRepository,
        stored: StoredFiles,
        queue: JobQueue,
        queue_redis: RedisClient,
        store: ObjectStore,
        wakeups: Wakeups,
        protocols: Mapping[str, PackageProxyBase],
    ) -> None:
        self._redis = queue_redis
        self._store = store
        self._artifacts = artifacts
        self._stored = stored
        self._queue = queue
        self._wakeups = wakeups
        self._protocols = protocols

    async def begin(self, work: EnsureWork, files: Mapping[str, WantedFile]) -> None:
        """Set the files to fetch, and look up those that are stored. Raises `ResolutionTooLarge`."""
        if len(files) > MOST_FILES:
            raise ResolutionTooLarge(f"more than {MOST_FILES} files would have to be fetched")
        work.files = dict(files)
        await self._look_up(work, [job_id for job_id in files if job_id not in work.facts])
        await self._find_indexes(work)

    async def fetch(self, job: Ensure, work: EnsureWork, progress: EnsureProgress) -> None:
        """Returns when every file is there or has failed. Raises `Deferred` while some are fetched."""
        assert work.files is not None
        # Another process may have asked for what is there by now, or for files of an older graph.
        known = work.files.keys() | work.indexes.keys()
        progress.asked = {job_id: at for job_id, at in progress.asked.items() if job_id in known}
        running = list(progress.asked)
        await self._look_up(work, [job_id for job_id in running if job_id in work.files])
        await self._look_up_indexes(work, [job_id for job_id in running if job_id in work.indexes])
        ended = await asyncio.gather(*(self._ended(work, job_id, progress) for job_id in running))
        for job_id, over in zip(running, ended, strict=True):
            if over:
                progress.asked.pop(job_id, None)
        left = [each for each in self._left(work) if each not in progress.failed]
        work.count(progress)
        if not left:
            return
        if time.time() - progress.started_at > MOST_SECONDS:
            late = Failure(f"not there in {MOST_SECONDS:.0f} s", passing=True)
            progress.failed |= dict.fromkeys(left, late)
            return
        pause = progress.paused_until - time.time()
        if pause > 0:
            raise Deferred(pause)
        new = [each for each in left if each not in progress.asked][: max(0, WINDOW - len(progress.asked))]
        progress.asked |= dict.fromkeys(new, time.time())
        waited_for = set(progress.asked)
        self._wakeups.when_ended(job, waited_for, most_left=(len(waited_for) - 1) // 2)
        for job_id in progress.asked:  # those that run already coalesce; one that was lost is put back
            fetch = work.files[job_id].job if job_id in work.files else work.indexes[job_id]
            await self._queue.enqueue(msgspec.structs.replace(fetch, request_id=job.request_id))
        raise Deferred(BACKSTOP_SECONDS)

    # --- what is there --------------------------------------------------------------------------

    @staticmethod
    def _left(work: EnsureWork) -> Iterable[str]:
        assert work.files is not None
        yield from work.indexes
        yield from (job_id for job_id in work.files if job_id not in work.facts)

    async def _look_up(self, work: EnsureWork, job_ids: Sequence[str]) -> None:
        """Adds the facts of stored files: one statement for each batch, and one request to the store for
        each large file."""
        assert work.files is not None
        for start in range(0, len(job_ids), BATCH):
            batch = job_ids[start : start + BATCH]
            jobs = [work.files[job_id].job for job_id in batch]
            names = [job.file for job in jobs]
            rows = await self._artifacts.batch_get_cached_urls(names)
            there = await self._there([facts for facts in rows if facts is not None])
            for job_id, facts in zip(batch, rows, strict=True):
                if facts is not None and facts.object_key in there:
                    work.facts[job_id] = facts

    async def _there(self, known: Sequence[StoredFile]) -> set[str]:
        """The keys of the objects that are stored. Records a use, so that none of them is evicted before the
        lock that names it is stored."""
        large = {each.object_key: each for each in known if each.size_bytes > evictor.LEAST_BYTES}
        now = time.time()
        await report_uses(self._redis, {bytes.fromhex(each.sha256): now for each in large.values()})
        slots = asyncio.Semaphore(LOOKS_AT_ONCE)

        async def is_gone(facts: StoredFile) -> bool:
            async with slots:
                found = await self._store.stat(facts.object_key)
            return found is None or found.size_bytes != facts.size_bytes

        gone = await asyncio.gather(*map(is_gone, large.values()))
        lost = {key for key, is_lost in zip(large, gone, strict=True) if is_lost}
        return {each.object_key for each in known} - lost

    async def _find_indexes(self, work: EnsureWork) -> None:
        """Identities of pages that clients will ask for and that were never stored: seldom any, for
        resolving needs them too."""
        assert work.files is not None
        wanted: dict[str, dict[str, FetchIndex]] = {}
        for file in work.files.values():
            protocol = self._protocols[file.job.protocol]
            job = file.job
            if not protocol.grammar.artifact_resource(job.file).direct:
                identity = protocol.grammar.index_identity(job.project)
                of_protocol = wanted.setdefault(protocol.name, {})
                of_protocol[identity] = FetchIndex(protocol=protocol.name, identity=identity)
        work.indexes = {job.id: job for jobs in wanted.values() for job in jobs.values()}
        await self._look_up_indexes(work, list(work.indexes))

    async def _look_up_indexes(self, work: EnsureWork, job_ids: Sequence[str]) -> None:
        by_protocol: dict[str, list[FetchIndex]] = {}
        for job_id in job_ids:
            job = work.indexes[job_id]
            by_protocol.setdefault(job.protocol, []).append(job)
        for protocol, jobs in by_protocol.items():
            for start in range(0, len(jobs), BATCH):
                batch = {job.identity: job for job in jobs[start : start + BATCH]}
                for identity in await self._stored.documents(protocol, list(batch)):
                    work.indexes.pop(batch[identity].id, None)

    # --- how jobs ended ---------------------------------------------------------------------------

    async def _ended(self, work: EnsureWork, job_id: str, progress: EnsureProgress) -> bool:
        """Whether a job has ended: its result is stored, or it has failed for good."""
        if job_id in work.facts or (job_id not in work.indexes and job_id not in (work.files or {})):
            return True
        seen = progress.seen.get(job_id, 0)
        event = await outcome_since(self._queue, job_id, progress.asked.get(job_id), before=seen)
        if event is None:
            return False
        progress.seen[job_id] = event.generation
        failure, most = failure_of_event(event)
        tries = progress.retried.get(job_id, 0)
        if failure.passing and tries < most:
            progress.retried[job_id] = tries + 1
            if event.error is not None and event.error.code == UpstreamRateLimited.code:
                wait = min(max(1, event.error.retry_after_seconds), LONGEST_PAUSE_SECONDS)
                progress.paused_until = max(progress.paused_until, time.time() + wait)
            return False
        progress.failed[job_id] = failure
        return True


def failure_of_event(event: Event) -> tuple[Failure, int]:
    """A job's failure, and how often it may be tried again."""
    if event.error is None:  # also when it is done, and its row is missing
        return Failure("its job ended without a result", passing=True), MOST_RETRIES
    code = event.error.code
    passing = not is_final(code)
    patient = code in OWN_TROUBLE or code == UpstreamRateLimited.code
    return Failure(f"{code}: {event.error.message}", passing), MOST_RETRIES if patient else MOST_SECOND_TRIES
