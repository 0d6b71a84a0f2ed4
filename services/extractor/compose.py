"""Composition of an extractor: its stores, its sandbox, its queue workers, its housekeeping."""

from __future__ import annotations

import asyncio

from services.extractor.builds.seal import SealBuildJob
from services.extractor.builds.stating import BuildStating
from services.extractor.bundles.make import MakeBundleJob
from services.extractor.extraction.backfill import MetadataBackfill
from services.extractor.extraction.job import ExtractDependenciesHandler
from services.extractor.extraction.licences import LicenceNotes
from services.extractor.extraction.pending import PendingSweep
from services.extractor.extraction.sandbox.parent import Sandbox
from services.extractor.housekeeping.evictor import Evictor, PressureEvictor, UsesKept
from services.extractor.housekeeping.measuring import Measuring
from services.extractor.housekeeping.scrubber import Scrubber
from services.extractor.housekeeping.sweeper import Sweeper
from services.extractor.housekeeping.timer import Resting, Run, SweepTimer
from services.extractor.ledger.keeper import LedgerKeeper
from services.extractor.resolving.compose import access_watcher, resolving_handlers
from services.extractor.transparency.keeper import LogKeeper
from services.extractor.transparency.signers import signer_of
from services.extractor.transparency.stating import AdmissionStating
from shared.models import Extraction
from shared.objects.verify import Verifier
from shared.postgres.batches import BatchWriter
from shared.process.disk import DiskFloor
from shared.process.resources import Resources
from shared.protocols import PROTOCOLS
from shared.protocols.base import PackageProxyBase
from shared.queue.context import Handler
from shared.queue.jobs import (
    EXTRACT,
    RESOLVE,
    ExtractDependencies,
    Job,
    MakeBundle,
    SealBuild,
)
from shared.settings import Settings
from shared.stores import Stores, objects_folder, open_stores
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger
from shared.tlog.signing import Signer
from shared.version import VERSION
from shared.worker.heartbeat import Figures
from shared.worker.process import WorkerProcess

log = get_logger()

SERVICE = "extractor"


def roles(protocol: PackageProxyBase) -> object:
    """Those of a protocol that extractions need; a resolution loads its own protocol's further ones."""
    return (protocol.grammar, protocol.names, protocol.archive, protocol.documents)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Work until `stop` is set, then drain for ORCHARD_DRAIN_TIMEOUT and close in reverse order.

    Raises `ConfigurationError` or `QueueUnavailable` when it cannot start.
    """
    metrics.set_build_info(SERVICE, VERSION)
    signer = signer_of(settings)
    async with Resources() as resources:
        stores = await open_stores(resources, settings, max_connections=database_connections(settings))
        verifier = Verifier(stores.objects, stores.threads, seconds=settings.verify_seconds)
        sandbox = await resources.open(
            "sandbox", Sandbox(stores.objects, children=settings.extract_slots, verifier=verifier)
        )
        process = WorkerProcess(SERVICE, stores, resources)
        await process.listen()
        extracting = _extract_handlers(resources, stores, sandbox, signer)
        process.add_worker(EXTRACT, settings.extract_slots, extracting)
        access = await resources.open("access watcher", access_watcher(stores))
        resolving = await resolving_handlers(resources, stores, sandbox, access)
        process.add_worker(RESOLVE, settings.resolve_slots, resolving)
        await _open_housekeeping(resources, stores)
        if signer is not None:
            stating = AdmissionStating(stores, signer, access)
            await resources.open("transparency log", LogKeeper(stores, signer, stating))
            await resources.open("build statements", BuildStating(stores, signer))
        await process.run(stop, figures=lambda: Figures(sandbox_lacks=sandbox.lacks))
    log.info("extractor_stopped")


def database_connections(settings: Settings) -> int:
    """Each job needs one connection at a time (a resolution two), the batches two, sweep, ledger, log with
    statements one."""
    return settings.extract_slots + 2 * settings.resolve_slots + 6


def _extract_handlers(
    resources: Resources, stores: Stores, sandbox: Sandbox, signer: Signer | None
) -> dict[type[Job], Handler]:
    extractions = BatchWriter[Extraction, bool](stores.artifacts.batch_upsert_dependencies)
    resources.add("extraction batches", extractions.aclose)
    backfill = MetadataBackfill(
        artifacts=stores.artifacts,
        store=stores.objects,
        cache=stores.cache,
        threads=stores.threads,
    )
    extract = ExtractDependenciesHandler(
        artifacts=stores.artifacts,
        extractions=extractions,
        cache=stores.cache,
        sandbox=sandbox,
        backfill=backfill,
        licences=LicenceNotes(stores.database, stores.cache, backfill),
        protocols={protocol.name: protocol for protocol in PROTOCOLS},
    )
    return {
        ExtractDependencies: extract,
        SealBuild: SealBuildJob(stores),
        MakeBundle: MakeBundleJob(stores, signer),
    }


async def _open_housekeeping(resources: Resources, stores: Stores) -> None:
    settings = stores.settings
    pending = PendingSweep(stores.database, stores.queue, limit=settings.queue_limit)
    await resources.open("pending sweep", pending)
    if not settings.s3_endpoint and not settings.offline:
        floor = DiskFloor(objects_folder(settings), settings.min_free_bytes)
        await resources.open("disk pressure", PressureEvictor(stores, floor))
    await resources.open("ledger", LedgerKeeper(stores, days=settings.ledger_days))
    timer = SweepTimer(_runs(stores), stores.queue_redis, interval_seconds=settings.sweep_interval)
    await resources.open("object sweep", timer)


def _runs(stores: Stores) -> list[Run]:
    """The housekeeping of each interval, in order."""
    settings = stores.settings
    runs: list[Run] = [UsesKept(stores), Resting(Measuring(stores), stores.queue_redis)]
    if settings.sweep != "off":
        runs.append(Sweeper(stores, delete=settings.sweep == "delete"))
    if settings.scrub_days:
        verifier = Verifier(stores.bare_objects, stores.threads, seconds=1)
        runs.append(
            Scrubber(stores, verifier, days=settings.scrub_days, interval_seconds=settings.sweep_interval)
        )
    if (settings.evict_days or settings.evict_bytes) and not settings.offline:
        evictor = Evictor(stores, days=settings.evict_days, max_bytes=settings.evict_bytes or 0)
        runs.append(Resting(evictor, stores.queue_redis))
    return runs
