"""The shared subscription: who is called, what a lost connection costs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from shared.queue.context import JobContext
from shared.queue.events import CHANNEL, Event
from shared.queue.jobs import FetchIndex
from shared.queue.listener import EventListener
from shared.queue.producer import JobQueue
from shared.redis.client import RedisClient
from tests.shared.queue.queue_support import eventually, job, new_worker, queue_client, running
from tests.support.freezing import freeze
from tests.support.stores import RedisAddress, address_of, own_redis


@pytest_asyncio.fixture
async def client(queue_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = queue_client(queue_redis)
    yield client
    await client.aclose()


@pytest_asyncio.fixture
async def listener(client: RedisClient) -> AsyncIterator[EventListener]:
    listener = JobQueue(client).subscribe()
    await listener.open()
    assert listener.connected
    yield listener
    await listener.aclose()


async def announce(client: RedisClient, name: str) -> None:
    """Let a worker run a job that tells `live`, then ends with `done`."""

    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        await ctx.publish("live", size_bytes=5)
        await ctx.publish("done")

    worker = new_worker(client, handler, address="127.0.0.1:4711")
    async with running(worker):
        await JobQueue(client).enqueue(job(name))
        await eventually(lambda: worker.jobs_complete == 1)


async def test_listener__event__reaches_each_callback_of_its_job_only(
    client: RedisClient, listener: EventListener
) -> None:
    first: list[Event] = []
    second: list[Event] = []
    other: list[Event] = []
    listener.register(job("a").id, first.append)
    listener.register(job("a").id, second.append)
    listener.register(job("b").id, other.append)

    await announce(client, "a")
    await eventually(lambda: len(first) == 2)
    assert first == second
    assert [event.kind for event in first] == ["live", "done"]
    assert (first[0].address, first[0].size_bytes) == ("127.0.0.1:4711", 5)
    assert first[0].token
    assert not first[1].token
    assert other == []


async def test_listener__unregistered__is_not_called(client: RedisClient, listener: EventListener) -> None:
    heard: list[Event] = []
    witness: list[Event] = []
    callback = heard.append
    listener.register(job("a").id, callback)
    listener.register(job("a").id, witness.append)
    listener.unregister(job("a").id, callback)

    await announce(client, "a")
    await eventually(lambda: len(witness) == 2)
    assert heard == []
    assert listener.waiting == 1


async def test_listener__callback_raises__others_are_called_and_listening_goes_on(
    client: RedisClient, listener: EventListener
) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError("a waiter's defect")

    heard: list[Event] = []
    listener.register(job("a").id, broken)
    listener.register(job("a").id, heard.append)

    await announce(client, "a")
    await eventually(lambda: len(heard) == 2)
    assert listener.connected


async def test_listener__message_of_another_version__is_ignored(
    client: RedisClient, listener: EventListener
) -> None:
    heard: list[Event] = []
    listener.register(job("a").id, heard.append)
    await client.raw.publish(CHANNEL, b"\xc1 not an event")

    await announce(client, "a")
    await eventually(lambda: len(heard) == 2)


async def test_listener__connection_killed__gap_is_told_and_events_come_again(
    client: RedisClient, listener: EventListener
) -> None:
    gaps: list[bool] = []
    heard: list[Event] = []
    listener.on_gap.append(lambda: gaps.append(listener.connected))
    listener.register(job("a").id, heard.append)

    assert await client.raw.client_kill_filter(_type="pubsub") == 1
    await eventually(lambda: gaps == [True])
    await announce(client, "a")
    await eventually(lambda: len(heard) == 2)


async def test_read_state__notification_lost__shows_the_outcome(
    client: RedisClient, listener: EventListener
) -> None:
    heard: list[Event] = []
    listener.register(job("a").id, heard.append)
    await listener.aclose()

    await announce(client, "a")
    claim, event = await JobQueue(client).read_state(job("a").id)
    assert claim is None
    assert event is not None
    assert (event.kind, heard) == ("done", [])


async def test_listener__redis_frozen__notices_and_tells_the_gap_afterwards(tmp_path: Path) -> None:
    with own_redis(tmp_path, "queue") as server:
        client = queue_client(address_of(server))
        listener = EventListener(client)
        await listener.open()
        gaps: list[bool] = []
        listener.on_gap.append(lambda: gaps.append(True))
        freeze(server.pid)
        try:
            await eventually(lambda: not listener.connected)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await eventually(lambda: gaps == [True] and listener.connected)
        await listener.aclose()
        await client.aclose()


async def test_listener__redis_away_at_start__opens_and_listens_when_it_comes(tmp_path: Path) -> None:
    with own_redis(tmp_path, "queue") as server:
        address = address_of(server)
        server.stop()
        client = queue_client(address)
        listener = EventListener(client)
        await listener.open(wait_seconds=0.2)
        assert not listener.connected

        server.start()
        await eventually(lambda: listener.connected)
        await listener.aclose()
        await client.aclose()


async def test_listener__closed__leaves_no_task() -> None:
    client = RedisClient(host="127.0.0.1", port=1, role="queue")
    listener = EventListener(client)
    before = asyncio.all_tasks()
    await listener.open(wait_seconds=0.05)
    await listener.aclose()

    assert asyncio.all_tasks() == before
    await client.aclose()
