"""What a gateway process owns, opened in order and closed in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from services.gateway.api.admin.fetcher_desk import FetcherDesk
from services.gateway.api.admin.popular import Popular, popular_names
from services.gateway.api.answers import Ensures, Resolutions
from services.gateway.api.identities import Identities
from services.gateway.api.queue_board import QueueBoard
from services.gateway.api.resolution import WarmResolutions
from services.gateway.api.stock import StockCounter
from services.gateway.builds.answering import ListedViews
from services.gateway.builds.builds import Builds
from services.gateway.builds.bundling import Bundling
from services.gateway.builds.lock_views import LockViews
from services.gateway.builds.sealed_lists import SealedLists
from services.gateway.door.access import Access
from services.gateway.door.askers import Askers
from services.gateway.door.budgets import Budgets
from services.gateway.door.grants import Grants
from services.gateway.door.neighbours import KnownHosts
from services.gateway.door.sessions import Sessions
from services.gateway.edge.purger import EdgePurger
from services.gateway.edge.words import EdgeWords
from services.gateway.hits.contents import Contents
from services.gateway.hits.gate import Gate
from services.gateway.hits.hot import HotPages, MemoryHits
from services.gateway.hits.hot_folder import HotFolder
from services.gateway.hits.hot_objects import HotObjects
from services.gateway.hits.l1 import L1Cache
from services.gateway.hits.stored_objects import StoredObjects
from services.gateway.hits.uses import UseLog
from services.gateway.http.access_log import AccessLog, Record
from services.gateway.http.addresses import TrustedProxies
from services.gateway.http.base_urls import BaseUrls
from services.gateway.http.bodies import Bodies
from services.gateway.http.requests import RequestIds, RequestReader
from services.gateway.http.slow_clients import SlowClients
from services.gateway.http.sockets import MOST_CONNECTIONS, connections_for
from services.gateway.ledger.ledger import Ledger
from services.gateway.ledger.traffic import TrafficLog
from services.gateway.misses.adapters import CachedIndex, StoredFacts, SystemClock
from services.gateway.misses.fetchers import FetcherPool
from services.gateway.misses.forward import ForwardRelay
from services.gateway.misses.live import LiveRelay
from services.gateway.misses.waiter import MissWaiter
from services.gateway.serving.ports import Ports
from shared.access.exposure import check_exposure
from shared.access.repository import AccessRepository, AccessState
from shared.access.watcher import AccessWatcher
from shared.cache.service import CacheService
from shared.judging.kept import BlockedGraphs
from shared.objects.metrics import MeasuredStore
from shared.objects.port import ObjectStore
from shared.objects.s3.store import S3ObjectStore
from shared.objects.verify import Verifier
from shared.policy.rules import rules_of
from shared.postgres.database import Database
from shared.process.resources import Resources
from shared.process.threads import BoundedThreads
from shared.protocols import PROTOCOLS, attests, named_alike, version_key
from shared.queue.listener import EventListener
from shared.queue.producer import JobQueue
from shared.redis import clock
from shared.redis.client import RedisClient
from shared.resolving.answers import KeptLocks, KeptResolutions
from shared.settings import Settings
from shared.stores import Stores, open_stores
from shared.telemetry.metrics import ANSWERED
from shared.transparency.reader import LogReader
from shared.transparency.rows import LogRows

DATABASE_CONNECTIONS = 8
"""A gateway asks the database only for files that the cache has lost: it needs few connections."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """All parts of an open gateway."""

    settings: Settings
    stores: Stores
    access: Access
    access_watcher: AccessWatcher
    sessions: Sessions
    grants: Grants
    identities: Identities
    gate: Gate
    desk: FetcherDesk
    reader: RequestReader
    contents: Contents
    builds: Builds
    lock_views: LockViews
    listed_views: ListedViews
    bundling: Bundling
    request_ids: RequestIds
    cache: CacheService
    ports: Ports
    misses: MissWaiter
    askers: Askers
    proxies: TrustedProxies
    bodies: Bodies
    slow_clients: SlowClients
    hosts: KnownHosts
    record: Record
    traffic: TrafficLog
    ledger: Ledger | None  # None: ORCHARD_LEDGER_DAYS is 0
    cache_redis: RedisClient
    queue_redis: RedisClient
    queue: JobQueue
    board: QueueBoard
    popular: Popular
    stock: StockCounter
    database: Database
    l1: L1Cache
    hot: HotPages
    memory: MemoryHits
    resolutions: Resolutions
    warm_resolutions: WarmResolutions
    ensures: Ensures
    log_reader: LogReader
    parsers: BoundedThreads
    objects: StoredObjects
    edge_words: EdgeWords | None  # None: ORCHARD_EDGE is off


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """Open all parts. Raises `ConfigurationError`, and `QueueUnavailable` when the queue Redis stays away.

    Neither Postgres nor the cache Redis needs to be there.
    """
    check_exposure(settings)
    async with Resources() as resources:
        stores = await open_stores(
            resources, settings, max_connections=DATABASE_CONNECTIONS, check_objects=False
        )
        database, queue = stores.database, stores.queue
        cache_redis, queue_redis = stores.cache_redis, stores.queue_redis
        access = await resources.open("access", Access(settings, AccessRepository(database)))
        parsers = BoundedThreads(1, name="parse")  # of what clients send
        resources.add("parsers", parsers.aclose)
        l1 = await resources.open("l1", L1Cache(cache_redis, max_bytes=settings.l1_max_bytes))
        cache = CacheService.from_settings(cache_redis, settings, reader=l1)
        stores = replace(stores, cache=cache)
        hot = HotPages(l1, max_bytes=settings.l1_max_bytes // 4, own_name=lambda: access_watcher.own_name)

        purger = None
        if settings.edge_purge:
            purger = EdgePurger(cache_redis, settings.edge_purge, settings.edge_token)
            await resources.open("edge purger", purger)

        def access_changed(state: AccessState | None) -> None:
            if state is not None:
                access.changed(state)
            hot.clear()  # their responses were checked against the policy of before
            if purger is not None and state is not None:
                now = clock.now()
                exempt = [each for each in state.exemptions if each.is_active(now)]
                rules = state.rules or access_watcher.own_rules, state.policy_rules
                purger.blocks_changed([*state.blocks, *exempt], rules)
            if purger is not None:
                known = access_watcher.feeds.advisories
                purger.advisories_changed("" if known is None else known.digest, access_watcher.feeds.changed)
            asyncio.get_running_loop().call_soon(gate.recheck)  # once the watcher has taken them

        access_watcher = AccessWatcher(
            database,
            queue_redis,
            access_changed,
            named=named_alike,
            order=version_key,
            attests=attests,
            own_rules=rules_of(settings),
        )
        gate = Gate(access_watcher)
        await resources.open("access watcher", access_watcher)
        graphs = BlockedGraphs(access_watcher, stores, parsers)
        listener = await resources.open("events", queue.subscribe())
        askers = Askers(
            queue,
            listener,
            access,
            is_waited_for=lambda job_id: misses.is_waited_for(job_id),
            is_on=settings.read_ahead,
        )
        misses = MissWaiter(
            queue,
            listener,
            queue_limit=settings.queue_limit,
            budgets=Budgets(settings, access),
            askers=askers,
        )
        await resources.open("askers", askers)
        fetchers = await resources.open("fetchers", FetcherPool())
        objects = await _open_objects(resources, stores)
        facts = StoredFacts(
            cache, stores.artifacts, request_timeout=settings.request_seconds(), access=access_watcher
        )
        ports = _ports(stores, misses, objects, fetchers, listener, access_watcher, gate, facts)
        proxies = TrustedProxies(settings.trusted_proxies)
        slow_clients = await _open_slow_clients(resources, settings, proxies)
        access_log = None
        if settings.access_log:
            access_log = AccessLog(console=settings.log_format == "console")
            await resources.open("access log", access_log)
        ledger = None
        if settings.ledger_days:
            ledger = Ledger(queue_redis, access.name_of, addresses=settings.ledger_addresses)
            await resources.open("ledger", ledger)
        resolutions = KeptResolutions(database, cache)
        stock = StockCounter(database)
        resources.add("stock", stock.aclose)
        grants = Grants(queue_redis, access)
        desk = FetcherDesk(fetchers, queue_redis, secret=settings.queue_redis_password)
        contents = Contents(cache, stores.artifacts, facts, gate, request_timeout=settings.request_seconds())
        lists = SealedLists(stores, hot.forget)
        builds, lock_views = Builds(stores, ports, lists), LockViews(stores, ports, lists)
        yield Gateway(
            settings=settings,
            stores=stores,
            access=access,
            access_watcher=access_watcher,
            sessions=Sessions(queue_redis, access, grants),
            grants=grants,
            identities=Identities(settings, desk, access_watcher, grants),
            gate=gate,
            desk=desk,
            reader=RequestReader(
                PROTOCOLS,
                base_urls=BaseUrls(settings.public_url),
                own_name=lambda: access_watcher.own_name,
                edge=settings.edge,
            ),
            contents=contents,
            builds=builds,
            lock_views=lock_views,
            listed_views=ListedViews(builds, lock_views, lists, ports, gate),
            bundling=Bundling(stores, ports, access_watcher),
            request_ids=RequestIds(),
            cache=cache,
            ports=ports,
            misses=misses,
            askers=askers,
            proxies=proxies,
            bodies=Bodies(settings),
            slow_clients=slow_clients,
            hosts=KnownHosts(settings),
            record=Record(access_log),
            traffic=await resources.open("traffic", TrafficLog(queue_redis, ANSWERED.totals)),
            ledger=ledger,
            cache_redis=cache_redis,
            queue_redis=queue_redis,
            queue=queue,
            board=await resources.open("queue board", QueueBoard(queue, queue_redis)),
            popular=popular_names(settings.popular_names),
            stock=stock,
            database=database,
            l1=l1,
            hot=hot,
            memory=MemoryHits(
                cache,
                l1,
                hot,
                objects,
                gate,
                access_watcher,
                stale_limit=settings.stale_limit,
                ledger=ledger is not None,
            ),
            resolutions=Resolutions(
                resolutions, graphs=graphs, misses=misses, wait_seconds=settings.request_seconds()
            ),
            warm_resolutions=WarmResolutions(l1, graphs),
            ensures=Ensures(
                KeptLocks(database, cache),
                resolutions,
                graphs=graphs,
                misses=misses,
                wait_seconds=settings.request_seconds(),
            ),
            log_reader=LogReader(LogRows(database), stores.objects),
            objects=objects,
            parsers=parsers,
            edge_words=(
                EdgeWords(private=not access.anonymous, purged=purger is not None) if settings.edge else None
            ),
        )


def _ports(
    stores: Stores,
    misses: MissWaiter,
    objects: StoredObjects,
    fetchers: FetcherPool,
    listener: EventListener,
    access: AccessWatcher,
    gate: Gate,
    facts: StoredFacts,
) -> Ports:
    settings, measured = stores.settings, MeasuredStore(stores.bare_objects)
    relay = LiveRelay(
        fetchers=fetchers, queue=stores.queue, listener=listener, facts=facts, objects=measured, gate=gate
    )
    forward = ForwardRelay(
        fetchers,
        stores.queue_redis,
        secret=settings.queue_redis_password,
        timeout_seconds=settings.request_seconds,
    )
    return Ports(
        index=CachedIndex(stores.cache, stores.cache_redis, access),
        facts=facts,
        misses=misses,
        objects=objects,
        live=relay,
        judge=gate,
        clock=SystemClock(),
        settings=settings,
        forward=forward,
    )


async def _open_slow_clients(
    resources: Resources, settings: Settings, proxies: TrustedProxies
) -> SlowClients:
    slow_clients = SlowClients(
        port=settings.port,
        capacity=connections_for(MOST_CONNECTIONS),
        share=settings.client_connections,
        stall_seconds=settings.client_stall,
        min_rate_bytes=settings.client_min_rate_bytes,
        proxies=proxies.seen,
    )
    return await resources.open("slow clients", slow_clients)


async def _open_objects(resources: Resources, stores: Stores) -> StoredObjects:
    settings, threads, measured = stores.settings, stores.threads, MeasuredStore(stores.bare_objects)
    return StoredObjects(
        measured,
        Verifier(measured, threads, seconds=settings.verify_seconds),
        threads,
        redirect_to=_redirect_target(stores.bare_objects, settings),
        hot=await _open_hot_objects(resources, stores),
        uses=await resources.open("artifact uses", UseLog(stores.queue_redis)),
    )


async def _open_hot_objects(resources: Resources, stores: Stores) -> HotObjects | None:
    """Local copies in front of a remote store; None where objects are local files, or none are wanted."""
    settings, store = stores.settings, stores.bare_objects
    if not isinstance(store, S3ObjectStore) or not settings.hot_objects_bytes:
        return None
    root = settings.hot_objects_dir or f"{settings.data_dir}/hot"
    folder = HotFolder(Path(root), max_bytes=settings.hot_objects_bytes)
    return await resources.open("hot objects", HotObjects(store, folder, stores.threads))


def _redirect_target(store: ObjectStore, settings: Settings) -> S3ObjectStore | None:
    wanted = settings.artifact_delivery == "redirect"
    return store if wanted and isinstance(store, S3ObjectStore) else None
