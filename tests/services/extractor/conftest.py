"""A house for the extractor: real stores, artifacts as a fetcher leaves them, jobs run by hand."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from services.extractor.extraction.backfill import MetadataBackfill
from services.extractor.extraction.job import ExtractDependenciesHandler
from services.extractor.extraction.licences import LicenceNotes
from services.extractor.extraction.sandbox.parent import Sandbox
from shared.artifacts.repository import ArtifactRepository
from shared.cache.service import CacheService
from shared.models import Extraction, FileName
from shared.objects.port import ObjectStore, artifact_key
from shared.postgres.batches import BatchWriter
from shared.postgres.database import Database
from shared.process.resources import Resources
from shared.process.threads import BoundedThreads
from shared.protocols import PROTOCOLS
from shared.protocols.base import PackageProxyBase
from shared.queue.context import JobContext
from shared.queue.events import Claim
from shared.queue.jobs import ExtractDependencies
from shared.queue.producer import JobQueue
from shared.redis.client import RedisClient
from shared.settings import Settings, load_settings
from shared.stores import Stores, open_stores
from tests.support.rows import row_of


@dataclass
class House:
    """The stores of one test, and what acts on them."""

    stores: Stores
    settings: Settings
    database: Database
    artifacts: ArtifactRepository
    store: ObjectStore
    cache: CacheService
    queue: JobQueue
    queue_redis: RedisClient
    cache_redis: RedisClient
    threads: BoundedThreads
    resources: Resources
    sandbox: Sandbox | None = None

    async def keep(
        self, filename: str, content: bytes, *, project: str = "demo", file_id: str = ""
    ) -> ExtractDependencies:
        """Store a file as a fetcher does; the job that it would enqueue."""
        sha256 = hashlib.sha256(content).hexdigest()
        file = FileName("pypi", project, file_id or sha256, filename)
        await self.store.put_bytes(artifact_key(sha256), content)
        await self.artifacts.get_or_create_artifact(row_of(file, content))
        return ExtractDependencies.of(file, sha256=sha256)

    async def handler(
        self, *, artifacts: ArtifactRepository | None = None, protocols: str = "", **limits: Any
    ) -> ExtractDependenciesHandler:
        """A handler over this house's stores; `protocols` as for `Sandbox`."""
        spoken: tuple[PackageProxyBase, ...] = PROTOCOLS
        if protocols:
            from tests.support.hostile_protocols import PROTOCOLS as HOSTILE

            spoken = HOSTILE
        artifacts = artifacts or self.artifacts
        extractions = BatchWriter[Extraction, bool](artifacts.batch_upsert_dependencies)
        self.resources.add("extractions", extractions.aclose)
        self.sandbox = await self.resources.open(
            "sandbox",
            Sandbox(self.store, children=2, protocols=protocols or "shared.protocols:PROTOCOLS", **limits),
        )
        by_name = {protocol.name: protocol for protocol in spoken}
        backfill = MetadataBackfill(
            artifacts=artifacts, store=self.store, cache=self.cache, threads=self.threads
        )
        return ExtractDependenciesHandler(
            artifacts=artifacts,
            extractions=extractions,
            cache=self.cache,
            sandbox=self.sandbox,
            backfill=backfill,
            licences=LicenceNotes(self.database, self.cache, backfill),
            protocols=by_name,
        )

    async def extraction(self, job: ExtractDependencies) -> Extraction:
        """What the rows say."""
        found = await self.artifacts.get_extraction(job.sha256)
        assert found is not None
        return found

    async def until_read(self, job: ExtractDependencies, seconds: float = 30.0) -> Extraction:
        """The same once it is no longer pending."""
        async with asyncio.timeout(seconds):
            while (found := await self.extraction(job)).state == "pending":
                await asyncio.sleep(0.02)
        return found


def context(job: ExtractDependencies, *, taken_over: bool = False) -> JobContext:
    """A claim as the queue gives it; nothing listens."""

    async def send(*_: object) -> bool:
        return True

    claim = Claim(generation=7, address="127.0.0.1:1", token="t")
    return JobContext(
        job_id=job.id, claim=claim, try_number=1, payload=b"", epoch="", send=send, taken_over=taken_over
    )


@pytest.fixture
async def house(store_settings: dict[str, str]) -> AsyncIterator[House]:
    settings = load_settings(store_settings)
    async with Resources() as resources:
        stores = await open_stores(resources, settings, max_connections=4)
        yield House(
            stores=stores,
            settings=settings,
            database=stores.database,
            artifacts=stores.artifacts,
            store=stores.bare_objects,
            cache=stores.cache,
            queue=stores.queue,
            queue_redis=stores.queue_redis,
            cache_redis=stores.cache_redis,
            threads=stores.threads,
            resources=resources,
        )
