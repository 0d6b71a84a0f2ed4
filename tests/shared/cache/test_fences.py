"""A number that may only rise never keeps anybody out for good when its source of truth goes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.fetcher.sources.repository import SourceRepository, SourceSet
from services.fetcher.sources.watcher import SourceWatcher
from shared.access.repository import KEY, read_copy
from shared.access.watcher import AccessWatcher
from shared.artifacts.repository import ArtifactRepository
from shared.cache.keys import fence_key, head_key, revision_key
from shared.cache.service import CacheService
from shared.models import FORMAT, FileName, IndexHead, StoredDocument, StoredFile
from shared.postgres.database import Database
from shared.redis.client import RedisClient
from shared.settings import Settings
from shared.sources.urls import SourceAddress
from tests.support.stores import RedisAddress

HOUR = 3600
PAGE = ("pypi", "simple/flask")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.open()
    yield database
    await database.aclose()


@pytest.fixture
async def redis(cache_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = RedisClient(
        host=cache_redis.host, port=cache_redis.port, password=cache_redis.password, role="cache"
    )
    yield client
    await client.aclose()


@pytest.fixture
async def queue_redis_client(queue_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = RedisClient(
        host=queue_redis.host, port=queue_redis.port, password=queue_redis.password, role="queue"
    )
    yield client
    await client.aclose()


@pytest.fixture
def cache(redis: RedisClient) -> CacheService:
    return CacheService.from_settings(redis, Settings())


def head(*, generation: int, revision: int) -> IndexHead:
    now = time.time()
    return IndexHead(FORMAT, 404, generation, revision, 0, now, now + 60)


async def watched(database: Database, cache: CacheService) -> SourceSet:
    """What a process that starts now takes as its sources."""
    found: asyncio.Queue[SourceSet] = asyncio.Queue()
    watcher = SourceWatcher(database, cache, found.put, protocols=["pypi"])
    await watcher.open()
    try:
        return await asyncio.wait_for(found.get(), 10)
    finally:
        await watcher.aclose()


def micros(seconds: float) -> int:
    return int((time.time() + seconds) * 1_000_000)


VALUES = {
    "a minute ahead": lambda: str(int((time.time() + 60) * 1000)),
    "a year ahead": lambda: str(int((time.time() + 365 * 24 * HOUR) * 1000)),
    "10^15": lambda: str(10**15),
    "10^30": lambda: str(10**30),
    "infinite": lambda: "inf",
    "not a number": lambda: "nan",
    "hexadecimal": lambda: "0x7fffffffffffff",
    "negative": lambda: "-5",
    "garbage": lambda: "\x00\xff",
    "empty": lambda: "",
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
async def test_source_revision__the_cache_holds_another_than_the_rows__pages_are_written_again(
    database: Database, cache: CacheService, redis: RedisClient, value: object
) -> None:
    await SourceRepository(database).sync("pypi", [SourceAddress("https://a.example.com/simple/")])
    assert callable(value)
    await redis.raw.set(revision_key("pypi"), value().encode("latin-1"), ex=HOUR)

    found = await watched(database, cache)

    assert await cache.write_head(*PAGE, head(generation=1, revision=found.revision))
    read = await cache.read_index(*PAGE, "")
    assert read.head is not None
    assert read.head.source_revision >= read.revision


async def test_source_revision__rows_restored_from_a_backup__pages_made_before_are_misses(
    database: Database, cache: CacheService
) -> None:
    repository = SourceRepository(database)
    await repository.sync("pypi", [SourceAddress("https://a.example.com/simple/")])
    before = await watched(database, cache)
    assert await cache.write_head(*PAGE, head(generation=1, revision=before.revision))
    await database.execute("UPDATE source_revisions SET revision = revision - 60000")

    after = await watched(database, cache)

    assert after.revision > before.revision
    read = await cache.read_index(*PAGE, "")
    assert read.head is not None
    assert read.head.source_revision < read.revision


async def test_source_revision__read_late_by_one_process__is_not_lifted(
    database: Database, cache: CacheService
) -> None:
    repository = SourceRepository(database)
    await repository.sync("pypi", [SourceAddress("https://a.example.com/simple/")])
    revision = await repository.revision("pypi")
    assert not await repository.lift("pypi", revision)
    assert await repository.revision("pypi") == revision


async def test_access__rows_restored_while_a_process_runs__it_takes_them(
    database: Database, queue_redis_client: RedisClient, database_url: str
) -> None:
    await database.execute("INSERT INTO blocks (protocol, name, reason) VALUES ('pypi', 'new', 'x')")
    watcher = AccessWatcher(database, queue_redis_client)
    await watcher.open()
    try:
        assert watcher.state is not None
        before = watcher.state.revision
        connection = await asyncpg.connect(database_url)  # a restore leaves no notification of its own
        await connection.execute("ALTER TABLE blocks DISABLE TRIGGER ALL; DELETE FROM blocks")
        await connection.execute("ALTER TABLE blocks ENABLE TRIGGER ALL")
        await connection.execute("UPDATE access_revision SET revision = revision - 60000")
        await connection.close()

        await watcher.refresh()

        assert watcher.state.blocks == ()
        assert watcher.state.revision > before
        copy = await read_copy(queue_redis_client)
        assert copy == watcher.state
    finally:
        await watcher.aclose()


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
async def test_access__the_copy_holds_another_revision__a_later_start_has_the_rows(
    database: Database, queue_redis_client: RedisClient, value: object
) -> None:
    await database.execute("INSERT INTO blocks (protocol, name, reason) VALUES ('pypi', 'evil', 'x')")
    assert callable(value)
    await queue_redis_client.raw.hset(  # type: ignore[misc]
        KEY, mapping={"revision": value().encode("latin-1"), "state": b"old"}
    )
    watcher = AccessWatcher(database, queue_redis_client)
    await watcher.open()
    try:
        await watcher.refresh()
        assert watcher.state is not None
        await asyncio.sleep(0)
        copy = await read_copy(queue_redis_client)
        assert copy is not None
        assert [block.name for block in copy.blocks] == ["evil"]
    finally:
        await watcher.aclose()


@pytest.mark.parametrize("hours", [1, 24 * 365, 10**6])
async def test_generation__a_head_from_a_clock_that_was_ahead__is_replaced(
    cache: CacheService, hours: int
) -> None:
    assert await cache.write_head(*PAGE, head(generation=micros(hours * HOUR), revision=1))
    assert await cache.write_head(*PAGE, head(generation=micros(0), revision=1))


async def test_generation__a_newer_head_and_clocks_are_well__stays(cache: CacheService) -> None:
    assert await cache.write_head(*PAGE, head(generation=micros(-1), revision=1))
    assert not await cache.write_head(*PAGE, head(generation=micros(-2), revision=1))


async def test_generation__counted_on_while_the_clock_is_behind__the_older_writer_loses(
    cache: CacheService,
) -> None:
    assert await cache.write_head(*PAGE, head(generation=micros(HOUR) + 1, revision=1))
    assert not await cache.write_head(*PAGE, head(generation=micros(HOUR) - 1_000_000, revision=1))


@pytest.mark.parametrize(("seconds", "written"), [(HOUR, True), (-1, False)])
async def test_generation__a_row_from_a_clock_that_was_ahead__is_replaced(
    database: Database, seconds: int, written: bool
) -> None:
    artifacts = ArtifactRepository(database)
    repository = SourceRepository(database)
    await repository.sync("pypi", [SourceAddress("https://a.example.com/simple/")])
    source = (await repository.list("pypi"))[0].id

    async def store(generation: int) -> bool:
        row = StoredDocument(*PAGE, source, generation, "documents/x", time.time())
        return await artifacts.store_document(row, project="flask", pin=True)

    assert await store(micros(seconds))
    assert await store(micros(-10)) is written


async def test_head__of_another_type__is_replaced(cache: CacheService, redis: RedisClient) -> None:
    await redis.raw.rpush(head_key(*PAGE), "garbage")  # type: ignore[misc]
    for _ in range(50):
        try:
            assert await cache.write_head(*PAGE, head(generation=1, revision=1))
            break
        except Exception:
            await asyncio.sleep(0.05)
    else:
        pytest.fail("the page was never written")


# --- facts -------------------------------------------------------------------------------------------

TARBALL = FileName("npm", "demo", "1.0.0", "demo-1.0.0.tgz")


def _facts(sha256: str, created_at: float) -> StoredFile:
    return StoredFile(sha256, 1, "application/gzip", sha256, TARBALL.filename, created_at)


async def test_facts__of_a_row_that_was_taken_away__refused_also_beside_those_of_the_next(
    cache: CacheService,
) -> None:
    old, new = _facts("a" * 64, 1764400000.123456), _facts("b" * 64, 1764400000.123457)
    assert await cache.write_facts(TARBALL, old)
    assert await cache.write_facts(TARBALL, old)
    await cache.fence_facts(TARBALL, old.created_at)
    assert await cache.read_facts(TARBALL) is None
    assert not await cache.write_facts(TARBALL, old)
    assert await cache.read_facts(TARBALL) is None
    assert await cache.write_facts(TARBALL, new)
    assert not await cache.write_facts(TARBALL, old)
    assert await cache.read_facts(TARBALL) == new


async def test_facts__their_fence__ends_by_itself(cache: CacheService, redis: RedisClient) -> None:
    await cache.fence_facts(TARBALL, 5.0)
    assert 0 < await redis.raw.ttl(fence_key(TARBALL)) <= 24 * HOUR
    await redis.raw.unlink(fence_key(TARBALL))
    assert await cache.write_facts(TARBALL, _facts("a" * 64, 5.0))
