"""Stored documents and files as resolvers read them, prepared once and kept in memory between resolutions.

The model of a file lies in the cache beside its extraction; rows do not hold it. A cache that lost it, or
holds one that another version wrote, costs one more reading in the sandbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from services.extractor.extraction.sandbox.parent import Sandbox
from services.extractor.resolving.stored import StoredMetadata
from shared.cache.keys import Category
from shared.cache.service import CacheService
from shared.errors.passing import CacheUnavailable
from shared.models import Extraction, SealedFile
from shared.objects.port import ObjectStore
from shared.objects.verify import read_whole
from shared.policy.age import Seen
from shared.policy.project import ProjectVerdicts
from shared.process.bounded import Bounded
from shared.process.threads import BoundedThreads
from shared.protocols.base import PackageProxyBase
from shared.protocols.dating import held_of
from shared.protocols.resolution import Absent, Document, Resolver
from shared.redis import clock

_decode = msgspec.msgpack.Decoder(Extraction).decode


async def extraction_with_model(
    protocol: PackageProxyBase,
    filename: str,
    *,
    cache: CacheService,
    sandbox: Sandbox,
    sha256: str,
    object_key: str,
    size_bytes: int,
) -> Extraction:
    """The extraction with a model that this version reads, or one that says why there is none.

    Raises `ObjectMissing`, `StoreUnavailable` and `PassingError` like `Sandbox.extract`.
    """
    try:
        cached = await cache.get(Category.ARTIFACT_DEPENDENCIES, protocol.name, sha256)
    except CacheUnavailable:
        cached = None
    if cached is not None:
        try:
            known = _decode(cached)
        except msgspec.MsgspecError:
            known = Extraction(sha256=sha256, state="pending")
        if protocol.archive.reads_model(known.model):
            return known
    outcome = await sandbox.extract(
        protocol=protocol.name, filename=filename, sha256=sha256, key=object_key, size_bytes=size_bytes
    )
    return outcome.extraction


MAX_PAGES = 2048  # a tree of npm may need half of that
MAX_PAGE_BYTES = 192 * 1024 * 1024  # of the documents that the pages were made of
MAX_MODELS = 512
MAX_INNER = 64
READS_AT_ONCE = 16
PREPARED_AT_ONCE = 8  # whole documents in memory: a packument may have 40 MB
INLINE_BYTES = 16 * 1024  # bytes prepared on the loop: faster than switching to a thread


class PreparedDocuments:
    """The cache of one process. Methods raise `ObjectMissing` and passing errors of the stores."""

    def __init__(
        self, *, cache: CacheService, store: ObjectStore, threads: BoundedThreads, sandbox: Sandbox
    ) -> None:
        self._cache = cache
        self._store = store
        self._threads = threads
        self._sandbox = sandbox
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._preparing = asyncio.Semaphore(PREPARED_AT_ONCE)
        self._pages = Bounded[str, Any](MAX_PAGES, max_weight=MAX_PAGE_BYTES)
        self._ruled = Bounded[tuple[str, str, str, int], tuple[Any, float]](
            MAX_PAGES, max_weight=MAX_PAGE_BYTES
        )  # as `_pages`, under a policy; beside each when it is no longer so (unix seconds, 0: never)
        self._models = Bounded[str, Any](MAX_MODELS)  # by protocol and SHA256
        self._inner = Bounded[str, Any](MAX_INNER)  # likewise

    async def read(self, key: str) -> bytes:
        """An object's bytes. Raises `ObjectMissing`."""
        async with self._reads:
            return await read_whole(self._store, key, self._threads)

    async def page(self, resolver: Resolver, key: str) -> Any:
        """A prepared index document. Raises `ObjectMissing`, `UpstreamInvalid`."""
        page = self._pages.use(key)
        if page is None:
            async with self._preparing:
                body = await self.read(key)
                if len(body) <= INLINE_BYTES:
                    page = resolver.prepare_index(body)
                else:
                    page = await self._threads.run(resolver.prepare_index, body)
            self._pages.put(key, page, len(body))
        return page

    async def page_without(
        self,
        protocol: PackageProxyBase,
        identity: str,
        key: str,
        verdicts: ProjectVerdicts,
        sealed: dict[tuple[str, str], SealedFile],
        seen: Seen | None,
    ) -> Any:
        """As `page`, without what may not be served: prepared once as long as that is the same. `seen`: what
        is noted of the project, where its versions are looked at one by one. Raises `Blocked` too."""
        now = clock.now()
        what_was_seen = hash(msgspec.msgpack.encode((seen, list(sealed.values()))))
        made_under = key, verdicts.stamp, verdicts.rules_stamp, what_was_seen
        ruled = self._ruled.use(made_under)
        if ruled is not None and (not ruled[1] or now < ruled[1]):
            return ruled[0]

        def prepare(body: bytes) -> tuple[Any, float]:
            assert protocol.resolver is not None
            project = protocol.grammar.project_of(identity)
            found = verdicts
            if verdicts.judges and identity == protocol.grammar.index_identity(project):
                document = protocol.documents.decode_document(body)
                found = held_of(protocol, project, document, verdicts, seen or Seen(now), sealed, now)
            left = protocol.pages.without_blocked(identity, body, found, sealed)
            return protocol.resolver.prepare_index(left), found.due

        async with self._preparing:
            body = await self.read(key)
            ruled = await self._threads.run(prepare, body)
        self._ruled.put(made_under, ruled, len(body))
        return ruled[0]

    async def model(self, protocol: PackageProxyBase, document: Document, row: StoredMetadata) -> Any:
        """A stored file's metadata with its `Extraction.model`, which no row holds: out of the cache,
        else read again in the sandbox. Raises `ObjectMissing` and passing errors."""
        resolver = protocol.resolver
        assert resolver is not None

        async def read() -> Any:
            extraction = await extraction_with_model(
                protocol,
                document.filename,
                cache=self._cache,
                sandbox=self._sandbox,
                sha256=row.sha256,
                object_key=row.file_key,
                size_bytes=row.size_bytes,
            )
            return resolver.prepare_metadata(document, extraction)

        return await _once(self._models, f"{protocol.name}:{row.sha256}", read)

    async def inner(self, protocol: PackageProxyBase, document: Document, row: StoredMetadata) -> Any:
        """The lock that a stored file brings, read in the sandbox; an `Absent` where it cannot be used.
        Raises `ObjectMissing` and passing errors."""
        resolver = protocol.resolver
        assert resolver is not None

        async def read() -> Any:
            outcome = await self._sandbox.inner_lock(
                protocol=protocol.name,
                filename=document.filename,
                sha256=row.sha256,
                key=row.file_key,
                size_bytes=row.size_bytes,
            )
            if outcome.raw_metadata is None:
                return Absent(outcome.extraction.reason)
            return resolver.prepare_inner(outcome.raw_metadata)

        return await _once(self._inner, f"{protocol.name}:{row.sha256}", read)


async def _once(kept: Bounded[str, Any], key: str, read: Callable[[], Awaitable[Any]]) -> Any:
    """What was read is kept; not that it could not be read, which may come of a busy machine."""
    found = kept.use(key)
    if found is None:
        found = await read()
        if not isinstance(found, Absent):
            kept.put(key, found)
    return found
