"""A house for the extractor: real stores, artifacts as a fetcher leaves them, jobs run by hand."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from services.extractor.backfill import MetadataBackfill
from services.extractor.jobs.extract_dependencies import ExtractDependenciesHandler
from services.extractor.sandbox import Sandbox
from shared.artifacts import ArtifactRepository
from shared.batches import BatchWriter
from shared.cache import CacheService
from shared.clients.objects import ObjectStore, artifact_key
from shared.clients.postgres import Database
from shared.clients.queue import JobQueue
from shared.clients.queue_context import JobContext
from shared.clients.redis import RedisClient
from shared.clients.threads import BoundedThreads
from shared.events import Claim
from shared.jobs import ExtractDependencies
from shared.models import CachedUrl, Extraction
from shared.protocols import PROTOCOLS
from shared.protocols.base import PackageProxyBase
from shared.resources import Resources, open_database, open_object_store, open_redis_pair, open_threads
from shared.settings import Settings, load_settings


@dataclass
class House:
    """The stores of one test, and what acts on them."""

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
        await self.store.put_bytes(artifact_key(sha256), content)
        await self.artifacts.get_or_create_artifact(
            CachedUrl(
                protocol="pypi",
                project=project,
                file_id=file_id or sha256,
                filename=filename,
                sha256=sha256,
                size_bytes=len(content),
                content_type="application/octet-stream",
                object_key=artifact_key(sha256),
                generation=1,
            )
        )
        return ExtractDependencies(
            protocol="pypi", project=project, file_id=file_id or sha256, filename=filename, sha256=sha256
        )

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
        return ExtractDependenciesHandler(
            artifacts=artifacts,
            extractions=extractions,
            cache=self.cache,
            sandbox=self.sandbox,
            backfill=MetadataBackfill(
                artifacts=artifacts,
                store=self.store,
                cache=self.cache,
                queue=self.queue,
                threads=self.threads,
            ),
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


def context(job: ExtractDependencies, *, try_number: int = 1) -> JobContext:
    """A claim as the queue gives it; nothing listens."""

    async def send(*_: object) -> bool:
        return True

    claim = Claim(generation=7, address="127.0.0.1:1", token="t")
    return JobContext(job_id=job.id, claim=claim, try_number=try_number, payload=b"", epoch="", send=send)


@pytest.fixture
async def house(store_settings: dict[str, str]) -> AsyncIterator[House]:
    settings = load_settings(store_settings)
    async with Resources() as resources:
        threads = open_threads(resources, settings)
        store = await open_object_store(settings, threads)
        cache_redis, queue_redis = await open_redis_pair(resources, settings)
        database = await open_database(resources, settings, max_size=4)
        yield House(
            settings=settings,
            database=database,
            artifacts=ArtifactRepository(database),
            store=store,
            cache=CacheService.from_settings(cache_redis, settings),
            queue=JobQueue(queue_redis),
            queue_redis=queue_redis,
            cache_redis=cache_redis,
            threads=threads,
            resources=resources,
        )
