"""A fetcher over real stores and a scripted upstream, driven through the queue as gateways drive it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio

from services.fetcher.compose import run
from shared.artifacts.repository import ArtifactRepository
from shared.cache.service import CacheService
from shared.errors.catalogue import from_value
from shared.models import IndexHead, StoredFile
from shared.objects.files import FileObjectStore
from shared.postgres.database import Database
from shared.process.resources import Resources
from shared.queue.events import Event
from shared.queue.jobs import AnyJob, DescribeArtifact, FetchArtifact, FetchIndex, RenderIndex
from shared.queue.listener import EventListener
from shared.queue.producer import JobQueue
from shared.redis.client import RedisClient
from shared.settings import Settings, load_settings
from shared.stores import objects_folder, open_database, open_redis_pair, open_threads, spool_folder
from tests.support.upstream import Upstream

WHEEL = "demo-1.0-py3-none-any.whl"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Fetcher:
    """A running fetcher and direct access to all it writes."""

    settings: Settings
    upstream: Upstream
    cache: CacheService
    cache_redis: RedisClient
    queue: JobQueue
    database: Database
    artifacts: ArtifactRepository
    objects: FileObjectStore
    listener: EventListener

    # --- jobs -----------------------------------------------------------------------------------

    async def ended(self, job: AnyJob, *, seconds: float = 60.0) -> Event:
        """Enqueue and wait for `done`; raises the job's error."""
        heard: asyncio.Future[Event] = asyncio.get_running_loop().create_future()

        def on_event(event: Event) -> None:
            if event.kind != "live" and not heard.done():
                heard.set_result(event)

        self.listener.register(job.id, on_event)
        try:
            await self.queue.enqueue(job)
            async with asyncio.timeout(seconds):
                event = await heard
        finally:
            self.listener.unregister(job.id, on_event)
        await self.idle(job)
        if event.error is not None:
            raise from_value(event.error)
        return event

    async def idle(self, job: AnyJob) -> None:
        """Return when the queue has forgotten the job, so that the next one of its id is a new one."""
        async with asyncio.timeout(30):
            while (await self.queue.read_state(job.id))[0] is not None:
                await asyncio.sleep(0.005)

    async def index(self, project: str = "demo", *, background: bool = False) -> IndexHead:
        """Fetch a project's page; the head that stands afterwards."""
        await self.ended(FetchIndex("pypi", f"simple/{project}", background=background))
        head = await self.head(project)
        assert head is not None
        return head

    async def head(self, project: str = "demo") -> IndexHead | None:
        return (await self.cache.read_index("pypi", f"simple/{project}", "", direct=True)).head

    async def page(self, project: str = "demo", variant: str = "json.identity") -> bytes:
        read = await self.cache.read_index("pypi", f"simple/{project}", variant, direct=True)
        assert read.body is not None
        return bytes(read.body)

    async def render(self, project: str = "demo") -> None:
        await self.ended(RenderIndex("pypi", f"simple/{project}"))

    def artifact_job(
        self, content: bytes | str, filename: str = WHEEL, project: str = "demo"
    ) -> FetchArtifact:
        file_id = content if isinstance(content, str) else sha256(content)
        return FetchArtifact("pypi", project, file_id, filename)

    async def artifact(
        self, content: bytes | str, filename: str = WHEEL, project: str = "demo"
    ) -> StoredFile:
        """Fetch a file (`content`: its bytes, or its file id); the facts in the cache."""
        job = self.artifact_job(content, filename, project)
        await self.ended(job)
        facts = await self.facts(job)
        assert facts is not None
        return facts

    async def facts(self, job: FetchArtifact) -> StoredFile | None:
        return await self.cache.read_facts(job.file, direct=True)

    async def describe(self, content: bytes | str, filename: str = WHEEL) -> Event:
        file_id = content if isinstance(content, str) else sha256(content)
        return await self.ended(DescribeArtifact("pypi", "demo", file_id, filename))

    async def nothing_stored(self) -> bool:
        """No artifact object, no row, no facts, and an empty spool."""
        objects = [found async for found in self.objects.list("artifacts/")]
        rows = await self.database.fetch("SELECT 1 FROM cached_urls")
        facts = await self.cache_redis.raw.keys("orchard:artifact_metadata:*")
        spool = spool_folder(self.settings)
        left = list(spool.iterdir()) if spool.exists() else []
        return not (objects or rows or facts or left)

    async def events(self, kind: str) -> int:
        rows = await self.database.fetch("SELECT count FROM events WHERE kind = $1", kind)
        return sum(int(row["count"]) for row in rows)

    # --- live ----------------------------------------------------------------------------------

    async def live(self, job: FetchArtifact) -> Event:
        """Enqueue and wait for `live`."""
        heard: asyncio.Future[Event] = asyncio.get_running_loop().create_future()

        def on_event(event: Event) -> None:
            if not heard.done():
                heard.set_result(event)

        self.listener.register(job.id, on_event)
        try:
            await self.queue.enqueue(job)
            async with asyncio.timeout(30):
                event = await heard
        finally:
            self.listener.unregister(job.id, on_event)
        assert event.kind == "live", event
        return event

    @staticmethod
    def live_url(event: Event, start: int = 0) -> str:
        return f"http://{event.address}/live/{quote(event.job_id, safe='')}?from={start}"


@asynccontextmanager
async def running_fetcher(upstream: Upstream, environ: dict[str, str]) -> AsyncIterator[Fetcher]:
    """A fetcher in this process, on the stores that the environment names."""
    settings = load_settings({"ORCHARD_PYPI_UPSTREAM": f"{upstream.url}/simple/", **environ})
    stop = asyncio.Event()
    async with Resources() as resources:
        cache_redis, queue_redis = await open_redis_pair(resources, settings)
        database = await open_database(resources, settings, max_size=4)
        threads = open_threads(resources, settings)
        queue = JobQueue(queue_redis)
        listener = queue.subscribe()
        resources.add("listener", listener.aclose)
        await listener.open()
        working = asyncio.create_task(run(settings, stop))
        fetcher = Fetcher(
            settings,
            upstream,
            CacheService.from_settings(cache_redis, settings),
            cache_redis,
            queue,
            database,
            ArtifactRepository(database),
            FileObjectStore(objects_folder(settings), threads),
            listener,
        )
        try:
            async with asyncio.timeout(15):
                while not await fetcher.cache.read_revision("pypi"):
                    assert not working.done(), working.exception()
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.05)
            yield fetcher
        finally:
            stop.set()
            await working


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture
def environ(store_settings: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The stores of this test; modules add settings by overriding this."""
    return {**store_settings, "ORCHARD_DRAIN_TIMEOUT": "1", "ORCHARD_HTTP_READ_TIMEOUT": "3"}


@pytest_asyncio.fixture
async def fetcher(upstream: Upstream, environ: dict[str, str]) -> AsyncIterator[Fetcher]:
    async with running_fetcher(upstream, environ) as running:
        yield running
