"""Finds the file of each pin of a lock input in the index documents of its project (docs/decisions/0052).

What is stored is looked at first. Where that lacks a pin, the index is asked for once; what is not in it then
is not there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from services.extractor.resolving.ensure_fetching import BATCH, WINDOW, failure_of_event
from services.extractor.resolving.progress import EnsureProgress, EnsureWork, Lacking, WantedFile
from services.extractor.resolving.stored import StoredFiles
from shared.access.watcher import AccessWatcher
from shared.digests import is_sha256
from shared.errors import Blocked, UpstreamInvalid
from shared.errors.passing import ObjectMissing
from shared.models import FileName
from shared.objects.port import ObjectStore
from shared.objects.verify import read_whole
from shared.process.threads import BoundedThreads
from shared.protocols.base import PackageProxyBase
from shared.protocols.roles.pins import NotFound, Pin
from shared.queue.context import Deferred
from shared.queue.events import Event
from shared.queue.jobs import Ensure, FetchArtifact, FetchIndex
from shared.queue.producer import JobQueue
from shared.queue.waiting import outcome_since
from shared.queue.wakeups import Wakeups
from shared.resolving.pinned import PinnedFiles

BACKSTOP_SECONDS = 1.0
READS_AT_ONCE = 4  # documents; one may have 40 MB

Found = dict[Pin, FileName | Lacking]


class PinFinder:
    """Shared by all ensures of a process."""

    def __init__(
        self,
        *,
        stored: StoredFiles,
        store: ObjectStore,
        threads: BoundedThreads,
        queue: JobQueue,
        wakeups: Wakeups,
        access: AccessWatcher,
        protocols: Mapping[str, PackageProxyBase],
    ) -> None:
        self._stored = stored
        self._store = store
        self._threads = threads
        self._queue = queue
        self._wakeups = wakeups
        self._access = access
        self._protocols = protocols

    async def find(
        self, job: Ensure, files: PinnedFiles, work: EnsureWork, progress: EnsureProgress
    ) -> dict[str, WantedFile]:
        """The files to fetch, by the id of the job that fetches each; `work.pins` has of each pin its file,
        or why there is none. Raises `Deferred` while indexes are fetched, and what the stores raise."""
        asked: list[FetchIndex] = []
        for name, pins in files.pins.items():
            protocol = self._protocols[name]
            found = work.pins.setdefault(name, {})
            left = self._allowed(protocol, [pin for pin in pins if pin not in found], found)
            if protocol.pins.reads_index:
                asked += await self._in_indexes(protocol, left, found, progress)
            else:
                found.update({pin: protocol.pins.find(None, pin) for pin in left})
        if asked:
            progress.resolving = []
            now = asked[:WINDOW]
            for index in now:
                progress.asked.setdefault(index.id, time.time())
            self._wakeups.when_ended(job, {each.id for each in now}, most_left=len(now) // 2)
            for index in now:
                await self._queue.enqueue(msgspec.structs.replace(index, request_id=job.request_id))
            raise Deferred(BACKSTOP_SECONDS)
        return {
            wanted.job.id: wanted
            for name, found in work.pins.items()
            for pin, file in found.items()
            if isinstance(file, FileName)
            for wanted in [WantedFile(FetchArtifact.of(file), pin.version)]
        }

    def _allowed(self, protocol: PackageProxyBase, pins: Sequence[Pin], found: Found) -> list[Pin]:
        """Without those of blocked projects and versions, which are recorded."""
        policy = self._access.policy
        if not policy.any:
            return list(pins)
        kept = []
        for pin in pins:
            try:
                version = protocol.names.canonical_version(pin.version)
                told = next((value for name, value in pin.digests if name == "sha256"), "")
                told = told if is_sha256(told) else ""  # of several its source's own is not known yet
                policy.check_address(protocol.name, pin.name, version, told)
            except Blocked as error:
                found[pin] = Lacking("refused", f"{error.code}: {error.message}")
            else:
                kept.append(pin)
        return kept

    async def _in_indexes(
        self, protocol: PackageProxyBase, pins: Iterable[Pin], found: Found, progress: EnsureProgress
    ) -> list[FetchIndex]:
        """Adds to `found`; returns the jobs that must end before the rest is known."""
        projects: dict[str, list[Pin]] = {}
        for pin in pins:
            projects.setdefault(pin.name, []).append(pin)
        names = list(projects)
        jobs = [FetchIndex(protocol.name, protocol.grammar.index_identity(name)) for name in names]
        # Before the rows: what a job stores is there when it has ended.
        ended = dict(
            zip(names, await asyncio.gather(*(self._ended(each, progress) for each in jobs)), strict=True)
        )
        keys: dict[str, str] = {}
        for start in range(0, len(names), BATCH):
            identities = {
                protocol.grammar.index_identity(each): each for each in names[start : start + BATCH]
            }
            stored = await self._stored.documents(protocol.name, list(identities))
            keys |= {identities[identity]: key for identity, key in stored.items()}
        slots = asyncio.Semaphore(READS_AT_ONCE)

        async def is_settled(name: str, job: FetchIndex) -> bool:
            async with slots:
                answers = await self._answers(protocol, projects[name], keys.get(name, ""))
            return self._settle(job, ended[name], answers, found, progress)

        settled = await asyncio.gather(*map(is_settled, names, jobs))
        return [job for job, is_over in zip(jobs, settled, strict=True) if not is_over]

    async def _ended(self, job: FetchIndex, progress: EnsureProgress) -> Event | None:
        seen = progress.seen.get(job.id, 0)
        return await outcome_since(self._queue, job.id, progress.asked.get(job.id), before=seen)

    async def _answers(self, protocol: PackageProxyBase, pins: Sequence[Pin], document_key: str) -> Found:
        """What the stored document of a project tells of its pins."""
        if not document_key:
            return dict.fromkeys(pins, Lacking("absent", "no source knows this project"))
        try:
            body = await read_whole(self._store, document_key, self._threads)
            return await self._threads.run(_find, protocol, body, pins)
        except (ObjectMissing, UpstreamInvalid) as error:
            lacking = Lacking("failed", f"the stored index cannot be read: {error.message}", passing=True)
            return dict.fromkeys(pins, lacking)

    @staticmethod
    def _settle(
        job: FetchIndex, event: Event | None, answers: Found, found: Found, progress: EnsureProgress
    ) -> bool:
        """Whether `found` has all pins of a project now; else its index is to be asked for. `event`: how that
        ended, read before `answers` were."""
        found |= {pin: answer for pin, answer in answers.items() if isinstance(answer, FileName)}
        lacking = {pin: answer for pin, answer in answers.items() if isinstance(answer, Lacking)}
        if not lacking:
            return True
        if event is None:
            return False
        if event.kind == "failed":
            failure, most = failure_of_event(event)
            tries = progress.retried.get(job.id, 0)
            if failure.passing and tries < most:
                progress.retried[job.id] = tries + 1
                progress.seen[job.id] = event.generation
                return False
            lacking = dict.fromkeys(lacking, Lacking.of(failure))
        found |= lacking
        return True


def _find(protocol: PackageProxyBase, body: bytes, pins: Sequence[Pin]) -> Found:
    document = protocol.documents.decode_document(body)
    found: Found = {}
    for pin in pins:
        try:
            found[pin] = protocol.pins.find(document, pin)
        except NotFound as error:
            found[pin] = Lacking("differs" if error.differs else "absent", str(error))
    return found
