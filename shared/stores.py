"""The stores that all services share, opened as the settings say."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from shared.artifacts.repository import ArtifactRepository
from shared.cache.service import CacheService
from shared.errors import ConfigurationError
from shared.errors.passing import QueueUnavailable, StoreUnavailable
from shared.objects.files import FileObjectStore
from shared.objects.guard import GuardedStore
from shared.objects.port import ObjectStore
from shared.objects.s3.config import S3Config
from shared.objects.s3.store import S3ObjectStore
from shared.postgres.database import Database
from shared.process.resources import Resources
from shared.process.threads import BoundedThreads
from shared.queue.producer import JobQueue
from shared.redis.client import RedisClient
from shared.redis.clock import SharedClock
from shared.redis.cluster_client import ClusterClient
from shared.redis.sentinel import parse_sentinel
from shared.settings import Settings

STORE_WAIT_SECONDS = 10.0  # servers that start beside us are given this long
_RETRY_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Stores:
    """The open stores that parts of a service are given."""

    settings: Settings
    threads: BoundedThreads
    cache_redis: RedisClient
    queue_redis: RedisClient
    database: Database
    bare_objects: ObjectStore
    """As it is: for housekeeping, which takes the locks itself, and for what only one kind of store can."""
    objects: ObjectStore
    """The same for jobs: measured, and no sweep takes away what is being put."""
    artifacts: ArtifactRepository
    cache: CacheService
    queue: JobQueue


async def open_stores(
    resources: Resources,
    settings: Settings,
    *,
    max_connections: int | None = None,
    check_objects: bool = True,
) -> Stores:
    """All stores. Neither Postgres nor the cache Redis needs to be there, nor the object store unless
    `check_objects`.

    `max_connections` bounds those to the database where a service never needs as many as the settings allow.
    Raises `ConfigurationError`, and `QueueUnavailable` when the queue Redis stays away.
    """
    threads = open_threads(resources, settings)
    bare_objects = await open_object_store(settings, threads, check=check_objects, resources=resources)
    cache_redis, queue_redis = await open_redis_pair(resources, settings)
    database = await open_database(resources, settings, max_size=max_connections)
    return Stores(
        settings=settings,
        threads=threads,
        cache_redis=cache_redis,
        queue_redis=queue_redis,
        database=database,
        bare_objects=bare_objects,
        objects=GuardedStore(bare_objects, queue_redis),
        artifacts=ArtifactRepository(database),
        cache=CacheService.from_settings(cache_redis, settings),
        queue=JobQueue(queue_redis),
    )


async def open_redis_pair(
    resources: Resources, settings: Settings, *, wait_seconds: float = STORE_WAIT_SECONDS
) -> tuple[RedisClient, RedisClient]:
    """The cache Redis (connected when needed) and the queue Redis (waited for, at most `wait_seconds`).

    Raises `QueueUnavailable` when it does not come up, `ConfigurationError` when it may evict jobs.
    """
    cache = await resources.open("cache redis", _cache_client(settings))
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


def _cache_client(settings: Settings) -> RedisClient:
    if not settings.redis_cluster:
        return RedisClient.for_cache(settings)
    seeds = [parse_sentinel(each, settings.redis_port) for each in settings.redis_cluster]
    return ClusterClient(seeds, password=settings.redis_password)


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
