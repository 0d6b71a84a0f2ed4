"""The flows' ports, fulfilled by the services' own clients."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence

import msgspec

from services.gateway.serving.index_reply import counterpart
from shared.access.watcher import AccessWatcher
from shared.artifacts.repository import ArtifactRepository
from shared.cache.keys import Category, cache_key, in_view
from shared.cache.service import CacheService, IndexRead
from shared.errors.passing import CacheUnavailable, DatabaseUnavailable
from shared.models import FileName, StoredFile
from shared.postgres.slots import deadline
from shared.protocols import protocol_named
from shared.protocols.reading.views import view_named
from shared.redis import clock
from shared.redis.client import RedisClient
from shared.redis.script import take_mark


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
        self, protocol: str, identity: str, *variants: str, view: str = "", direct: bool = False
    ) -> IndexRead:
        if view:
            return await self._in_view(protocol, identity, variants, view, direct=direct)
        read = await self._cache.read_index(protocol, identity, *variants, direct=direct)
        if self._is_as_ruled(protocol, identity, read):
            return read
        if direct:  # after a rendering: its fetcher may have learned of a change before this process did
            with contextlib.suppress(DatabaseUnavailable):
                await self._access.catch_up()
            if self._is_as_ruled(protocol, identity, read):
                return read
        # Rendered under another policy: treated as missing, so that it is rendered again, without asking
        # upstream.
        assert read.head is not None
        empty = msgspec.structs.replace(read.head, variants={}, refused="")
        return msgspec.structs.replace(read, head=empty, body=None)

    async def _in_view(
        self, protocol: str, identity: str, variants: Sequence[str], view: str, *, direct: bool
    ) -> IndexRead:
        plain, shown = await asyncio.gather(
            self._cache.read_index(protocol, identity, direct=direct),
            self._cache.read_index(protocol, in_view(view, identity), *variants, direct=direct),
        )
        project = protocol_named(protocol).grammar.project_of(identity)
        verdicts = self._access.policy.of(protocol, project).seen_from(view_named(view).moment)
        return counterpart(plain, shown, verdicts, clock.now())

    def _is_as_ruled(self, protocol: str, identity: str, read: IndexRead) -> bool:
        head = read.head
        if head is None or head.status != 200:
            return True
        project = protocol_named(protocol).grammar.project_of(identity)
        return self._access.policy.is_made_under(head, protocol, project, clock.now())

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
        self._lookups: dict[FileName, asyncio.Task[StoredFile | None]] = {}

    async def cached(self, file: FileName) -> StoredFile | None:
        facts = self._cache.peek_facts(file)
        if facts is None:
            with contextlib.suppress(CacheUnavailable):
                facts = await self._cache.read_facts(file)
        return self._unless_blocked(facts)

    async def stored(self, file: FileName) -> StoredFile | None:
        # Clients that want one file at once share one query; each may leave without ending it.
        lookup = self._lookups.get(file)
        if lookup is None:
            lookup = asyncio.create_task(self._from_row(file))
            self._lookups[file] = lookup
            lookup.add_done_callback(lambda done: self._end_lookup(file, done))
        return self._unless_blocked(await asyncio.shield(lookup))

    async def find(self, file: FileName) -> StoredFile | None:
        """Cached, or else stored."""
        return await self.cached(file) or await self.stored(file)

    def _unless_blocked(self, facts: StoredFile | None) -> StoredFile | None:
        if facts is not None:
            self._access.policy.check_digest(facts.sha256)
        return facts

    def _end_lookup(self, file: FileName, done: asyncio.Task[StoredFile | None]) -> None:
        self._lookups.pop(file, None)
        if not done.cancelled():
            done.exception()  # retrieved, even when everyone has left

    async def _from_row(self, file: FileName) -> StoredFile | None:
        with deadline(self._request_timeout):
            facts = await self._artifacts.get_cached_url_with_artifact(file)
            if facts is not None and not await self._cache.write_facts(file, facts):
                # The row was taken away meanwhile.
                facts = await self._artifacts.get_cached_url_with_artifact(file)
        return facts
