"""The part of an extractor that resolves: a queue worker of its own, so that neither starves the other."""

from __future__ import annotations

from collections.abc import Callable

from services.extractor.ensure_fetching import EnsureFetching
from services.extractor.ensure_locking import Locksmith
from services.extractor.jobs.ensure import EnsureHandler
from services.extractor.jobs.resolve import ResolveHandler
from services.extractor.resolution_documents import DocumentLoader
from services.extractor.sandbox import Sandbox
from services.extractor.wakeups import Wakeups
from shared.access_watcher import AccessWatcher
from shared.artifacts import ArtifactRepository
from shared.cache import CacheService
from shared.clients.objects import ObjectStore
from shared.clients.postgres import Database
from shared.clients.queue import JobQueue
from shared.clients.queue_worker import QueueWorker
from shared.clients.redis import RedisClient
from shared.clients.threads import BoundedThreads
from shared.ensures import EnsureRepository
from shared.jobs import RESOLVE, Ensure, Resolve
from shared.protocols import PROTOCOLS
from shared.resolutions import ResolutionRepository
from shared.resources import Resources
from shared.settings import Settings


async def open_resolving(
    resources: Resources,
    settings: Settings,
    *,
    database: Database,
    cache: CacheService,
    queue: JobQueue,
    queue_redis: RedisClient,
    store: ObjectStore,
    threads: BoundedThreads,
    sandbox: Sandbox,
    address: Callable[[], str],
) -> QueueWorker:
    """The worker of the queue `resolve`; the caller runs and drains it."""
    listener = await resources.open("job events", queue.subscribe())
    wakeups = Wakeups(queue, listener)
    resources.add("wake-ups", wakeups.aclose)
    access = await resources.open("access watcher", AccessWatcher(database, queue_redis))
    resolutions, ensures = ResolutionRepository(database), EnsureRepository(database)
    artifacts = ArtifactRepository(database)
    protocols = {protocol.name: protocol for protocol in PROTOCOLS}
    handler = ResolveHandler(
        resolutions=resolutions,
        loader=DocumentLoader(
            cache=cache,
            artifacts=artifacts,
            resolutions=resolutions,
            store=store,
            queue=queue,
            threads=threads,
            sandbox=sandbox,
            access=access,
        ),
        cache=cache,
        queue=queue,
        wakeups=wakeups,
        threads=threads,
        protocols=protocols,
    )
    ensuring = EnsureHandler(
        ensures=ensures,
        resolutions=resolutions,
        fetching=EnsureFetching(
            artifacts=artifacts,
            ensures=ensures,
            queue=queue,
            queue_redis=queue_redis,
            store=store,
            wakeups=wakeups,
            protocols=protocols,
        ),
        locksmith=Locksmith(ensures=ensures, store=store, threads=threads, protocols=protocols),
        cache=cache,
        queue=queue,
        wakeups=wakeups,
        protocols=protocols,
    )
    return QueueWorker(
        redis=queue_redis,
        queue=RESOLVE,
        slots=settings.resolve_slots,
        handlers={Resolve: handler, Ensure: ensuring},
        address=address,
        lease_seconds=settings.lease_seconds,
    )
