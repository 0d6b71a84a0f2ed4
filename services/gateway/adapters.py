"""The flows' ports, fulfilled by the services' own clients."""

from __future__ import annotations

import asyncio
import contextlib
import time

import msgspec

from shared import clock
from shared.access_watcher import AccessWatcher
from shared.artifacts import ArtifactRepository
from shared.cache import CacheService, IndexRead
from shared.cache_keys import Category, cache_key
from shared.clients.postgres_slots import deadline
from shared.clients.redis import RedisClient
from shared.clients.redis_marks import take_mark
from shared.errors import CacheUnavailable, DatabaseUnavailable
from shared.jobs import FetchArtifact
from shared.logs import get_logger
from shared.models import FORMAT, ArtifactFacts
from shared.protocols import protocol_named
from shared.protocols.resource import Resource

log = get_logger()


class SystemClock:
    """Fulfils the port `Clock`."""

    def now(self) -> float:
        return clock.now()

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
            return await take_mark(self._redis, key, seconds)
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
