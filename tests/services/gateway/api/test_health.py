"""Heartbeats appear, vanish with their worker, and add up to the report of /health."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from services.gateway.api.health import StoreHealth, check_health, check_store, compose
from shared.errors.passing import DatabaseUnavailable
from shared.models import FORMAT
from shared.queue.jobs import FetchIndex
from shared.queue.producer import JobQueue
from shared.redis.client import RedisClient
from shared.settings import load_settings
from shared.sources.answered import Answered
from shared.worker.heartbeat import (
    EXPIRY_SECONDS,
    Figures,
    Heartbeat,
    HeartbeatPublisher,
    HeartbeatStore,
    Pool,
    read_health,
)

OK = StoreHealth("ok", ping_seconds=0.001)
DOWN = StoreHealth("down", detail="PostgreSQL does not answer")


@pytest.fixture
async def queue_client(store_settings: dict[str, str]) -> AsyncIterator[RedisClient]:
    client = RedisClient.for_queue(load_settings(store_settings))
    await client.open()
    yield client
    await client.aclose()


def publisher(client: RedisClient, service: str, figures: Figures) -> HeartbeatPublisher:
    return HeartbeatPublisher(
        HeartbeatStore(client),
        service=service,
        version="1.2.3",
        address="127.0.0.1:9",
        read_figures=lambda: figures,
    )


def heartbeat(service: str, **fields: object) -> Heartbeat:
    values = {"format": FORMAT, "service": service, "instance": "i", "version": "1", "address": "a:1"}
    return Heartbeat(**values, started_at=1.0, sent_at=2.0, **fields)  # type: ignore[arg-type]


async def test_heartbeat__published__read_with_its_figures_until_closed(queue_client: RedisClient) -> None:
    figures = Figures(http_pool=Pool(3, 100), threads=Pool(1, 32), jobs=Pool(2, 64))
    first = publisher(queue_client, "fetcher", figures)
    second = publisher(queue_client, "extractor", Figures())
    await first.open()
    await second.open()
    extractor, fetcher = await read_health(queue_client)
    assert (extractor.service, fetcher.service) == ("extractor", "fetcher")
    assert (fetcher.http_pool, fetcher.threads, fetcher.jobs) == (Pool(3, 100), Pool(1, 32), Pool(2, 64))
    assert fetcher.rss_bytes > 1_000_000
    assert fetcher.version == "1.2.3"
    await first.aclose()
    assert [found.service for found in await read_health(queue_client)] == ["extractor"]
    await second.aclose()
    assert await read_health(queue_client) == []


async def test_heartbeat__expires__so_a_dead_worker_vanishes(queue_client: RedisClient) -> None:
    dead = publisher(queue_client, "fetcher", Figures())
    await dead.publish()
    key = f"orchard:health:fetcher:{dead.instance}"
    assert 0 < await queue_client.raw.ttl(key) <= EXPIRY_SECONDS
    await queue_client.raw.delete(key)  # as its expiry does
    assert await read_health(queue_client) == []


async def test_read_health__value_of_another_version__left_out(queue_client: RedisClient) -> None:
    store = HeartbeatStore(queue_client)
    await store.write("fetcher:future", msgspec.msgpack.encode({"format": 99, "service": "fetcher"}))
    await store.write("fetcher:broken", b"\xc1")
    assert await read_health(queue_client) == []


async def test_publish__redis_away__does_not_raise() -> None:
    settings = load_settings({"ORCHARD_QUEUE_REDIS_HOST": "127.0.0.1", "ORCHARD_QUEUE_REDIS_PORT": "1"})
    client = RedisClient.for_queue(settings)
    lonely = publisher(client, "fetcher", Figures())
    await lonely.open()
    await lonely.aclose()
    await client.aclose()


def test_compose__all_well__ok_with_summed_pools() -> None:
    report = compose(
        version="1",
        database=OK,
        redis_cache=OK,
        redis_queue=OK,
        heartbeats=[
            heartbeat("fetcher", http_pool=Pool(3, 100), threads=Pool(1, 32)),
            heartbeat("fetcher", http_pool=Pool(4, 50), threads=Pool(2, 32)),
            heartbeat("extractor", threads=Pool(9, 9)),
        ],
        depths={},
    )
    assert (report.status, report.problems) == ("ok", [])
    assert report.http_pool == Pool(7, 150)
    assert report.thread_pool == Pool(3, 64)


@pytest.mark.parametrize(
    ("stores", "services", "expected", "problem"),
    [
        ((DOWN, OK, OK), ("fetcher", "extractor"), "degraded", "database"),
        ((OK, DOWN, OK), ("fetcher", "extractor"), "degraded", "redis_cache"),
        ((OK, OK, DOWN), (), "degraded", "redis_queue"),
        ((DOWN, DOWN, OK), ("fetcher", "extractor"), "down", "database"),
        ((OK, OK, OK), ("extractor",), "degraded", "fetcher"),
        ((OK, OK, OK), ("fetcher",), "degraded", "extractor"),
    ],
)
def test_compose__something_missing__says_what(
    stores: tuple[StoreHealth, StoreHealth, StoreHealth],
    services: tuple[str, ...],
    expected: str,
    problem: str,
) -> None:
    database, redis_cache, redis_queue = stores
    report = compose(
        version="1",
        database=database,
        redis_cache=redis_cache,
        redis_queue=redis_queue,
        heartbeats=[heartbeat(service) for service in services],
        depths={},
    )
    assert report.status == expected
    assert report.problems[0].startswith(problem)


def test_compose__only_a_draining_fetcher__degraded() -> None:
    report = compose(
        version="1",
        database=OK,
        redis_cache=OK,
        redis_queue=OK,
        heartbeats=[heartbeat("fetcher", draining=True), heartbeat("extractor")],
        depths={},
    )
    assert report.status == "degraded"


async def test_check_store__pool_figures_and_failures__reported() -> None:
    class Failing:
        active, max = 5, 50

        async def ping(self) -> float:
            raise DatabaseUnavailable("PostgreSQL does not answer")

    found = await check_store(Failing())
    assert (found.status, found.detail, found.pool) == ("down", "PostgreSQL does not answer", Pool(5, 50))
    assert (await check_store(None, "not configured")).detail == "not configured"


async def test_check_health__real_stores__whole_report(
    store_settings: dict[str, str], queue_client: RedisClient
) -> None:
    cache = RedisClient.for_cache(load_settings(store_settings))
    queue = JobQueue(queue_client)
    await queue.enqueue(FetchIndex(protocol="pypi", identity="simple/flask"))
    fetcher = publisher(queue_client, "fetcher", Figures(http_pool=Pool(1, 2)))
    await fetcher.publish()
    report = await check_health(
        version="9", database=None, cache=cache, queue_redis=queue_client, queue=queue
    )
    assert report.redis_cache.status == report.redis_queue.status == "ok"
    assert report.redis_cache.ping_seconds is not None
    assert report.database == StoreHealth("down", detail="not configured")
    assert report.status == "degraded"
    assert not any("policy" in each for each in report.problems)
    assert report.queues["index"].ready == 1
    assert report.http_pool == Pool(1, 2)
    assert msgspec.json.decode(msgspec.json.encode(report))["version"] == "9"
    await cache.aclose()


async def test_check_health__other_rules_in_force_than_this_environment_asks_for__told(
    store_settings: dict[str, str], queue_client: RedisClient
) -> None:
    cache = RedisClient.for_cache(load_settings(store_settings))
    queue = JobQueue(queue_client)
    report = await check_health(
        version="9",
        database=None,
        cache=cache,
        queue_redis=queue_client,
        queue=queue,
        policy=["policy: ORCHARD_MINIMUM_AGE"],
    )
    assert any("ORCHARD_MINIMUM_AGE" in each for each in report.problems)
    await cache.aclose()


async def test_check_health__redis_gone__still_answers() -> None:
    settings = load_settings({
        "ORCHARD_REDIS_HOST": "127.0.0.1", "ORCHARD_REDIS_PORT": "1",
        "ORCHARD_QUEUE_REDIS_HOST": "127.0.0.1", "ORCHARD_QUEUE_REDIS_PORT": "1",
    })  # fmt: skip
    cache, queue_redis = RedisClient.for_cache(settings), RedisClient.for_queue(settings)
    report = await check_health(
        version="9", database=None, cache=cache, queue_redis=queue_redis, queue=JobQueue(queue_redis)
    )
    assert report.status == "down"
    assert report.queues == {}
    await cache.aclose()
    await queue_redis.aclose()


def test_compose__worker_as_anybody_sees_it__what_its_sandbox_lacks_and_no_way_to_it() -> None:
    lacks = ("landlock",)
    sources = {"1": Answered(1, 1, why="it answered 503")}
    worker = heartbeat("extractor", sandbox_lacks=lacks, token="t", nonce="n", sources=sources)
    report = compose(version="1", database=OK, redis_cache=OK, redis_queue=OK, heartbeats=[worker], depths={})
    (shown,) = report.workers["extractor"]
    assert shown.sandbox_lacks == lacks
    assert (shown.address, shown.token, shown.nonce, shown.sources) == ("", "", "", {})
