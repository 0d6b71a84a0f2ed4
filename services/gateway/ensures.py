"""Ensure files as the gateway answers them: kept locks at once, others by a job that is waited for."""

from __future__ import annotations

import asyncio

import msgspec

from services.gateway.blocked_graphs import BlockedGraphs
from services.gateway.misses import MissWaiter
from shared.api_types import EnsureProgress
from shared.cache import CacheService, Category
from shared.clients.queue import JobQueue
from shared.ensure_file import EnsureFile
from shared.ensure_lock import Lock, decode_lock
from shared.ensures import CACHED_AS, Ended, EnsureRepository, decode_ended, ended_identifier
from shared.error_catalogue import from_value
from shared.errors import (
    CacheUnavailable,
    DeadlineExceeded,
    EnsureIncomplete,
    EnsureNotFound,
    UpstreamUnavailable,
)
from shared.exports import EXPORTS
from shared.jobs import Ensure
from shared.logs import get_logger
from shared.settings import Settings

log = get_logger()

WAIT_SECONDS = 2.0  # of a POST: short, so that whoever waits is shown how far it is
RETRY_AFTER_SECONDS = 1
IN_THREAD_BYTES = 64 * 1024  # a larger lock is exported off the loop


class _Saved(msgspec.Struct):
    """What of an ensure's saved state is shown."""

    phase: str = "resolving"
    files_known: int = 0
    files_ready: int = 0
    bytes_known: int = 0
    bytes_ready: int = 0
    documents: int = 0
    resolving: list[str] = []


class _Resolving(msgspec.Struct):
    """What of a resolution's saved state is shown."""

    known: int = 0
    wanted: int = 0


class Ensures:
    """Of one gateway."""

    def __init__(
        self,
        *,
        settings: Settings,
        graphs: BlockedGraphs,
        cache: CacheService,
        misses: MissWaiter,
        queue: JobQueue,
        repository: EnsureRepository,
    ) -> None:
        self._wait_seconds = min(WAIT_SECONDS, settings.request_seconds())
        self._graphs = graphs
        self._cache = cache
        self._misses = misses
        self._queue = queue
        self._repository = repository

    async def find(self, key: str) -> bytes | None:
        """The kept lock from the cache, else from the database, which fills the cache. Raises `Blocked`
        for one that names what is blocked."""
        body = await self._kept(key)
        if body is not None:
            self._graphs.check(body)
        return body

    async def _kept(self, key: str) -> bytes | None:
        try:
            body = await self._cache.get(Category.DEPENDENCY_RESOLUTION, CACHED_AS, key)
        except CacheUnavailable:
            body = None
        if body is not None:
            return body
        body = await self._repository.find(key)
        if body is not None:
            try:
                await self._cache.set(Category.DEPENDENCY_RESOLUTION, CACHED_AS, key, body)
            except CacheUnavailable as error:
                log.debug("lock_not_cached", code=error.code)
        return body

    async def answer(self, file: EnsureFile, *, refresh: bool, request_id: str) -> bytes | EnsureProgress:
        """The lock, or how far it is. Raises the errors of resolutions and passing ones."""
        key = file.key
        if not refresh:
            body = await self.find(key)
            if body is not None:
                return body

        async def there() -> bool:
            return not refresh and await self.find(key) is not None

        job = Ensure(key=key, document=file.document, refresh=refresh, request_id=request_id)
        try:
            event = await self._misses.wait(job, until=there, timeout=self._wait_seconds)
        except DeadlineExceeded:
            return await self._progress(key)
        if event.kind == "failed":
            raise from_value(event.error) if event.error else UpstreamUnavailable("the ensure failed")
        ended = await self._ended(key) if event.generation else None
        body = None if refresh else await self.find(key)
        if body is None and ended is not None and ended.lock:
            self._graphs.check(ended.lock)
            return ended.lock
        if body is None and refresh:  # looked at last: what stood before may name what is blocked
            body = await self.find(key)
        if body is None:
            raise EnsureIncomplete("something is missing for a passing cause; ask again")
        return body

    async def by_key(self, key: str) -> bytes | EnsureProgress:
        """What is known under a key, without starting anything. Raises `EnsureNotFound`, or the error in
        which it ended a moment ago."""
        body = await self.find(key)
        if body is not None:
            return body
        if await self._queue.is_known(f"ensure:{key}"):
            return await self._progress(key)
        ended = await self._ended(key)
        if ended is not None and ended.error is not None:
            raise from_value(ended.error)
        if ended is not None:
            self._graphs.check(ended.lock)
            return ended.lock
        body = await self.find(key)  # it may have ended between the two looks
        if body is None:
            raise EnsureNotFound(f"no ensure has the key {key}")
        return body

    async def export(self, key: str, name: str, base_url: str) -> tuple[bytes, str]:
        """A complete lock as a file for clients, with its media type. Raises `EnsureNotFound` also where the
        ensure file has no such table, `EnsureIncomplete` before the lock is complete."""
        found = await self.by_key(key)
        if not isinstance(found, bytes):
            raise EnsureIncomplete(f"it is still {found.phase}")
        if len(found) <= IN_THREAD_BYTES:
            return _exported(found, name, base_url)
        return await asyncio.to_thread(_exported, found, name, base_url)

    async def _ended(self, key: str) -> Ended | None:
        try:
            value = await self._cache.get(Category.DEPENDENCY_RESOLUTION, CACHED_AS, ended_identifier(key))
        except CacheUnavailable:
            return None
        return None if value is None else decode_ended(value)

    async def _progress(self, key: str) -> EnsureProgress:
        saved = await self._repository.progress(key)
        shown = msgspec.json.decode(saved, type=_Saved) if saved else _Saved()
        known, wanted = shown.documents, 0
        if shown.resolving:
            for state in await self._repository.resolving(shown.resolving):
                resolving = msgspec.json.decode(state, type=_Resolving)
                known, wanted = known + resolving.known, wanted + resolving.wanted
        return EnsureProgress(
            status="working",
            key=key,
            location=f"/api/v1/ensures/{key}",
            retry_after_seconds=RETRY_AFTER_SECONDS,
            phase=shown.phase,
            files_known=shown.files_known,
            files_ready=shown.files_ready,
            bytes_known=shown.bytes_known,
            bytes_ready=shown.bytes_ready,
            documents_known=known,
            documents_wanted=wanted,
        )


def _exported(body: bytes, name: str, base_url: str) -> tuple[bytes, str]:
    lock: Lock = decode_lock(body)
    export = EXPORTS[name]
    if not lock.complete:
        raise EnsureIncomplete(f"{len(lock.missing)} files or projects are missing: {lock.missing[0].reason}")
    if export.protocol and export.protocol not in lock.protocols:
        raise EnsureNotFound(f"this ensure file has no table [{export.protocol}], so no {name}")
    return export.render(lock, base_url), export.content_type
