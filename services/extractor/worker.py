"""Composition of an extractor: its stores, its sandbox, its queue worker, from start to drained stop."""

from __future__ import annotations

import asyncio

from services.extractor.backfill import MetadataBackfill
from services.extractor.evictor import Evictor, UsesKept
from services.extractor.jobs.extract_dependencies import ExtractDependenciesHandler
from services.extractor.jobs.retired import drop
from services.extractor.pending import PendingSweep
from services.extractor.pressure import PressureEvictor
from services.extractor.resolving import open_resolving
from services.extractor.sandbox import Sandbox
from services.extractor.scrubber import Scrubber
from services.extractor.sweeper import Run, Sweeper, SweepTimer
from shared import metrics
from shared.artifacts import ArtifactRepository
from shared.batches import BatchWriter
from shared.cache import CacheService
from shared.clients.heartbeats import HeartbeatStore
from shared.clients.object_guard import GuardedStore
from shared.clients.object_metrics import MeasuredStore
from shared.clients.object_verify import Verifier
from shared.clients.queue import JobQueue
from shared.clients.queue_worker import QueueWorker
from shared.disk import DiskFloor
from shared.heartbeat import Figures, HeartbeatPublisher, Pool
from shared.jobs import EXTRACT, DeriveDependencies, ExtractDependencies
from shared.logs import get_logger
from shared.models import Extraction
from shared.protocols import PROTOCOLS
from shared.resources import (
    Resources,
    objects_folder,
    open_database,
    open_object_store,
    open_redis_pair,
    open_threads,
)
from shared.settings import Settings
from shared.version import VERSION
from shared.worker_http import WorkerHttp

log = get_logger()

SERVICE = "extractor"


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Work until `stop` is set, then drain for ORCHARD_DRAIN_TIMEOUT and close in reverse order.

    Raises `ConfigurationError` or `QueueUnavailable` when it cannot start.
    """
    metrics.set_build_info(SERVICE, VERSION)
    draining = False
    async with Resources() as resources:
        threads = open_threads(resources, settings)
        unguarded = await open_object_store(settings, threads, resources=resources)
        cache_redis, queue_redis = await open_redis_pair(resources, settings)
        store = GuardedStore(MeasuredStore(unguarded), queue_redis)
        # Each job needs one connection at a time (a resolution two), the batches two, the sweep one.
        connections = settings.extract_slots + 2 * settings.resolve_slots + 4
        database = await open_database(resources, settings, max_size=connections)
        artifacts = ArtifactRepository(database)
        cache = CacheService.from_settings(cache_redis, settings)
        queue = JobQueue(queue_redis)
        extractions = BatchWriter[Extraction, bool](artifacts.batch_upsert_dependencies)
        resources.add("extraction batches", extractions.aclose)
        verifier = Verifier(store, threads, seconds=settings.verify_seconds)
        sandbox = await resources.open(
            "sandbox", Sandbox(store, children=settings.extract_slots, verifier=verifier)
        )

        async def ready() -> str:
            return "" if queue_redis.available else "the queue Redis does not answer"

        http = await resources.open(
            "worker http",
            WorkerHttp(
                host=settings.worker_host,
                port=settings.worker_port,
                advertise=settings.worker_advertise,
                ready=ready,
            ),
        )
        protocols = {protocol.name: protocol for protocol in PROTOCOLS}
        handler = ExtractDependenciesHandler(
            artifacts=artifacts,
            extractions=extractions,
            cache=cache,
            sandbox=sandbox,
            backfill=MetadataBackfill(
                artifacts=artifacts, store=store, cache=cache, queue=queue, threads=threads
            ),
            protocols=protocols,
        )
        worker = QueueWorker(
            redis=queue_redis,
            queue=EXTRACT,
            slots=settings.extract_slots,
            handlers={ExtractDependencies: handler, DeriveDependencies: drop},
            address=lambda: http.address,
            lease_seconds=settings.lease_seconds,
        )
        resolving = await open_resolving(
            resources,
            settings,
            database=database,
            cache=cache,
            queue=queue,
            queue_redis=queue_redis,
            store=store,
            threads=threads,
            sandbox=sandbox,
            address=lambda: http.address,
        )
        workers = (worker, resolving)

        def figures() -> Figures:
            return Figures(
                threads=Pool(threads.active, threads.max),
                jobs=Pool(sum(each.active for each in workers), sum(each.slots for each in workers)),
                database_pool=Pool(database.active, database.max),
                draining=draining,
                sandbox_lacks=sandbox.lacks,
            )

        heartbeat = await resources.open(
            "heartbeat",
            HeartbeatPublisher(
                HeartbeatStore(queue_redis),
                service=SERVICE,
                version=VERSION,
                address=http.address,
                read_figures=figures,
            ),
        )
        await resources.open("pending sweep", PendingSweep(database, queue, limit=settings.queue_limit))
        runs: list[Run] = [UsesKept(database, queue_redis)]
        if settings.sweep != "off":
            sweeper = Sweeper(
                store=unguarded,
                database=database,
                cache_redis=cache_redis,
                queue_redis=queue_redis,
                delete=settings.sweep == "delete",
            )
            runs.append(sweeper)
        if settings.scrub_days:
            runs.append(
                Scrubber(
                    store=unguarded,
                    verifier=Verifier(unguarded, threads, seconds=1),
                    database=database,
                    queue_redis=queue_redis,
                    queue=None if settings.offline else queue,
                    days=settings.scrub_days,
                    interval_seconds=settings.sweep_interval,
                )
            )
        if (settings.evict_days or settings.evict_bytes) and not settings.offline:
            runs.append(
                Evictor(
                    store=unguarded,
                    database=database,
                    queue_redis=queue_redis,
                    days=settings.evict_days,
                    max_bytes=settings.evict_bytes,
                )
            )
        if not settings.s3_endpoint and not settings.offline:
            pressure = PressureEvictor(
                floor=DiskFloor(objects_folder(settings), settings.min_free_bytes),
                store=unguarded,
                database=database,
                queue_redis=queue_redis,
            )
            await resources.open("disk pressure", pressure)
        timer = SweepTimer(runs, queue_redis, interval_seconds=settings.sweep_interval)
        await resources.open("object sweep", timer)
        working = [asyncio.create_task(each.run(), name=f"{each.queue} worker") for each in workers]
        stopping = asyncio.create_task(stop.wait(), name="stop")
        log.info("extractor_started", address=http.address, slots=worker.slots, version=VERSION)
        try:
            await asyncio.wait({*working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            draining = True
            http.start_draining()
            await heartbeat.publish()
            log.info("extractor_draining", active=sum(each.active for each in workers))
            await asyncio.gather(*(each.drain(settings.drain_timeout) for each in workers))
        await asyncio.gather(*working)  # a defect that ended a worker must end the process, to be restarted
    log.info("extractor_stopped")
