"""Opens what a process owns, in order, and closes it in reverse; and the stores all services share.

One failed or hanging close never stops the rest: each has its time, and is logged. A failed open
closes what was opened before it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar

from shared.clients.objects import FileObjectStore, ObjectStore, S3Config, S3ObjectStore
from shared.clients.postgres import Database
from shared.clients.redis import RedisClient
from shared.clients.threads import BoundedThreads
from shared.clock import SharedClock
from shared.errors import ConfigurationError, QueueUnavailable, StoreUnavailable
from shared.logs import get_logger
from shared.settings import Settings

log = get_logger()

CLOSE_SECONDS = 3.0  # three slow closes still fit into the ten seconds that a stop may take
STORE_WAIT_SECONDS = 10.0  # servers that start beside us are given this long
_RETRY_SECONDS = 0.1
_CANCEL_SECONDS = 0.5  # for a cancelled close to end


class Openable(Protocol):
    """Something with connections, files or tasks of its own."""

    def open(self) -> Awaitable[None]:
        """Make it usable."""

    def aclose(self) -> Awaitable[None]:
        """Give everything back."""


R = TypeVar("R", bound=Openable)


class Resources:
    """What a process owns. `async with Resources() as resources: await resources.open("cache", client)`."""

    def __init__(self, *, close_seconds: float = CLOSE_SECONDS) -> None:
        self._close_seconds = close_seconds
        self._closers: list[tuple[str, Callable[[], Awaitable[None]], float]] = []

    async def open(self, name: str, resource: R, *, close_seconds: float | None = None) -> R:
        """Open a resource and own it; what its `open` raises passes through."""
        started = time.monotonic()
        self.add(name, resource.aclose, close_seconds=close_seconds)  # half-open is closed as well
        await resource.open()
        log.debug("resource_opened", resource=name, seconds=round(time.monotonic() - started, 4))
        return resource

    def add(
        self, name: str, close: Callable[[], Awaitable[None]], *, close_seconds: float | None = None
    ) -> None:
        """Own something that is open already: `close` is awaited when its turn comes."""
        self._closers.append((name, close, close_seconds or self._close_seconds))

    async def aclose(self) -> None:
        """Close all, last opened first. Never raises but for the caller's own cancellation, and then
        only after all were closed."""
        cancelled: asyncio.CancelledError | None = None
        while self._closers:
            name, close, seconds = self._closers.pop()
            closing = asyncio.ensure_future(_close(name, close, seconds))
            while not closing.done():
                try:
                    await asyncio.shield(closing)
                except asyncio.CancelledError as error:
                    cancelled = error
        if cancelled is not None:
            raise cancelled

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"Resources({', '.join(name for name, _, _ in self._closers)})"


async def _close(name: str, close: Callable[[], Awaitable[None]], seconds: float) -> None:
    started = time.monotonic()
    closing = asyncio.ensure_future(close())
    # Not asyncio.timeout: a close that swallows its cancellation would go on for ever.
    await asyncio.wait({closing}, timeout=seconds)
    if not closing.done():
        log.warning("resource_close_timed_out", resource=name, seconds=seconds)
        closing.cancel()
        await asyncio.wait({closing}, timeout=_CANCEL_SECONDS)
        if not closing.done():
            return
    if closing.cancelled():
        return
    error = closing.exception()
    if error is not None:
        log.error("resource_close_failed", resource=name, exc_info=error)
    else:
        log.debug("resource_closed", resource=name, seconds=round(time.monotonic() - started, 4))


# --- the stores of every service ------------------------------------------------------------------


async def open_redis_pair(
    resources: Resources, settings: Settings, *, wait_seconds: float = STORE_WAIT_SECONDS
) -> tuple[RedisClient, RedisClient]:
    """The cache Redis (connected when needed) and the queue Redis (waited for, at most `wait_seconds`).

    Raises `QueueUnavailable` when it does not come up, `ConfigurationError` when it may evict jobs.
    """
    cache = await resources.open("cache redis", RedisClient.for_cache(settings))
    await resources.open("shared clock", SharedClock(cache))
    queue = RedisClient.for_queue(settings)
    resources.add("queue redis", queue.aclose)
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            await queue.open()
            return cache, queue
        except QueueUnavailable:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(_RETRY_SECONDS)


async def open_database(resources: Resources, settings: Settings, *, max_size: int | None = None) -> Database:
    """The pool of ORCHARD_DATABASE_*; does not wait for the server.

    `max_size` bounds it further where a service never needs as many connections.
    Raises `ConfigurationError` when no address is given.
    """
    if not settings.database_url:
        raise ConfigurationError("ORCHARD_DATABASE_URL: needed by a service that runs alone")
    limit = settings.database_max_connections
    return await resources.open(
        "database",
        Database(
            settings.database_url,
            max_size=min(limit, max_size or limit),
            acquire_timeout=settings.database_pool_timeout,
            pre_ping=settings.database_pool_pre_ping,
        ),
    )


def open_threads(resources: Resources, settings: Settings) -> BoundedThreads:
    """The dedicated threads of ORCHARD_HTTP_WORKER_THREADS."""
    threads = BoundedThreads(settings.http_worker_threads)
    resources.add("threads", threads.aclose)
    return threads


def objects_folder(settings: Settings) -> Path:
    """Where the file store keeps its objects."""
    return Path(settings.data_dir).resolve() / "objects"


def spool_folder(settings: Settings) -> Path:
    """Where downloads in progress lie: beside the objects, so that they are linked in, not copied."""
    return Path(settings.data_dir).resolve() / "spool"


async def open_object_store(
    settings: Settings,
    threads: BoundedThreads,
    *,
    check: bool = True,
    resources: Resources | None = None,
    wait_seconds: float = STORE_WAIT_SECONDS,
) -> ObjectStore:
    """The S3 store of ORCHARD_S3_*, or without an endpoint the file store under ORCHARD_DATA_DIR.

    `check`: raises `ConfigurationError` unless it can be written to; a server that does not answer is
    waited for, at most `wait_seconds`. `resources` owns an S3 store's connections.
    """
    if settings.s3_endpoint:
        return await _open_s3(settings, threads, check=check, resources=resources, wait_seconds=wait_seconds)
    store = FileObjectStore(objects_folder(settings), threads)
    if check:
        try:
            await store.check()
        except Exception as error:
            raise ConfigurationError(
                f"ORCHARD_DATA_DIR: {settings.data_dir} cannot be written to ({error})"
            ) from error
    return store


async def _open_s3(
    settings: Settings,
    threads: BoundedThreads,
    *,
    check: bool,
    resources: Resources | None,
    wait_seconds: float,
) -> ObjectStore:
    if resources is None:
        raise RuntimeError("an S3 store needs an owner for its connections")
    store = await resources.open("object store", S3ObjectStore(S3Config.from_settings(settings), threads))
    deadline = time.monotonic() + wait_seconds
    while check:
        try:
            await store.check()
            break
        except StoreUnavailable as error:
            if time.monotonic() >= deadline:
                raise ConfigurationError(f"ORCHARD_S3_ENDPOINT: {error.message}") from error
        await asyncio.sleep(_RETRY_SECONDS)
    return store
