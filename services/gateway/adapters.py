"""The flows' ports, fulfilled by the services' own clients."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from services.gateway.hot_objects import HotObjects
from services.gateway.uses import UseLog
from shared.access_watcher import AccessWatcher
from shared.artifacts import ArtifactRepository
from shared.cache import CacheService, IndexRead
from shared.cache_keys import Category, cache_key
from shared.clients.objects import ObjectStore, S3ObjectStore
from shared.clients.postgres_slots import deadline
from shared.clients.redis import RedisClient
from shared.errors import CacheUnavailable, DatabaseUnavailable, ObjectMissing
from shared.jobs import FetchArtifact
from shared.logs import get_logger
from shared.models import FORMAT, ArtifactFacts
from shared.protocols import protocol_named
from shared.protocols.ports import Body
from shared.protocols.resource import Resource

log = get_logger()

IN_MEMORY_BYTES = 64 * 1024
"""Files up to this are read in one go: measured 22,400 against 15,600 requests/s of 10 kB by pathsend."""


SEEN_SECONDS = 30.0
"""An object that was there is taken to be there for so long, before a client is sent to it."""

SEEN_MOST = 10_000
REDIRECT_SECONDS = 900  # how long a presigned URL may be used


class SystemClock:
    """Fulfils the port `Clock`."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class CachedIndex:
    """Fulfils the port `IndexCache` over `CacheService`."""

    def __init__(self, cache: CacheService, redis: RedisClient, access: AccessWatcher) -> None:
        self._cache = cache
        self._redis = redis
        self._access = access

    async def read_index(
        self, protocol: str, identity: str, variant: str, *, direct: bool = False
    ) -> IndexRead:
        read = await self._cache.read_index(protocol, identity, variant, direct=direct)
        if self._is_as_blocked(protocol, identity, read):
            return read
        if direct:  # after a rendering: its fetcher may have heard of a change before this process did
            with contextlib.suppress(DatabaseUnavailable):
                await self._access.catch_up()
            if self._is_as_blocked(protocol, identity, read):
                return read
        # Made under other blocks: as good as lost, so that it is made again, without asking upstream.
        assert read.head is not None
        return IndexRead(msgspec.structs.replace(read.head, variants={}), None, read.revision, read.verified)

    def _is_as_blocked(self, protocol: str, identity: str, read: IndexRead) -> bool:
        head, blocks = read.head, self._access.blocks
        if head is None or head.status != 200 or not (blocks.any or head.blocks):
            return True
        return head.blocks == blocks.of(protocol, protocol_named(protocol).project_of(identity)).stamp

    async def allow_revalidation(self, protocol: str, identity: str, seconds: int) -> bool:
        key = cache_key(Category.UPSTREAM_SOURCES, protocol, f"revalidated:{identity}")
        try:
            with self._redis.guard():
                return bool(await self._redis.raw.set(key, b"1", nx=True, ex=seconds))
        except CacheUnavailable:
            return False

    async def upstream_is_down(self, protocol: str, source_id: int) -> bool:
        try:
            breakers = await self._cache.read_breakers(protocol, source_id, ("host", "index"))
        except CacheUnavailable:
            return False
        return any(breaker is not None and breaker.left_seconds > 0 for breaker in breakers)


def artifact_identity(resource: Resource | FetchArtifact) -> str:
    """The cache identifier of a file's facts."""
    return f"{resource.project}/{resource.file_id}/{resource.filename}"


class StoredFacts:
    """Fulfils the port `Facts`: in-process, then cache, then the one joined query."""

    def __init__(
        self,
        cache: CacheService,
        artifacts: ArtifactRepository,
        *,
        request_timeout: float,
        access: AccessWatcher,
    ) -> None:
        """`request_timeout` in seconds: no request waits longer for a database connection. Facts of
        blocked bytes are not found: `Blocked` is raised instead."""
        self._access = access
        self._cache = cache
        self._artifacts = artifacts
        self._request_timeout = request_timeout
        self._lookups: dict[tuple[str, str], asyncio.Task[ArtifactFacts | None]] = {}

    async def find(self, resource: Resource, *, cached: bool = False) -> ArtifactFacts | None:
        return await self._find(resource, cached=cached)

    async def of_job(self, job: FetchArtifact) -> ArtifactFacts | None:
        """The same by the job that fetches the file."""
        return await self._find(job, cached=False)

    async def _find(self, wanted: Resource | FetchArtifact, *, cached: bool) -> ArtifactFacts | None:
        facts = await self._known(wanted, cached=cached)
        if facts is not None:
            self._access.blocks.check_digest(facts.sha256)
        return facts

    async def _known(self, wanted: Resource | FetchArtifact, *, cached: bool) -> ArtifactFacts | None:
        protocol, identity = wanted.protocol, artifact_identity(wanted)
        facts = self._cache.peek_facts(protocol, identity)
        if facts is None:
            try:
                facts = await self._cache.read_facts(protocol, identity)
            except CacheUnavailable:
                if cached:
                    return None
        if facts is not None and facts.format == FORMAT:
            return facts
        if cached:
            return None
        # Clients that want one file at once share one query; each may leave without ending it.
        lookup = self._lookups.get((protocol, identity))
        if lookup is None:
            lookup = asyncio.create_task(self._from_row(wanted, identity))
            self._lookups[protocol, identity] = lookup
            lookup.add_done_callback(lambda done: self._end_lookup((protocol, identity), done))
        return await asyncio.shield(lookup)

    def _end_lookup(self, key: tuple[str, str], done: asyncio.Task[ArtifactFacts | None]) -> None:
        self._lookups.pop(key, None)
        if not done.cancelled():
            done.exception()  # seen, even when everyone has left

    async def _from_row(self, wanted: Resource | FetchArtifact, identity: str) -> ArtifactFacts | None:
        with deadline(self._request_timeout):
            facts = await self._artifacts.get_cached_url_with_artifact(
                wanted.protocol, wanted.project, wanted.file_id, wanted.filename
            )
        if facts is not None:
            try:
                await self._cache.write_facts(wanted.protocol, identity, facts)
            except CacheUnavailable:
                log.debug("facts_not_cached", protocol=wanted.protocol)
        return facts


class _LocalFile:
    """A whole local file, sent by the server without passing through Python."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    async def chunks(self) -> AsyncIterator[bytes]:
        with open(self.path, "rb") as file:  # noqa: ASYNC230, PTH123 - for servers without pathsend
            while chunk := file.read(IN_MEMORY_BYTES):
                yield chunk

    async def aclose(self) -> None:
        """Nothing is open."""


class _Stream:
    """A slice read through the store, with its first chunk already here: a missing object is known
    before any header goes out."""

    path = ""

    def __init__(self, first: bytes, rest: AsyncIterator[bytes]) -> None:
        self._first = first
        self._rest = rest

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._first
        async for chunk in self._rest:
            yield chunk

    async def aclose(self) -> None:
        closing = getattr(self._rest, "aclose", None)
        if closing is not None:
            await closing()


def _forget(key: str) -> None:
    """Where nobody wants to know."""


class StoredObjects:
    """Fulfils the port `Objects` over an `ObjectStore`. `redirect_to`: the store that clients are sent to;
    `hot`: local copies of what a remote store is asked for often; `uses`: who writes down what is used."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        redirect_to: S3ObjectStore | None = None,
        hot: HotObjects | None = None,
        uses: UseLog | None = None,
    ) -> None:
        self._store = store
        self._redirect_to = redirect_to
        self._hot = hot
        self._note = uses.note if uses is not None else _forget
        self._seen: OrderedDict[str, float] = OrderedDict()  # objects known to be there: until when

    @property
    def redirects(self) -> bool:
        return self._redirect_to is not None

    async def locate(
        self, key: str, *, size_bytes: int, filename: str, content_type: str, head: bool
    ) -> str | None:
        # A client that was sent to an object which is gone would get the store's 404: look first.
        store = self._redirect_to
        assert store is not None
        self._note(key)
        now = time.monotonic()
        if self._seen.get(key, 0.0) < now:
            found = await store.stat(key)
            if found is None or found.size_bytes != size_bytes:
                self._seen.pop(key, None)
                return None
            self._seen[key] = now + SEEN_SECONDS
            self._seen.move_to_end(key)
            if len(self._seen) > SEEN_MOST:
                self._seen.popitem(last=False)
        return store.presign(
            key,
            expires_seconds=REDIRECT_SECONDS,
            method="HEAD" if head else "GET",
            filename=filename,
            content_type=content_type,
        )

    def watch(self, key: str, size_bytes: int) -> Callable[[], bool] | None:
        """How to see later, without waiting, that the local file which `open` has just given is still
        there, whole. None: it was not given from a local file."""
        hot, note = self._hot, self._note
        if hot is not None:
            if not hot.holds(key):
                return None

            def is_copied() -> bool:
                note(key)
                return hot.find(key, size_bytes) is not None

            return is_copied
        path = self._store.local_path(key)
        if path is None:
            return None
        text = str(path)

        def is_there() -> bool:
            note(key)
            try:
                return os.stat(text).st_size == size_bytes  # noqa: PTH116 - 2 µs, in the kernel's memory
            except OSError:
                return False

        return is_there

    async def open(self, key: str, start: int, length: int, *, size_bytes: int) -> Body | bytes | None:
        self._note(key)
        if self._hot is not None:
            copy = await self._open_hot(self._hot, key, start, length, size_bytes)
            if copy is not None:
                return copy
        try:
            if length <= IN_MEMORY_BYTES:
                data = await self._store.read(key, start, length)
                return data if len(data) == length else None
            path = self._store.local_path(key)
            if path is not None:
                found = os.stat(path)  # noqa: PTH116 - one look-up in the kernel's memory
                if not stat.S_ISREG(found.st_mode) or found.st_size != size_bytes:
                    return None  # cut short by a crash or by hand: as good as missing
                if length == size_bytes:
                    return _LocalFile(path)
            rest = self._store.open_stream(key, start, start + length)
            return _Stream(await anext(rest), rest)
        except (ObjectMissing, FileNotFoundError, StopAsyncIteration):
            return None

    @staticmethod
    async def _open_hot(
        hot: HotObjects, key: str, start: int, length: int, size_bytes: int
    ) -> Body | bytes | None:
        whole = length == size_bytes
        path = hot.find(key, size_bytes, whole=whole)
        if path is None:
            return None
        if length <= IN_MEMORY_BYTES:
            return await hot.read(path, start, length)
        if whole:
            return _LocalFile(path)
        rest = hot.stream(path, start, start + length)
        try:
            return _Stream(await anext(rest), rest)
        except (ObjectMissing, StopAsyncIteration):
            return None
