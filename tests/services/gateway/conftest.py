"""Fixtures of the gateway's tests: a real process over real stores, and the stores' contents."""

from __future__ import annotations

import gzip
import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from shared.artifacts.repository import ArtifactRepository
from shared.cache.service import CacheService
from shared.models import FORMAT, FileName, IndexHead, StoredFile, VariantInfo
from shared.objects.files import FileObjectStore
from shared.postgres.database import Database
from shared.process.resources import Resources
from shared.process.threads import BoundedThreads
from shared.queue.producer import JobQueue
from shared.redis.client import RedisClient
from shared.settings import Settings, load_settings
from shared.stores import objects_folder, open_database, open_redis_pair
from tests.support.gateway import GatewayProcess, running_gateway
from tests.support.rows import row_of


@dataclass(slots=True)
class Stores:
    """Direct access to what a gateway reads, as fetchers write it."""

    settings: Settings
    cache_redis: RedisClient
    queue_redis: RedisClient
    cache: CacheService
    queue: JobQueue
    database: Database
    objects: FileObjectStore

    async def put_index(
        self,
        project: str,
        body: bytes = b'{"meta":{"api-version":"1.0"},"name":"x","files":[]}',
        *,
        fresh_seconds: float = 300,
        generation: int | None = None,
        revision: int = 0,
        failing: bool = False,
        status: int = 200,
    ) -> IndexHead:
        """A page in both codings."""
        now = time.time()
        bodies = {"json.identity": body, "json.gzip": gzip.compress(body)} if status == 200 else {}
        head = IndexHead(
            format=FORMAT,
            status=status,
            generation=generation if generation is not None else int(now * 1e6),
            source_revision=revision,
            source_id=1,
            fetched_at=now,
            fresh_until=now + fresh_seconds,
            failing=failing,
            variants={
                name: VariantInfo(
                    etag=f'"{hashlib.sha256(value).hexdigest()[:32]}"',
                    size_bytes=len(value),
                    content_type="application/vnd.pypi.simple.v1+json",
                )
                for name, value in bodies.items()
            },
        )
        identity = f"simple/{project}"
        if status == 200:
            assert await self.cache.write_index("pypi", identity, head, bodies)
        else:
            assert await self.cache.write_head("pypi", identity, head)
        return head

    async def put_artifact(
        self, project: str, filename: str, data: bytes, *, in_cache: bool = True, in_database: bool = True
    ) -> StoredFile:
        """A sealed file: object, row, facts."""
        digest = hashlib.sha256(data).hexdigest()
        row = row_of(FileName("pypi", project, digest, filename), data, created_at=1_700_000_000.0)
        facts = row.stored
        await self.objects.put_bytes(facts.object_key, data)
        if in_database:
            await ArtifactRepository(self.database).get_or_create_artifact(row)
        if in_cache:
            await self.cache.write_facts(row.file, facts)
        return facts


@pytest_asyncio.fixture
async def stores(store_settings: dict[str, str]) -> AsyncIterator[Stores]:
    settings = load_settings(store_settings)
    async with Resources() as resources:
        cache_redis, queue_redis = await open_redis_pair(resources, settings)
        database = await open_database(resources, settings, max_size=4)
        threads = BoundedThreads(2)
        resources.add("threads", threads.aclose)
        yield Stores(
            settings,
            cache_redis,
            queue_redis,
            CacheService.from_settings(cache_redis, settings),
            JobQueue(queue_redis),
            database,
            FileObjectStore(objects_folder(settings), threads),
        )


@pytest.fixture
def gateway(store_settings: dict[str, str], tmp_path: Path) -> Iterator[GatewayProcess]:
    with running_gateway(store_settings, tmp_path) as process:
        yield process
