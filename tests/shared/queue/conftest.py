"""A client, a queue and an open listener on a Redis of the test's own database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from shared.queue.listener import EventListener
from shared.queue.producer import JobQueue
from shared.redis.client import RedisClient
from tests.shared.queue.queue_support import queue_client
from tests.support.stores import RedisAddress


@pytest_asyncio.fixture
async def client(queue_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = queue_client(queue_redis)
    yield client
    await client.aclose()


@pytest_asyncio.fixture
async def queue(client: RedisClient) -> JobQueue:
    return JobQueue(client)


@pytest_asyncio.fixture
async def listener(queue: JobQueue) -> AsyncIterator[EventListener]:
    listener = queue.subscribe()
    await listener.open()
    assert listener.connected
    yield listener
    await listener.aclose()
