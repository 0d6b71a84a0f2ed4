"""What a gateway process owns, opened in order and closed in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.gateway.access import Access
from services.gateway.access_log import AccessLog, escape
from services.gateway.adapters import CachedIndex, StoredFacts, SystemClock
from services.gateway.base_urls import BaseUrls
from services.gateway.blocked_graphs import BlockedGraphs
from services.gateway.bodies import Bodies
from services.gateway.budgets import Budgets
from services.gateway.descriptors import MOST_CONNECTIONS, connections_for
from services.gateway.ensures import Ensures
from services.gateway.fetcher_desk import FetcherDesk
from services.gateway.fetchers import FetcherPool
from services.gateway.forward import ForwardRelay
from services.gateway.gate import Gate
from services.gateway.hot import HotPages
from services.gateway.hot_folder import HotFolder
from services.gateway.hot_objects import HotObjects
from services.gateway.l1 import L1Cache
from services.gateway.live import LiveRelay
from services.gateway.misses import MissWaiter
from services.gateway.neighbours import KnownHosts
from services.gateway.proxies import TrustedProxies
from services.gateway.queue_board import QueueBoard
from services.gateway.requests import RequestIds, RequestReader
from services.gateway.resolutions import Resolutions
from services.gateway.slow_clients import SlowClients
from services.gateway.stored_objects import StoredObjects
from services.gateway.uses import UseLog
from services.gateway.warm_resolutions import WarmResolutions
from shared.access import AccessRepository, AccessState
from shared.access_watcher import AccessWatcher
from shared.artifacts import ArtifactRepository
from shared.cache import CacheService
from shared.clients.object_metrics import MeasuredStore
from shared.clients.object_verify import Verifier
from shared.clients.objects import ObjectStore, S3ObjectStore
from shared.clients.postgres import Database
from shared.clients.queue import JobQueue
from shared.clients.redis import RedisClient
from shared.clients.threads import BoundedThreads
from shared.ensures import EnsureRepository
from shared.exposure import check_exposure
from shared.protocols import PROTOCOLS
from shared.protocols.ports import Ports
from shared.resolutions import ResolutionRepository
from shared.resources import Resources, open_database, open_object_store, open_redis_pair, open_threads
from shared.settings import Settings

DATABASE_CONNECTIONS = 8
"""A gateway asks the database only for files that the cache has lost: it needs few connections."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """All parts of an open gateway."""

    settings: Settings
    access: Access
    access_watcher: AccessWatcher
    gate: Gate
    desk: FetcherDesk
    reader: RequestReader
    request_ids: RequestIds
    cache: CacheService
    ports: Ports
    misses: MissWaiter
    proxies: TrustedProxies
    bodies: Bodies
    slow_clients: SlowClients
    hosts: KnownHosts
    access_log: AccessLog | None
    cache_redis: RedisClient
    queue_redis: RedisClient
    queue: JobQueue
    board: QueueBoard
    database: Database
    l1: L1Cache
    hot: HotPages
    resolutions: Resolutions
    warm_resolutions: WarmResolutions
    ensures: Ensures
    parsers: BoundedThreads
    objects: StoredObjects

    @staticmethod
    def escape(raw_path: bytes) -> str:
        """A path as the access log shows it."""
        return escape(raw_path[:2048].decode("latin-1"))


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """Open all parts. Raises `ConfigurationError`, and `QueueUnavailable` when the queue Redis stays away.

    Neither Postgres nor the cache Redis needs to be there.
    """
    check_exposure(settings)
    async with Resources() as resources:
        cache_redis, queue_redis = await open_redis_pair(resources, settings)
        database = await open_database(resources, settings, max_size=DATABASE_CONNECTIONS)
        access = await resources.open("access", Access(settings, AccessRepository(database)))
        threads = open_threads(resources, settings)
        parsers = BoundedThreads(1, name="parse")  # of what clients send
        resources.add("parsers", parsers.aclose)
        store = await open_object_store(settings, threads, check=False, resources=resources)
        l1 = await resources.open("l1", L1Cache(cache_redis, max_bytes=settings.l1_max_bytes))
        cache = CacheService.from_settings(cache_redis, settings, reader=l1)
        hot = HotPages(l1, max_bytes=settings.l1_max_bytes // 4)

        def access_changed(state: AccessState) -> None:
            access.changed(state)
            hot.clear()  # what is kept there was admitted under the blocks of before
            asyncio.get_running_loop().call_soon(gate.recheck)  # once the watcher has taken them

        access_watcher = AccessWatcher(database, queue_redis, access_changed)
        gate = Gate(access_watcher)
        await resources.open("access watcher", access_watcher)
        graphs = BlockedGraphs(access_watcher)
        queue = JobQueue(queue_redis)
        listener = await resources.open("events", queue.subscribe())
        misses = MissWaiter(
            queue, listener, queue_limit=settings.queue_limit, budgets=Budgets(settings, access)
        )
        facts = StoredFacts(
            cache,
            ArtifactRepository(database),
            request_timeout=settings.request_seconds(),
            access=access_watcher,
        )
        fetchers = await resources.open("fetchers", FetcherPool())
        measured = MeasuredStore(store)
        relay = LiveRelay(
            fetchers=fetchers, queue=queue, listener=listener, facts=facts, objects=measured, gate=gate
        )
        objects = StoredObjects(
            measured,
            Verifier(measured, threads, seconds=settings.verify_seconds),
            threads,
            redirect_to=_redirect_target(store, settings),
            hot=await _open_hot_objects(resources, settings, store, threads),
            uses=await resources.open("artifact uses", UseLog(queue_redis)),
        )
        proxies = TrustedProxies(settings.trusted_proxies)
        slow_clients = SlowClients(
            port=settings.port,
            capacity=connections_for(MOST_CONNECTIONS),
            share=settings.client_connections,
            stall_seconds=settings.client_stall,
            min_rate_bytes=settings.client_min_rate_bytes,
            proxies=proxies.seen,
        )
        await resources.open("slow clients", slow_clients)
        access_log = None
        if settings.access_log:
            access_log = AccessLog(console=settings.log_format == "console")
            await resources.open("access log", access_log)
        ports = Ports(
            index=CachedIndex(cache, cache_redis, access_watcher),
            facts=facts,
            misses=misses,
            objects=objects,
            live=relay,
            clock=SystemClock(),
            settings=settings,
            forward=ForwardRelay(
                fetchers,
                queue_redis,
                secret=settings.queue_redis_password,
                timeout_seconds=settings.request_seconds,
            ),
        )
        yield Gateway(
            settings=settings,
            access=access,
            access_watcher=access_watcher,
            gate=gate,
            desk=FetcherDesk(fetchers, queue_redis, secret=settings.queue_redis_password),
            reader=RequestReader(
                PROTOCOLS, base_urls=BaseUrls(settings.public_url), own_name=lambda: access_watcher.own_name
            ),
            request_ids=RequestIds(),
            cache=cache,
            ports=ports,
            misses=misses,
            proxies=proxies,
            bodies=Bodies(settings),
            slow_clients=slow_clients,
            hosts=KnownHosts(settings),
            access_log=access_log,
            cache_redis=cache_redis,
            queue_redis=queue_redis,
            queue=queue,
            board=await resources.open("queue board", QueueBoard(queue, queue_redis)),
            database=database,
            l1=l1,
            hot=hot,
            resolutions=Resolutions(
                settings=settings,
                access=access,
                graphs=graphs,
                cache=cache,
                cache_redis=cache_redis,
                l1=l1,
                misses=misses,
                repository=ResolutionRepository(database),
            ),
            warm_resolutions=WarmResolutions(l1, graphs),
            ensures=Ensures(
                settings=settings,
                graphs=graphs,
                cache=cache,
                misses=misses,
                queue=queue,
                repository=EnsureRepository(database),
            ),
            objects=objects,
            parsers=parsers,
        )


async def _open_hot_objects(
    resources: Resources, settings: Settings, store: ObjectStore, threads: BoundedThreads
) -> HotObjects | None:
    """Local copies in front of a remote store; None where objects are local files, or none are wanted."""
    if not isinstance(store, S3ObjectStore) or not settings.hot_objects_bytes:
        return None
    root = settings.hot_objects_dir or f"{settings.data_dir}/hot"
    folder = HotFolder(Path(root), max_bytes=settings.hot_objects_bytes)
    return await resources.open("hot objects", HotObjects(store, folder, threads))


def _redirect_target(store: ObjectStore, settings: Settings) -> S3ObjectStore | None:
    wanted = settings.artifact_delivery == "redirect"
    return store if wanted and isinstance(store, S3ObjectStore) else None
