"""Waiting for an index from a job of another queue, when nothing is heard of how it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.fetcher.entries import IndexWaiter
from shared.clients.queue import JobQueue
from shared.clients.queue_context import JobContext
from shared.clients.redis import RedisClient
from shared.errors import UpstreamUnavailable
from shared.jobs import FetchIndex
from tests.shared.clients.queue_support import new_worker, queue_client, running
from tests.support.stores import RedisAddress


@pytest_asyncio.fixture
async def client(queue_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = queue_client(queue_redis)
    yield client
    await client.aclose()


@pytest.mark.parametrize("clock_is_off_by", [-3600.0, 0.0, 3600.0])
async def test_refresh__notification_lost__found_by_looking_whatever_the_clock_says(
    client: RedisClient, clock_is_off_by: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = 0

    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise UpstreamUnavailable("the first try, of somebody else, failed")
        await asyncio.sleep(0.1)
        await ctx.publish("done")

    queue = JobQueue(client)
    deaf = queue.subscribe()  # never opened
    async with running(new_worker(client, handler)):
        await queue.enqueue(FetchIndex("pypi", "simple/flask"))
        while (await queue.read_state("index:pypi:simple/flask"))[1] is None:
            await asyncio.sleep(0.01)
        now = time.time
        monkeypatch.setattr("services.fetcher.entries.clock.now", lambda: now() + clock_is_off_by)
        await IndexWaiter(queue, deaf, seconds=12.0).refresh("pypi", "simple/flask")
        assert runs == 2
