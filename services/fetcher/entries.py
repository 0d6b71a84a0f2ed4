"""Finding what an index says of one file, and the source that it came from.

A file that no document names (a lock file from elsewhere, an empty Orchard) makes its project's
index be fetched first; it is "not found" only if that index came and lacks it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from services.fetcher.documents import Documents
from shared import clock
from shared.artifacts import ArtifactRepository
from shared.clients.queue import EventListener, JobQueue
from shared.error_catalogue import from_value
from shared.errors import (
    DeadlineExceeded,
    FileNotFound,
    Offline,
    OrchardError,
    ProjectNotFound,
    UpstreamInvalid,
    UpstreamUnavailable,
)
from shared.events import Event
from shared.jobs import FetchIndex
from shared.models import FileEntry, IndexHead, UpstreamSource
from shared.protocols.base import PackageProxyBase
from shared.source_policy import owners
from shared.source_watcher import SourceWatcher
from shared.via import received

JUST_FETCHED_SECONDS = 5.0  # an index this young is not asked for again because a file is missing
POLL_SECONDS = 0.25

Refresh = Callable[[str, str], Awaitable[None]]
"""Fetch an index (protocol, identity) and return when it is there. Raises why it is not."""


class Found(msgspec.Struct, frozen=True):
    """A file's entry and the source to fetch it from.

    `owner`: ids of the sources that its project may be pinned to once this file is there; empty where the
    index that names the file has pinned it.
    """

    entry: FileEntry
    source: UpstreamSource
    owner: frozenset[int] = frozenset()


class Entries:
    """Entries of files, out of the newest documents."""

    def __init__(
        self, *, documents: Documents, sources: SourceWatcher, artifacts: ArtifactRepository, offline: bool
    ) -> None:
        self._documents = documents
        self._sources = sources
        self._artifacts = artifacts
        self._offline = offline

    async def known(
        self, protocol: PackageProxyBase, project: str, file_id: str, filename: str
    ) -> Found | None:
        """What the newest document says, asking no upstream; None if there is none or it lacks the file."""
        for identity in protocol.entry_identities(project, filename):
            found = await self._known_by(protocol, identity, project, file_id, filename)
            if found is not None:
                return found
        return None

    async def _known_by(
        self, protocol: PackageProxyBase, identity: str, project: str, file_id: str, filename: str
    ) -> Found | None:
        head = await self._documents.head(protocol.name, identity)
        if head is not None and head.status == 200 and head.document_key:
            found = await self._in_document(
                protocol, identity, project, file_id, filename, head.document_key, head.source_id
            )
            if found is not None:
                return found
        row = (await self._documents.last_good(protocol.name, identity)).row
        if row is None or (head is not None and row.document_key == head.document_key):
            return None
        return await self._in_document(
            protocol, identity, project, file_id, filename, row.document_key, row.source_id
        )

    async def find(
        self, protocol: PackageProxyBase, project: str, file_id: str, filename: str, refresh: Refresh
    ) -> Found:
        """As `known`, but an index that lacks the file is fetched anew first.

        Raises `FileNotFound` if it then still does, `Offline`, or why the index cannot be fetched.
        """
        found = await self.known(protocol, project, file_id, filename)
        if found is not None:
            return found
        return await self.find_anew(protocol, project, file_id, filename, refresh)

    async def find_anew(
        self, protocol: PackageProxyBase, project: str, file_id: str, filename: str, refresh: Refresh
    ) -> Found:
        """As `find`, with the index fetched first unless it was just fetched.

        Of several indexes that may list the file, the first that is cached is fetched anew; if none
        is, all are asked for, the last (and smallest) first, until one lists it.
        """
        if self._offline:
            raise Offline(f"ORCHARD_OFFLINE is set and {filename} was never cached")
        failing = False
        for identity in await self._to_fetch(protocol, project, filename):
            head = await self._documents.head(protocol.name, identity)
            if not _just_fetched(head):
                try:
                    await refresh(protocol.name, identity)
                except (ProjectNotFound, UpstreamInvalid):
                    if identity == protocol.index_identity(project):
                        raise
                    continue  # this upstream has no such address
                head = await self._documents.head(protocol.name, identity)
            found = await self._known_by(protocol, identity, project, file_id, filename)
            if found is not None:
                return found
            failing = failing or (head is not None and head.failing)
        if failing:
            raise UpstreamUnavailable(f"the index of {project} cannot be refreshed to look for {filename}")
        raise FileNotFound(f"the index of {project} does not list {filename}")

    async def is_failing(self, protocol: PackageProxyBase, project: str, filename: str) -> bool:
        """Whether what is known of a file is only what an index said before its source failed."""
        heads = [
            await self._documents.head(protocol.name, identity)
            for identity in protocol.entry_identities(project, filename)
        ]
        return any(head is not None and head.failing for head in heads)

    async def _to_fetch(self, protocol: PackageProxyBase, project: str, filename: str) -> Sequence[str]:
        identities = protocol.entry_identities(project, filename)
        for identity in identities[:-1]:
            if (await self._documents.last_good(protocol.name, identity)).document_key:
                return (identity,)
        return identities[::-1]

    async def _in_document(
        self,
        protocol: PackageProxyBase,
        identity: str,
        project: str,
        file_id: str,
        filename: str,
        key: str,
        source_id: int,
    ) -> Found | None:
        sources = self._sources.current(protocol.name)
        if sources is None:
            raise UpstreamUnavailable("the upstream sources are not loaded yet", retry_after_seconds=1)
        pinned: frozenset[int] = frozenset()
        if len(sources.sources) > 1:
            pinned = await self._artifacts.pinned(protocol.name, protocol.pin_names(project))
        # A source that was disabled, or that the name is not bound or pinned to any more, is not asked.
        may = owners(sources.sources, project, pinned)
        source = next((each for owner in may for each in owner if each.id == source_id), None)
        if source is None:
            return None
        loaded = await self._documents.load(protocol, key)
        entry = None if loaded is None else protocol.find_file(loaded.document, file_id, filename)
        if entry is None:
            return None
        if pinned or identity == protocol.index_identity(project):
            return Found(entry, source)
        owner = next(owner for owner in may if source in owner)
        return Found(entry, source, frozenset(each.id for each in owner))


def _just_fetched(head: IndexHead | None) -> bool:
    return head is not None and not head.failing and abs(clock.now() - head.fetched_at) < JUST_FETCHED_SECONDS


class IndexWaiter:
    """Has an index fetched by its own queue and waits for it: for jobs of other queues."""

    def __init__(self, queue: JobQueue, listener: EventListener, *, seconds: float) -> None:
        """`seconds`: as long as an index may take."""
        self._seconds = seconds
        self._queue = queue
        self._listener = listener

    async def refresh(self, protocol: str, identity: str) -> None:
        """Returns when the index job has ended well. Raises its error, or `DeadlineExceeded`."""
        job = FetchIndex(protocol=protocol, identity=identity, via=received.get())
        heard: asyncio.Future[Event] = asyncio.get_running_loop().create_future()

        def on_event(event: Event) -> None:
            if not heard.done() and event.kind != "live":
                heard.set_result(event)

        self._listener.register(job.id, on_event)
        try:
            _, before = await self._queue.read_state(job.id)
            # Generations only rise, by Redis's clock: what is known now is of an earlier run.
            known = before.generation if before is not None else 0
            await self._queue.enqueue(job)
            async with asyncio.timeout(self._seconds):
                while not heard.done():
                    await asyncio.wait([heard], timeout=POLL_SECONDS)
                    if not heard.done():
                        await self._look(job, on_event, known)
        except TimeoutError:
            raise DeadlineExceeded(
                f"the index {identity} was not ready within {self._seconds:.3g} s"
            ) from None
        finally:
            self._listener.unregister(job.id, on_event)
        event = heard.result()
        if event.kind == "failed":
            raise _error_of(event)

    async def _look(self, job: FetchIndex, on_event: Callable[[Event], None], known: int) -> None:
        claim, outcome = await self._queue.read_state(job.id)
        if outcome is not None and outcome.generation > known:
            on_event(outcome)
        elif claim is None:
            await self._queue.enqueue(job)  # does nothing while it waits its turn


def _error_of(event: Event) -> OrchardError:
    return from_value(event.error) if event.error is not None else UpstreamUnavailable("the index failed")
