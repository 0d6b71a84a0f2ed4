"""Finding a file's entry in an index document, and the source that it came from.

For a file that no stored document names (a lock file from elsewhere, an empty Orchard) its project's index
is fetched first; it is "not found" only if that index came and lacks it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from services.fetcher.files.download import GoneUpstream
from services.fetcher.indexes.documents import Documents
from services.fetcher.sources.policy import candidates, owners
from services.fetcher.sources.upstreams import Upstreams
from services.fetcher.sources.watcher import SourceWatcher
from shared.artifacts.repository import ArtifactRepository
from shared.digests import is_sha256
from shared.errors import (
    Blocked,
    FileNotFound,
    LastingError,
    Offline,
    OrchardError,
    ProjectNotFound,
    UpstreamInvalid,
)
from shared.errors.catalogue import from_value
from shared.errors.passing import DeadlineExceeded, UpstreamUnavailable
from shared.http.via import received
from shared.models import FileEntry, FileName, IndexHead, UpstreamSource
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase
from shared.protocols.resource import Resource
from shared.queue.events import Event
from shared.queue.jobs import IN_USE, FetchIndex
from shared.queue.waiting import JobWaiter
from shared.redis import clock
from shared.telemetry.logs import get_logger

log = get_logger()

T = TypeVar("T")

JUST_FETCHED_SECONDS = 5.0  # an index this young is not asked for again because a file is missing

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


def told_sha256(resource: Resource, found: Found | None) -> str:
    """What is known of the bytes of a file that is not stored: the SHA256 that its address has, its own or of
    the file it lies beside, else its index's; "" none."""
    if is_sha256(resource.file_id):
        return resource.file_id
    declared = "" if found is None else found.entry.hashes.get("sha256", "").lower()
    return declared if is_sha256(declared) else ""


class Entries:
    """Finds entries of files in the newest documents."""

    def __init__(
        self,
        *,
        documents: Documents,
        sources: SourceWatcher,
        upstreams: Upstreams,
        artifacts: ArtifactRepository,
    ) -> None:
        self._documents = documents
        self._upstreams = upstreams
        self._sources = sources
        self._artifacts = artifacts

    async def known(self, protocol: PackageProxyBase, file: FileName) -> Found | None:
        """What the newest document says, fetching none; None if there is none or it lacks the file."""
        for identity in protocol.documents.entry_identities(file):
            found = await self._known_by(protocol, identity, file)
            if found is not None:
                return found
        return None

    async def _known_by(self, protocol: PackageProxyBase, identity: str, file: FileName) -> Found | None:
        head = await self._documents.head(protocol.name, identity)
        if head is not None and head.status == 200 and head.document_key:
            found = await self._in_document(protocol, identity, file, head.document_key, head.source_id)
            if found is not None:
                return found
        row = (await self._documents.last_good(protocol.name, identity)).row
        if row is None or (head is not None and row.document_key == head.document_key):
            return None
        return await self._in_document(protocol, identity, file, row.document_key, row.source_id)

    async def find(self, protocol: PackageProxyBase, file: FileName, refresh: Refresh) -> Found:
        """As `known`, but an index that lacks the file is fetched anew first.

        Raises `FileNotFound` if it then still does, `Offline`, or why the index cannot be fetched.
        """
        found = await self.known(protocol, file)
        if found is not None:
            return found
        return await self.find_anew(protocol, file, refresh)

    async def _candidates(self, protocol: PackageProxyBase, project: str) -> list[UpstreamSource]:
        known = self._sources.current(protocol.name)
        if known is None:
            return []
        pinned = await self._artifacts.pinned(protocol.name, protocol.names.pin_names(project))
        return candidates(known.sources, project, pinned)

    async def find_anew(
        self, protocol: PackageProxyBase, file: FileName, refresh: Refresh, tried: Found | None = None
    ) -> Found:
        """As `find`, with the index fetched first unless it was just fetched. Where the file is not at the
        address that was `tried`, what its source says of itself is asked for before.

        Of several indexes that may list the file, the first that is cached is fetched anew; if none
        is, all are asked for, the last (and smallest) first, until one lists it.
        """
        if self._upstreams.cut_off(await self._candidates(protocol, file.project)):
            raise Offline(f"ORCHARD_OFFLINE is set and {file.filename} was never cached")
        if tried is not None:
            await self._upstreams.is_described_now(protocol, tried.source)
        failing = False
        for identity in await self._to_fetch(protocol, file):
            head = await self._documents.head(protocol.name, identity)
            if not self._was_just_fetched(protocol, head):
                try:
                    await refresh(protocol.name, identity)
                except (ProjectNotFound, UpstreamInvalid, UpstreamUnavailable) as error:
                    if identity == protocol.grammar.index_identity(file.project):
                        raise
                    failing = failing or isinstance(error, UpstreamUnavailable)
                    continue  # this upstream has no such index, or not now
                head = await self._documents.head(protocol.name, identity)
            found = await self._known_by(protocol, identity, file)
            if found is not None:
                return found
            failing = failing or (head is not None and head.failing)
        if failing:
            raise UpstreamUnavailable(
                f"the index of {file.project} cannot be refreshed to look for {file.filename}"
            )
        raise FileNotFound(f"the index of {file.project} does not list {file.filename}")

    async def is_failing(self, protocol: PackageProxyBase, file: FileName, source: UpstreamSource) -> bool:
        """Whether the file's address is by an index whose source has failed since, or by a document of the
        source that it does not repeat now."""
        if not await self._upstreams.is_described_now(protocol, source):
            return True
        if (await self._upstreams.described(protocol, source)).document != source.document:
            return True  # said only now: the file was not asked for there
        heads = [
            await self._documents.head(protocol.name, identity)
            for identity in protocol.documents.entry_identities(file)
        ]
        return any(head is not None and head.failing for head in heads)

    def _was_just_fetched(self, protocol: PackageProxyBase, head: IndexHead | None) -> bool:
        """From the sources of now: of one that is paused since, it says nothing. A block may be lifted."""
        sources = self._sources.current(protocol.name)
        if head is None or head.failing or head.status == Blocked.status:
            return False
        if sources is not None and head.source_revision < sources.revision:
            return False
        return abs(clock.now() - head.fetched_at) < JUST_FETCHED_SECONDS

    async def _to_fetch(self, protocol: PackageProxyBase, file: FileName) -> Sequence[str]:
        identities = protocol.documents.entry_identities(file)
        for identity in identities[:-1]:
            if (await self._documents.last_good(protocol.name, identity)).document_key:
                return (identity,)
        return identities[::-1]

    async def _in_document(
        self,
        protocol: PackageProxyBase,
        identity: str,
        file: FileName,
        key: str,
        source_id: int,
    ) -> Found | None:
        sources = self._sources.current(protocol.name)
        if sources is None:
            raise UpstreamUnavailable("the upstream sources are not loaded yet", retry_after_seconds=1)
        pinned: frozenset[int] = frozenset()
        if len(sources.sources) > 1:
            pinned = await self._artifacts.pinned(protocol.name, protocol.names.pin_names(file.project))
        # A source that was disabled, or that the name is not bound or pinned to any more, is not asked.
        may = owners(sources.sources, file.project, pinned)
        source = next((each for owner in may for each in owner if each.id == source_id), None)
        if source is None:
            return None
        loaded = await self._documents.load(protocol, key)
        if loaded is None:
            return None
        owner = next(owner for owner in may if source in owner)
        source = await self._upstreams.described(protocol, source)
        entry = protocol.documents.find_file(loaded.document, file, source)
        if entry is None:
            return None
        if pinned or identity == protocol.grammar.index_identity(file.project):
            return Found(entry, source)
        return Found(entry, source, frozenset(each.id for each in owner))


async def at_kept_address(
    entries: Entries,
    refresh: Refresh,
    protocol: PackageProxyBase,
    resource: Resource,
    found: Found,
    attempt: Callable[[Found], Awaitable[T]],
) -> T:
    """The result of `attempt` at the file's stored address, or at the one in its page now.

    The address in a stored document may be outdated: a signature or a token in it has expired, the file was
    moved or made anew. So after any lasting failure of the address (401, 403, 404, 410, 400 of a signature,
    another digest, a login page) the page is fetched anew, and if that has another address or another
    digest, the file is asked for once more. Otherwise the first answer stands. So is what the source says of
    itself, where that tells the addresses (Cargo's config.json). What came within the last seconds is not
    fetched again (`Entries.find_anew`), and those who want it at once share one fetch.

    Raises `FileNotFound` when the page came and the file is not at the address there, or no longer listed;
    what `attempt` raises; and the error of the page.
    """
    try:
        return await attempt(found)
    except GoneUpstream:
        first: OrchardError | None = None
    except Offline:
        raise
    except LastingError as error:
        first = error
    newer = await entries.find_anew(protocol, resource.file, refresh, tried=found)
    if newer != found:
        log.info("address_renewed", protocol=protocol.name, filename=resource.filename)
        try:
            return await attempt(newer)
        except GoneUpstream:
            first = None
    if first is not None:
        raise first
    if await entries.is_failing(protocol, resource.file, newer.source):
        raise UpstreamUnavailable(
            f"upstream {newer.source.name} lacks {resource.filename}, and what names it cannot be had now"
        )
    raise FileNotFound(f"upstream {newer.source.name} lists {resource.filename} but does not have it")


def refresh_by(jobs: JobWaiter, seconds: float) -> Refresh:
    """A function that has an index fetched by its own queue and waits for it, `seconds` at most: for jobs of
    other queues.

    Raises the error of the index job, `DeadlineExceeded`.
    """

    async def refresh(protocol: str, identity: str) -> None:
        job = FetchIndex(protocol=protocol, identity=identity, via=received.get(), variant=IN_USE)
        try:
            event = await jobs.wait(job, timeout=seconds)
        except TimeoutError:
            noun = protocol_named(protocol).grammar.noun_of(identity)
            raise DeadlineExceeded(f"the index of {noun} was not ready within {seconds:.3g} s") from None
        if event.kind == "failed":
            raise _error_of(event)

    return refresh


def _error_of(event: Event) -> OrchardError:
    return from_value(event.error) if event.error is not None else UpstreamUnavailable("the index failed")
