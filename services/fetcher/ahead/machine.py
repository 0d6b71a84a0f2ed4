"""Reading ahead: what a client is likely to ask next is fetched before it asks (docs/decisions/0037).

A few tasks work through the documents that came; what they cannot keep up with is left out. They guess by the
protocol's `Ahead`, leave out what may not be fetched (`allowed.py`), and enqueue what the budgets leave
(`budgets.py`), as jobs of the ids that real requests have. The end of such a job leads to the next document.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import msgspec

from services.fetcher.ahead.allowed import Allowed
from services.fetcher.ahead.budgets import Budgets, GuessedJob
from services.fetcher.ahead.came import Came
from services.fetcher.ahead.guesses import LARGEST_FILE_BYTES, following, is_fresh, job_of
from services.fetcher.indexes.documents import Documents
from services.fetcher.indexes.judging import Judging
from services.fetcher.sources.watcher import SourceWatcher
from shared.access.watcher import AccessWatcher
from shared.cache.service import CacheService
from shared.errors import OrchardError
from shared.errors.passing import QueueFull
from shared.models import IndexHead, StoredFile
from shared.objects.verify import read_whole
from shared.process.bounded import Bounded
from shared.process.periodic import Every
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase
from shared.protocols.roles.ahead import MOST_NAMES, MOST_WANTED, Guess
from shared.queue.events import Event
from shared.queue.jobs import FetchArtifact, FetchIndex
from shared.queue.listener import EventListener
from shared.stores import Stores
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import AHEAD_USEFULNESS

log = get_logger()

WORKERS = 4
BACKLOG = 256  # documents that came and were not looked at yet
MOST_READY = 64  # guesses that wait in the queue
LARGEST_INDEX_BYTES = 8 * 1024 * 1024  # that is decoded again for what follows it
REMEMBERED = 8192  # for whom which versions of what are wanted
SETTLE_SECONDS = 5.0


class ReadAhead:
    """One per fetcher. The caller opens and closes it."""

    def __init__(
        self,
        stores: Stores,
        *,
        listener: EventListener,
        documents: Documents,
        sources: SourceWatcher,
        access: AccessWatcher,
        judging: Judging,
    ) -> None:
        settings = stores.settings
        self._is_on = settings.read_ahead and not settings.offline
        self._queue, self._threads = stores.queue, stores.threads
        self._cache: CacheService = stores.cache
        self._objects = stores.objects
        self._listener, self._documents = listener, documents
        self._sources, self._access, self._judging = sources, access, judging
        self._allowed = Allowed(sources, access, stores.artifacts)
        self._budgets = Budgets(in_flight=settings.ahead_slots)
        self._wanted = Bounded[tuple[str, str], str](REMEMBERED)
        self._backlog: asyncio.Queue[Came] = asyncio.Queue(BACKLOG)
        self._tasks: list[asyncio.Task[None]] = []
        self._settling = Every(SETTLE_SECONDS, self._settle, name="read-ahead figures")

    async def open(self) -> None:
        """Start, unless ORCHARD_READ_AHEAD is off."""
        if self._is_on:
            self._listener.register("", self._told)
            self._tasks = [
                asyncio.create_task(self._work(), name=f"read-ahead {number}") for number in range(WORKERS)
            ]
            await self._settling.open()

    async def aclose(self) -> None:
        """Stop guessing; jobs that are queued go on."""
        tasks, self._tasks = self._tasks, []
        if tasks:
            self._listener.unregister("", self._told)
            await self._settling.aclose()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # --- documents that came --------------------------------------------------------------------------

    def page_came(self, job: FetchIndex, head: IndexHead) -> None:
        """A client's page is there. Waits for nothing."""
        if job.asker is None or head.status != 200 or head.failing:
            return
        wanted = self._wanted.get((job.asker.client, job.id))
        asker = msgspec.structs.replace(
            job.asker, wanted=wanted or "", base_url=job.base_url, variant=job.variant
        )
        is_sure = wanted is not None
        self._came(
            Came(job.protocol, asker, head.source_id, head.document_key, job.identity, is_sure=is_sure)
        )

    def file_came(self, job: FetchArtifact, facts: StoredFile, source_id: int) -> None:
        """A client's file is there. Waits for nothing."""
        if job.asker is None or facts.size_bytes > LARGEST_FILE_BYTES:
            return
        if not protocol_named(job.protocol).ahead.reads_file(job.filename):
            return
        wanted = self._wanted.get((job.asker.client, job.id)) or ""
        asker = msgspec.structs.replace(job.asker, wanted=wanted)
        self._came(Came(job.protocol, asker, source_id, facts.object_key, file=job.file))

    def _came(self, came: Came) -> None:
        if self._tasks:
            with contextlib.suppress(asyncio.QueueFull):
                self._backlog.put_nowait(came)

    # --- guesses ----------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            came = await self._backlog.get()
            try:
                await self._look(came)
            except OrchardError as error:
                log.debug("not_read_ahead", protocol=came.protocol, error=error.code, message=error.message)
            except Exception:
                log.exception("read_ahead_failed", protocol=came.protocol, identity=came.identity)

    async def _look(self, came: Came) -> None:
        protocol = protocol_named(came.protocol)
        known = self._sources.current(came.protocol)
        source = next((each for each in known.sources if each.id == came.source_id), None) if known else None
        if source is None:
            return
        found = (await self._guesses(protocol, came))[:MOST_NAMES]
        guesses = [each for each in found if len(each.wanted) <= MOST_WANTED]
        allowed = await self._allowed.of(protocol, source, guesses)
        guessed = [(job_of(protocol, guess, came.asker), owner) for guess, owner in allowed]
        for job, _ in guessed:  # also of what no job is made for: its client may ask
            self._wanted.put((came.asker.client, job.id), job.asker.wanted if job.asker else "")
        there = await asyncio.gather(*(self._is_there(job) for job, _ in guessed))
        jobs: list[GuessedJob] = []
        for (job, owner), facts in zip(guessed, there, strict=True):
            if facts is None:
                if self._budgets.take(job, owner.id, owner.name, is_sure=came.is_sure):
                    jobs.append(job)
            elif isinstance(facts, StoredFile) and isinstance(job, FetchArtifact) and came.identity:
                self.file_came(job, facts, owner.id)  # the pages that it leads to may have expired
        if jobs:
            await self._enqueue(jobs)

    async def _guesses(self, protocol: PackageProxyBase, came: Came) -> Sequence[Guess]:
        ahead, asker = protocol.ahead, came.asker
        if came.file is not None:
            content = await read_whole(self._objects, came.key, self._threads)
            return await self._threads.run(ahead.after_file, came.file, content, asker.tool, asker.wanted)
        key = came.key
        if not key:
            head = await self._documents.head(protocol.name, came.identity)
            key = head.document_key if head is not None and head.status == 200 else ""
        if not key:
            return ()
        loaded = await self._documents.load(protocol, key, most_bytes=LARGEST_INDEX_BYTES)
        if loaded is None:
            return ()
        project = protocol.grammar.project_of(came.identity)
        verdicts = self._access.policy.of(protocol.name, project)
        if verdicts.judges and project:
            _, verdicts = await self._judging.of_project(protocol, project, {}, verdicts)
        return await self._threads.run(
            ahead.after_index, came.identity, loaded.document, asker.tool, asker.wanted, verdicts
        )

    async def _is_there(self, job: GuessedJob) -> StoredFile | IndexHead | None:
        """What clients are served without any job. Raises `CacheUnavailable`: then nothing is read ahead."""
        if isinstance(job, FetchArtifact):
            return await self._cache.read_facts(job.file)
        known = self._sources.current(job.protocol)
        head, _ = await self._cache.read_head(job.protocol, job.identity)
        return head if known is not None and head is not None and is_fresh(head, known.revision) else None

    async def _enqueue(self, jobs: Sequence[GuessedJob]) -> None:
        """Told before they are put in: who asks from then on can know that it was guessed."""
        await self._queue.announce("ahead", [job.id for job in jobs])
        for job in jobs:
            self._listener.register(job.id, self._ended)
        await asyncio.gather(*map(self._put, jobs))

    async def _put(self, job: GuessedJob) -> None:
        try:
            accepted = (await self._queue.enqueue(job, limit=MOST_READY)).accepted
        except OrchardError as error:
            if not isinstance(error, QueueFull):
                log.debug("guess_not_queued", job_id=job.id, error=error.code)
            accepted = False
        if not accepted:  # somebody was first, or too many wait
            self._forget(job.id)

    # --- what became of them ------------------------------------------------------------------------------

    def _ended(self, event: Event) -> None:
        if event.kind == "live":
            return
        self._listener.unregister(event.job_id, self._ended)
        if event.kind == "failed":
            self._budgets.failed(event.job_id)
            return
        if event.upstream_bytes is None:  # it was there, or was asked for before it began
            self._budgets.drop(event.job_id)
            return
        held = self._budgets.fetched(event.job_id, event.upstream_bytes)
        if held is None or (then := following(held, event)) is None:
            return
        if held.is_sure or held.asked:
            self._came(then)
        else:
            held.then = then

    def _told(self, event: Event) -> None:
        """Gateways tell which guesses were asked for."""
        if event.kind != "asked":
            return
        for job_id in event.ids:
            then = self._budgets.asked(job_id)
            if then is not None:
                self._came(then)

    async def _settle(self) -> None:
        for job_id in self._budgets.forget_old():
            self._listener.unregister(job_id, self._ended)
        for source, usefulness in self._budgets.figures():
            AHEAD_USEFULNESS.labels(source).set(usefulness)

    def _forget(self, job_id: str) -> None:
        self._budgets.drop(job_id)
        self._listener.unregister(job_id, self._ended)
