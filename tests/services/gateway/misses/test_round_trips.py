"""What a gateway asks of its stores before a job is queued: each round trip is time that a client waits."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from services.gateway.misses.adapters import CachedIndex, StoredFacts, SystemClock
from services.gateway.misses.waiter import MissWaiter
from services.gateway.serving.artifact_flow import serve_artifact
from services.gateway.serving.ports import Ports
from shared.access.watcher import AccessWatcher
from shared.artifacts.repository import ArtifactRepository
from shared.http.conditions import Conditions
from shared.models import FileName
from shared.postgres.database import Database
from shared.protocols.resource import Resource
from shared.queue.scripts import QueueScript
from shared.redis.client import RedisClient
from tests.services.gateway.conftest import Stores
from tests.support.ports import MemoryJudge, MemoryLive, MemoryObjects

DIGEST = hashlib.sha256(b"cold").hexdigest()
FILE = Resource(
    protocol="pypi", kind="artifact", identity=f"a/{DIGEST}/a-1.whl", project="a",
    file_id=DIGEST, filename="a-1.whl", sha256=DIGEST,
)  # fmt: skip


class Trips:
    """Round trips in the order in which they begin; "+" before one that did not wait for the one before."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.queued = asyncio.Event()
        self._open = 0

    def watch(self, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, name: str) -> None:
        call = getattr(owner, method)

        async def noted(*args: object, **named: object) -> object:
            self.begun.append(("+" if self._open else "") + name)
            self._open += 1
            try:
                return await call(*args, **named)
            finally:
                self._open -= 1
                if name == "queue":
                    self.queued.set()

        monkeypatch.setattr(owner, method, noted)


@pytest.fixture
async def ports(stores: Stores) -> AsyncIterator[Ports]:
    listener = stores.queue.subscribe()
    await listener.open()
    access = AccessWatcher(stores.database, stores.queue_redis)
    facts = StoredFacts(stores.cache, ArtifactRepository(stores.database), request_timeout=5, access=access)
    yield Ports(
        index=CachedIndex(stores.cache, stores.cache_redis, access),
        facts=facts,
        misses=MissWaiter(stores.queue, listener),
        objects=MemoryObjects(),
        live=MemoryLive(),
        judge=MemoryJudge(),
        clock=SystemClock(),
        settings=stores.settings,
    )
    await listener.aclose()


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (FILE, ["redis", "postgres", "queue"]),
        (msgspec.structs.replace(FILE, direct=True), ["redis", "+redis", "postgres", "queue"]),
    ],
)
@pytest.mark.parametrize("head", [False, True])
async def test_cold_file__before_its_job_is_queued__three_round_trips(
    ports: Ports, monkeypatch: pytest.MonkeyPatch, resource: Resource, expected: list[str], head: bool
) -> None:
    trips = Trips()
    trips.watch(monkeypatch, RedisClient, "get_many", "redis")
    trips.watch(monkeypatch, Database, "fetchrow", "postgres")
    trips.watch(monkeypatch, QueueScript, "__call__", "queue")
    request = asyncio.create_task(serve_artifact(resource, Conditions(head=head), ports))
    async with asyncio.timeout(30):
        await trips.queued.wait()
    assert trips.begun == expected
    request.cancel()
    await asyncio.wait([request])


async def test_file_stored_between_the_look_into_the_cache_and_the_watch__served_without_a_job(
    ports: Ports, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = StoredFacts.cached

    async def overtaken(self: StoredFacts, file: FileName) -> object:
        found = await cached(self, file)
        facts = await stores.put_artifact("a", "a-1.whl", b"cold")
        ports.objects.objects[facts.object_key] = b"cold"  # type: ignore[attr-defined]
        return found

    monkeypatch.setattr(StoredFacts, "cached", overtaken)
    reply = await serve_artifact(FILE, Conditions(), ports)
    assert (reply.status, reply.cache) == (200, "HIT")
    assert (await stores.queue.depths())["artifact"].ready == 0
