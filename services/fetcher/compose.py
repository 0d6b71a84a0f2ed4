"""Composition of a fetcher: stores, upstreams, queue workers; opened in order, closed in reverse."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from services.fetcher.ahead.jobs import GuessedFileJob, GuessedIndexJob
from services.fetcher.ahead.machine import ReadAhead
from services.fetcher.feeds.keeper import FeedKeeper
from services.fetcher.figures import figures_of
from services.fetcher.files.abandoned import Bounds
from services.fetcher.files.ages import Ages
from services.fetcher.files.describe import DescribeArtifactJob
from services.fetcher.files.direct import DirectFiles
from services.fetcher.files.early_metadata import EarlyMetadata
from services.fetcher.files.entries import Entries, refresh_by
from services.fetcher.files.index_relay import IndexRelays
from services.fetcher.files.job import FetchArtifactJob
from services.fetcher.files.live import LiveDownloads
from services.fetcher.files.metadata_fallback import MetadataFallback
from services.fetcher.files.ranges import RangeReader
from services.fetcher.files.refused import RefusedBytes
from services.fetcher.files.room import RelayRoom
from services.fetcher.files.sealing import Sealer
from services.fetcher.files.signatures import Signatures
from services.fetcher.files.spool import clear_spool
from services.fetcher.files.tools import ArtifactTools
from services.fetcher.http.imported import ImportedFiles
from services.fetcher.http.manager import HttpClientManager
from services.fetcher.identity.issuers import Issuers
from services.fetcher.identity.provider import Provider
from services.fetcher.indexes.documents import Documents
from services.fetcher.indexes.held_queue import HeldQueue
from services.fetcher.indexes.job import FetchIndexJob
from services.fetcher.indexes.judging import Judging
from services.fetcher.indexes.pages import Pages
from services.fetcher.indexes.render import RenderIndexJob
from services.fetcher.indexes.shares import SourceShares
from services.fetcher.indexes.warned import Warned
from services.fetcher.indexes.writing import IndexTools
from services.fetcher.provenance.checking import Provenances
from services.fetcher.routes.administration import AdministrationRoutes
from services.fetcher.routes.forward import ForwardRoute
from services.fetcher.routes.identity import IdentityRoutes
from services.fetcher.sources.absences import AbsenceRepository, Absences
from services.fetcher.sources.breakers import Breakers
from services.fetcher.sources.chained import Installations
from services.fetcher.sources.described import SourceDocuments
from services.fetcher.sources.probing import probe_with
from services.fetcher.sources.repository import SourceRepository
from services.fetcher.sources.shadows import Shadows
from services.fetcher.sources.sync import SourceSync
from services.fetcher.sources.upstream_blocks import UpstreamBlocks
from services.fetcher.sources.upstreams import Upstreams
from services.fetcher.sources.watcher import SourceWatcher
from services.fetcher.views.dates import EveryAge, VersionDates
from services.fetcher.views.lock import SealLockJob
from services.fetcher.views.render import RenderViewJob
from services.fetcher.webhooks.keeper import WebhookKeeper
from services.fetcher.webhooks.noticing import Noticing
from services.fetcher.webhooks.rows import WebhookRows
from services.fetcher.webhooks.sending import Sender
from shared.access.watcher import AccessWatcher
from shared.models import CachedUrl, FileName, StoredFile
from shared.objects.verify import Verifier
from shared.policy.rules import rules_of
from shared.postgres.batches import BatchWriter
from shared.process.byte_budget import ByteBudget
from shared.process.disk import DiskFloor
from shared.process.resources import Resources
from shared.protocols import PROTOCOLS, attests, named_alike, version_key
from shared.protocols.base import PackageProxyBase
from shared.queue.context import Handler
from shared.queue.dead import DeadLetters
from shared.queue.jobs import (
    AHEAD,
    ARTIFACT,
    INDEX,
    REFRESH,
    DateArtifact,
    DescribeArtifact,
    FetchArtifact,
    FetchIndex,
    Job,
    RenderIndex,
    RenderView,
    SealLock,
)
from shared.queue.listener import EventListener
from shared.queue.waiting import JobWaiter
from shared.settings import Settings
from shared.sources.box import SealingBox
from shared.stores import (
    Stores,
    open_stores,
    spool_folder,
)
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger
from shared.version import VERSION
from shared.worker.process import WorkerProcess
from shared.worker.tokens import WorkerToken

log = get_logger()

SERVICE = "fetcher"
INDEX_WAIT_SECONDS = 30.0  # seconds of waiting for memory while other indexes are read
INDEX_SLACK_SECONDS = 5.0  # of an index job beyond its upstream's time: queueing and rendering


@dataclass(frozen=True, slots=True)
class UpstreamParts:
    """Everything for requests to upstreams: sources, connections, breakers."""

    access: AccessWatcher
    http: HttpClientManager
    sources: SourceWatcher
    breakers: Breakers
    upstreams: Upstreams
    absences: Absences
    box: SealingBox
    webhooks: WebhookKeeper


def roles(protocol: PackageProxyBase) -> object:
    """Those of a protocol that jobs of a fetcher need."""
    documents = (protocol.documents, protocol.pages, protocol.upstream, protocol.archive)
    return (protocol.grammar, protocol.names, *documents, protocol.ahead)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Work until `stop` is set, then drain for ORCHARD_DRAIN_TIMEOUT and close in reverse order.

    Raises `ConfigurationError` or `QueueUnavailable` when it cannot start.
    """
    metrics.set_build_info(SERVICE, VERSION)
    async with Resources() as resources:
        stores = await open_stores(resources, settings)
        spool = spool_folder(settings)
        clear_spool(spool)
        floor = DiskFloor(spool, settings.min_free_bytes)
        upstream = await _open_upstream(resources, stores)
        live = LiveDownloads(upstream.upstreams)
        token = WorkerToken(settings.queue_redis_password)
        process = WorkerProcess(SERVICE, stores, resources)
        await process.listen([*live.routes, *_routes(stores, upstream, token)])

        tools = _index_tools(stores, upstream)
        listener = await resources.open("events", stores.queue.subscribe())
        ahead = ReadAhead(
            stores,
            listener=listener,
            documents=tools.documents,
            sources=upstream.sources,
            access=upstream.access,
            judging=tools.judging,
        )
        await resources.open("read-ahead", ahead)
        entries = Entries(
            documents=tools.documents,
            sources=upstream.sources,
            upstreams=upstream.upstreams,
            artifacts=stores.artifacts,
        )
        direct = DirectFiles(stores, sources=upstream.sources, upstreams=upstream.upstreams)
        ages = Ages(stores, upstream.access, tools.documents, tools.judging)
        fetch_index = FetchIndexJob(
            upstreams=upstream.upstreams,
            sources=upstream.sources,
            tools=tools,
            shadows=Shadows(upstream.upstreams, stores.artifacts),
            came=ahead.page_came,
            shares=SourceShares(settings.refresh_slots),
            relays=IndexRelays(live, stores.threads, floor, spool, settings.max_index_bytes),
        )
        describe = partial(
            DescribeArtifactJob,
            upstreams=upstream.upstreams,
            entries=entries,
            direct=direct,
            fetch_index=fetch_index,
            artifacts=stores.artifacts,
            absences=upstream.absences,
        )
        described = describe(ages=ages)
        dated = describe(ages=EveryAge(stores, upstream.access, tools.documents, tools.judging))
        dates = VersionDates(stores, direct, tools.judging, described.ask)
        render_view = RenderViewJob(tools=tools, fetch_index=fetch_index, dates=dates)
        render = RenderIndexJob(sources=upstream.sources, tools=tools)
        fetch_artifact = _artifact_job(
            resources, stores, upstream, entries, direct, live, floor, listener, ahead, ages
        )
        process.add_worker(
            INDEX,
            settings.index_slots,
            {
                FetchIndex: fetch_index,
                RenderIndex: render,
                RenderView: render_view,
                SealLock: SealLockJob(stores, tools),
                DescribeArtifact: described,
                DateArtifact: dated,
            },
        )
        process.add_worker(ARTIFACT, settings.artifact_slots, {FetchArtifact: fetch_artifact})
        process.add_worker(REFRESH, settings.refresh_slots, {FetchIndex: fetch_index.refresh})
        guessed: dict[type[Job], Handler] = {
            FetchIndex: GuessedIndexJob(fetch_index, tools.documents),
            FetchArtifact: GuessedFileJob(fetch_artifact),
        }
        process.add_worker(AHEAD, settings.ahead_slots, guessed)
        await process.run(
            stop,
            token=token.published,
            nonce=token.nonce,
            figures=lambda: figures_of(upstream.http, upstream.breakers, upstream.webhooks, floor),
            offline=settings.offline,
        )
    log.info("fetcher_stopped")


async def _open_upstream(resources: Resources, stores: Stores) -> UpstreamParts:
    settings, database = stores.settings, stores.database
    box = SealingBox.from_texts(settings.secret_key)
    access = await resources.open(
        "access watcher",
        AccessWatcher(
            database,
            stores.queue_redis,
            named=named_alike,
            order=version_key,
            attests=attests,
            own_rules=rules_of(settings),
        ),
    )
    http = await resources.open(
        "upstream connections",
        HttpClientManager.from_settings(
            settings,
            own_name=lambda: access.own_name,
            imports=ImportedFiles(database, stores.objects),
        ),
    )
    repository = SourceRepository(database, box)
    sync = await resources.open("source sync", SourceSync(repository, settings, os.environ))
    names = [protocol.name for protocol in PROTOCOLS]
    sources = await resources.open(
        "source watcher",
        SourceWatcher(database, stores.cache, sync.changed(http), protocols=names, box=box),
    )
    await resources.open("feeds of advisories", FeedKeeper(stores, http=http, access=access))
    await resources.open("blocks of upstreams", UpstreamBlocks(stores, sources=sources, http=http))
    breakers = Breakers(stores.cache, probe_with(http, settings))
    resources.add("breakers", breakers.aclose)
    documents = SourceDocuments(stores)
    resources.add("source documents", documents.aclose)
    upstreams = Upstreams(http, breakers, documents, settings, Installations(stores.cache))
    absences = Absences(stores, repository=AbsenceRepository(database), upstreams=upstreams, sources=sources)
    webhooks = _webhooks(stores, http, box, access, sources)
    if not settings.offline:
        await resources.open("webhooks", webhooks)
    return UpstreamParts(access, http, sources, breakers, upstreams, absences, box, webhooks)


def _webhooks(
    stores: Stores,
    http: HttpClientManager,
    box: SealingBox,
    access: AccessWatcher,
    sources: SourceWatcher,
) -> WebhookKeeper:
    rows = WebhookRows(stores.database)
    noticing = Noticing(
        rows,
        stores.cache,
        DeadLetters(stores.queue_redis),
        sources=lambda: [each for known in sources.all() for each in known.sources],
    )
    return WebhookKeeper(
        rows,
        Sender(http, box, rows, own_name=lambda: access.own_name),
        noticing,
        stores.artifacts,
        stores.queue_redis,
        dead_after=stores.settings.webhook_pause,
    )


def _routes(stores: Stores, upstream: UpstreamParts, token: WorkerToken) -> list[web.RouteDef]:
    forward = ForwardRoute(
        upstream.upstreams,
        upstream.sources,
        stores.artifacts,
        stores.threads,
        upstream.access,
        tokens=(token.token, token.published),
    )
    administration = AdministrationRoutes(
        upstream.http,
        SourceRepository(stores.database, upstream.box),
        upstream.box,
        upstream.breakers,
        upstream.upstreams,
        upstream.webhooks,
        token=token.token,
    )
    issuers = Issuers(upstream.http, stores.queue_redis)
    provider = Provider(stores.settings, issuers, upstream.http)
    identity = IdentityRoutes(issuers, provider, stores.threads, token=token.token)
    return [*forward.routes, *administration.routes, *identity.routes]


def _index_tools(stores: Stores, upstream: UpstreamParts) -> IndexTools:
    budget_bytes = stores.settings.index_budget_bytes
    documents = Documents(stores)
    told = HeldQueue(stores.database), Warned(stores.database)
    provenances = Provenances(upstream.http, upstream.sources, stores)
    judging = Judging(documents, stores.artifacts, stores.threads, *told, provenances)
    return IndexTools(
        documents=documents,
        pages=Pages(stores, judging),
        judging=judging,
        cache=stores.cache,
        artifacts=stores.artifacts,
        threads=stores.threads,
        queue=stores.queue,
        settings=stores.settings,
        access=upstream.access,
        absences=upstream.absences,
        budget=ByteBudget(budget_bytes, "index pages", wait_seconds=INDEX_WAIT_SECONDS),
    )


def _artifact_job(
    resources: Resources,
    stores: Stores,
    upstream: UpstreamParts,
    entries: Entries,
    direct: DirectFiles,
    live: LiveDownloads,
    floor: DiskFloor,
    listener: EventListener,
    ahead: ReadAhead,
    ages: Ages,
) -> FetchArtifactJob:
    settings, objects, threads = stores.settings, stores.objects, stores.threads
    rows = BatchWriter[CachedUrl, StoredFile](stores.artifacts.batch_create_artifacts)
    resources.add("row batches", rows.aclose)
    lookups = BatchWriter[FileName, StoredFile | None](stores.artifacts.batch_get_cached_urls)
    resources.add("look-up batches", lookups.aclose)
    verifier = Verifier(objects, threads, seconds=settings.verify_seconds)
    spool = spool_folder(settings)
    tools = ArtifactTools(
        upstreams=upstream.upstreams,
        direct=direct,
        live=live,
        sealer=Sealer(stores, rows=rows, verifier=verifier),
        fallback=MetadataFallback(objects=objects, threads=threads, folder=spool),
        artifacts=stores.artifacts,
        objects=objects,
        queue=stores.queue,
        threads=threads,
        spool_folder=spool,
        access=upstream.access,
        floor=floor,
        room=RelayRoom(settings.relay_bytes),
        refused=RefusedBytes(stores, upstream.access),
        max_bytes=settings.max_artifact_bytes,
        abandoned=Bounds(settings.abandoned_bytes, settings.abandoned_seconds),
        early=EarlyMetadata(RangeReader(upstream.upstreams), threads=threads, artifacts=stores.artifacts),
        came=ahead.file_came,
        ages=ages,
        signatures=Signatures(upstream.upstreams, upstream.access, stores),
    )
    wait_seconds = settings.http_read_timeout + INDEX_SLACK_SECONDS
    return FetchArtifactJob(
        tools=tools,
        entries=entries,
        refresh=refresh_by(JobWaiter(stores.queue, listener), wait_seconds),
        lookups=lookups,
        absences=upstream.absences,
    )
