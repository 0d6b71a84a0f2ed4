"""What the queue counts of itself, against a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from shared.errors.passing import UpstreamUnavailable
from shared.queue.context import Deferred, JobContext
from shared.queue.jobs import QUEUES, FetchIndex
from shared.queue.producer import JobQueue
from shared.queue.rates import WINDOWS_SECONDS, read_rates
from shared.redis.client import RedisClient
from tests.shared.queue.queue_support import eventually, job, new_worker, queue_client, running
from tests.support.stores import RedisAddress


@pytest_asyncio.fixture
async def client(queue_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = queue_client(queue_redis)
    yield client
    await client.aclose()


async def test_rates__empty_queue__are_zero_over_both_windows(client: RedisClient) -> None:
    rates = await read_rates(client)
    assert set(rates) == set(QUEUES)
    for windows in rates.values():
        assert [int(each.seconds // 10) * 10 for each in windows] == list(WINDOWS_SECONDS)
        assert all(each.enqueued == each.finished == each.wait_seconds == 0 for each in windows)


async def test_rates__jobs_that_end_in_every_way__are_counted_once_each(client: RedisClient) -> None:
    postponed: set[str] = set()

    async def handler(ctx: JobContext, work: FetchIndex) -> None:
        if work.identity == "bad":
            raise UpstreamUnavailable("away")
        if work.identity == "later" and work.identity not in postponed:
            postponed.add(work.identity)
            raise Deferred(0.05)
        await asyncio.sleep(0.05)

    queue = JobQueue(client)
    for name in ("a", "b", "bad", "later"):
        assert await queue.enqueue(job(name))
    assert not await queue.enqueue(job("a")), "one that coalesces is not another"
    async with running(new_worker(client, handler)):

        async def ended() -> bool:
            minute, _ = (await read_rates(client, ["index"]))["index"]
            return minute.finished + minute.failed == 4

        await eventually(ended)
    for window in (await read_rates(client, ["index"]))["index"]:
        assert (window.enqueued, window.started, window.finished) == (4, 5, 3)
        assert (window.failed, window.dead, window.retried, window.postponed) == (1, 0, 0, 1)
        assert 0.15 <= window.run_seconds < 30
        assert 0.05 <= window.longest_run_seconds <= window.run_seconds
        assert 0 < window.longest_wait_seconds <= window.wait_seconds


async def test_rates__a_job_that_kills_its_workers__counts_as_retried_and_dead(client: RedisClient) -> None:
    async def handler(ctx: JobContext, work: FetchIndex) -> None:
        raise AssertionError("a buried job is not run")

    await JobQueue(client).enqueue(job("deadly"))
    await client.raw.set("arq:retry:" + job("deadly").id, 3)
    async with running(new_worker(client, handler, max_tries=3)):

        async def buried() -> bool:
            return (await JobQueue(client).depths())["index"].dead == 1

        await eventually(buried)
    minute, _ = (await read_rates(client, ["index"]))["index"]
    assert (minute.finished, minute.failed, minute.dead, minute.retried) == (0, 0, 1, 1)


async def test_rates__a_slice__expires_by_itself(client: RedisClient) -> None:
    await JobQueue(client).enqueue(job())
    (name,) = await client.raw.keys("orchard:queue:index:rates:*")
    assert 300_000 < await client.raw.pttl(name) <= 330_000
