"""Composition of a fetcher: stores, pools, sources, queue workers; opened in order, closed in reverse."""

from __future__ import annotations

import asyncio
import os

from services.fetcher.abandoned import Bounds
from services.fetcher.absences import Absences
from services.fetcher.administration import AdministrationRoutes
from services.fetcher.artifact_run import ArtifactTools
from services.fetcher.breakers import Breakers
from services.fetcher.direct import DirectFiles
from services.fetcher.documents import Documents
from services.fetcher.entries import Entries, IndexWaiter
from services.fetcher.forward import ForwardRoute
from services.fetcher.index_writing import IndexTools
from services.fetcher.jobs.describe_artifact import DescribeArtifactJob
from services.fetcher.jobs.fetch_artifact import FetchArtifactJob
from services.fetcher.jobs.fetch_index import FetchIndexJob
from services.fetcher.jobs.render_index import RenderIndexJob
from services.fetcher.live import LiveDownloads
from services.fetcher.metadata_fallback import MetadataFallback
from services.fetcher.pages import Pages
from services.fetcher.sealing import Sealer
from services.fetcher.shadows import Shadows
from services.fetcher.source_sync import SourceSync
from services.fetcher.spool import clear_spool
from services.fetcher.upstreams import Upstreams, probe_with
from shared import metrics
from shared.absences import AbsenceRepository
from shared.access_watcher import AccessWatcher
from shared.artifacts import ArtifactRepository, UrlName
from shared.batches import BatchWriter
from shared.byte_budget import ByteBudget
from shared.cache import CacheService
from shared.clients.heartbeats import HeartbeatStore
from shared.clients.http import HttpClientManager
from shared.clients.object_guard import GuardedStore
from shared.clients.object_metrics import MeasuredStore
from shared.clients.object_verify import Verifier
from shared.clients.queue import JobQueue
from shared.clients.queue_context import Handler
from shared.clients.queue_worker import QueueWorker
from shared.disk import DiskFloor
from shared.heartbeat import Figures, HeartbeatPublisher, Pool
from shared.jobs import (
    ARTIFACT,
    INDEX,
    REFRESH,
    DescribeArtifact,
    FetchArtifact,
    FetchIndex,
    Job,
    RenderIndex,
)
from shared.logs import get_logger
from shared.models import ArtifactFacts, CachedUrl
from shared.protocols import PROTOCOLS
from shared.resources import (
    Resources,
    open_database,
    open_object_store,
    open_redis_pair,
    open_threads,
    spool_folder,
)
from shared.sealing_box import SealingBox
from shared.settings import Settings
from shared.source_watcher import SourceWatcher
from shared.sources import SourceRepository
from shared.version import VERSION
from shared.worker_http import WorkerHttp
from shared.worker_tokens import WorkerToken

log = get_logger()

INDEX_WAIT_SECONDS = 30.0  # for memory, while others are read

SERVICE = "fetcher"
INDEX_SLACK_SECONDS = 5.0  # of an index job beyond its upstream's time: its turn, its rendering


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Work until `stop` is set, then drain for ORCHARD_DRAIN_TIMEOUT and close in reverse order.

    Raises `ConfigurationError` or `QueueUnavailable` when it cannot start.
    """
    metrics.set_build_info(SERVICE, VERSION)
    draining = False
    box = SealingBox.from_texts(settings.secret_key)
    async with Resources() as resources:
        threads = open_threads(resources, settings)
        store = await open_object_store(settings, threads, resources=resources)
        spool = spool_folder(settings)
        clear_spool(spool)
        floor = DiskFloor(spool, settings.min_free_bytes)
        cache_redis, queue_redis = await open_redis_pair(resources, settings)
        objects = GuardedStore(MeasuredStore(store), queue_redis)
        database = await open_database(resources, settings)
        artifacts = ArtifactRepository(database)
        cache = CacheService.from_settings(cache_redis, settings)
        queue = JobQueue(queue_redis)
        rows = BatchWriter[CachedUrl, CachedUrl](artifacts.batch_create_artifacts)
        resources.add("row batches", rows.aclose)
        lookups = BatchWriter[UrlName, ArtifactFacts | None](artifacts.batch_get_cached_urls)
        resources.add("look-up batches", lookups.aclose)
        access = await resources.open("access watcher", AccessWatcher(database, queue_redis))
        http = await resources.open(
            "upstream connections",
            HttpClientManager.from_settings(settings, own_name=lambda: access.own_name),
        )
        sync = await resources.open(
            "source sync", SourceSync(SourceRepository(database, box), settings, os.environ)
        )
        sources = await resources.open(
            "source watcher",
            SourceWatcher(
                database, cache, sync.changed(http), protocols=[p.name for p in PROTOCOLS], box=box
            ),
        )
        listener = queue.subscribe()
        resources.add("events", listener.aclose)
        await listener.open()

        breakers = Breakers(cache, probe_with(http, settings))
        resources.add("breakers", breakers.aclose)
        upstreams = Upstreams(http, breakers, settings)
        live = LiveDownloads(upstreams)
        opened_by = WorkerToken(settings.queue_redis_password)
        by_gateways = (opened_by.token, opened_by.published)
        forward = ForwardRoute(upstreams, sources, artifacts, threads, tokens=by_gateways)
        administration = AdministrationRoutes(
            http, SourceRepository(database, box), box, breakers, token=opened_by.token
        )

        async def ready() -> str:
            return "" if queue_redis.available else "the queue Redis does not answer"

        worker_http = await resources.open(
            "worker http",
            WorkerHttp(
                host=settings.worker_host,
                port=settings.worker_port,
                advertise=settings.worker_advertise,
                routes=[*live.routes, *forward.routes, *administration.routes],
                ready=ready,
            ),
        )
        documents = Documents(cache=cache, artifacts=artifacts, objects=objects, threads=threads)
        absences = Absences(
            repository=AbsenceRepository(database),
            artifacts=artifacts,
            upstreams=upstreams,
            sources=sources,
            cache=cache,
            settings=settings,
        )
        tools = IndexTools(
            documents=documents,
            pages=Pages(objects=objects, threads=threads),
            cache=cache,
            artifacts=artifacts,
            threads=threads,
            queue=queue,
            settings=settings,
            access=access,
            absences=absences,
            budget=ByteBudget(settings.index_budget_bytes, "index pages", wait_seconds=INDEX_WAIT_SECONDS),
        )
        entries = Entries(documents=documents, sources=sources, artifacts=artifacts, offline=settings.offline)
        direct = DirectFiles(
            sources=sources, upstreams=upstreams, artifacts=artifacts, cache=cache, settings=settings
        )
        shadows = Shadows(upstreams, artifacts)
        fetch_index = FetchIndexJob(upstreams=upstreams, sources=sources, tools=tools, shadows=shadows)
        describe = DescribeArtifactJob(
            upstreams=upstreams,
            entries=entries,
            direct=direct,
            fetch_index=fetch_index,
            artifacts=artifacts,
            absences=absences,
        )
        artifact_tools = ArtifactTools(
            upstreams=upstreams,
            direct=direct,
            live=live,
            sealer=Sealer(
                rows=rows,
                artifacts=artifacts,
                objects=objects,
                cache=cache,
                verifier=Verifier(objects, threads, seconds=settings.verify_seconds),
            ),
            fallback=MetadataFallback(objects=objects, threads=threads, folder=spool),
            artifacts=artifacts,
            objects=objects,
            queue=queue,
            threads=threads,
            spool_folder=spool,
            access=access,
            floor=floor,
            max_bytes=settings.max_artifact_bytes,
            abandoned=Bounds(settings.abandoned_bytes, settings.abandoned_seconds),
        )
        fetch_artifact = FetchArtifactJob(
            tools=artifact_tools,
            entries=entries,
            refresh=IndexWaiter(
                queue, listener, seconds=settings.http_read_timeout + INDEX_SLACK_SECONDS
            ).refresh,
            lookups=lookups,
            absences=absences,
        )
        index_handlers: dict[type[Job], Handler] = {
            FetchIndex: fetch_index,
            RenderIndex: RenderIndexJob(sources=sources, tools=tools),
            DescribeArtifact: describe,
        }

        def worker_of(name: str, slots: int, handlers: dict[type[Job], Handler]) -> QueueWorker:
            return QueueWorker(
                redis=queue_redis,
                queue=name,
                slots=slots,
                handlers=handlers,
                address=lambda: worker_http.address,
                lease_seconds=settings.lease_seconds,
            )

        workers = [
            worker_of(INDEX, settings.index_slots, index_handlers),
            worker_of(ARTIFACT, settings.artifact_slots, {FetchArtifact: fetch_artifact}),
            worker_of(REFRESH, settings.refresh_slots, {FetchIndex: fetch_index}),
        ]

        def figures() -> Figures:
            breakers.show_open()
            pools = http.stats()
            for name, pool in pools.pools.items():
                metrics.UPSTREAM_CONNECTIONS.labels(name, "active").set(pool.active)
                metrics.UPSTREAM_CONNECTIONS.labels(name, "idle").set(pool.idle)
                metrics.UPSTREAM_WAITING.labels(name).set(pool.waiting)
            return Figures(
                http_pool=Pool(pools.active, pools.max),
                threads=Pool(threads.active, threads.max),
                jobs=Pool(sum(w.active for w in workers), sum(w.slots for w in workers)),
                database_pool=Pool(database.active, database.max),
                draining=draining,
                disk=floor.glance(),
            )

        heartbeat = await resources.open(
            "heartbeat",
            HeartbeatPublisher(
                HeartbeatStore(queue_redis),
                service=SERVICE,
                version=VERSION,
                address=worker_http.address,
                token=opened_by.published,
                nonce=opened_by.nonce,
                read_figures=figures,
            ),
        )
        working = [asyncio.create_task(worker.run(), name=f"{worker.queue} worker") for worker in workers]
        stopping = asyncio.create_task(stop.wait(), name="stop")
        log.info("fetcher_started", address=worker_http.address, version=VERSION, offline=settings.offline)
        try:
            await asyncio.wait({*working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            draining = True
            worker_http.start_draining()
            await heartbeat.publish()
            log.info("fetcher_draining", active=sum(worker.active for worker in workers))
            await asyncio.gather(*(worker.drain(settings.drain_timeout) for worker in workers))
        await asyncio.gather(*working)  # a defect that ended a worker must end the process, to be restarted
    log.info("fetcher_stopped")
