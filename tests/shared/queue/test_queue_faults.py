"""The queue when processes die or stop and when Redis is emptied, restarted or frozen."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from shared.errors.passing import QueueUnavailable
from shared.queue import keys
from shared.queue.context import JobContext
from shared.queue.dead import DeadLetters
from shared.queue.events import Event
from shared.queue.jobs import FetchIndex
from shared.queue.producer import JobQueue, publish
from shared.redis.client import RedisClient
from tests.shared.queue.queue_support import (
    eventually,
    job,
    new_worker,
    queue_client,
    running,
    worker_process,
)
from tests.shared.queue.test_worker import EMPTY, Holding, claim_of
from tests.support.freezing import freeze
from tests.support.stores import RedisAddress, address_of, own_redis


@pytest_asyncio.fixture
async def client(queue_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = queue_client(queue_redis)
    yield client
    await client.aclose()


@pytest.fixture
def queue(client: RedisClient) -> JobQueue:
    return JobQueue(client)


# --- workers ------------------------------------------------------------------------------------


async def test_worker_killed__job_is_run_again_after_its_lease_with_a_higher_generation(
    queue_redis: RedisAddress, queue: JobQueue
) -> None:
    lease = 1.0
    async with (
        worker_process(queue_redis, behave="hold", lease_seconds=lease) as first,
        worker_process(queue_redis, behave="hold", lease_seconds=lease) as second,
    ):
        await queue.enqueue(job())
        claimed = None
        async with asyncio.timeout(30):
            while (claimed := await claim_of(queue, job().id)) is None:
                await asyncio.sleep(0.01)
        victim, heir = (
            (first, second) if claimed.address == f"127.0.0.1:{first.process.pid}" else (second, first)
        )
        died = await victim.line("started")
        victim.signal(signal.SIGKILL)

        rerun = await heir.line("started", within=lease + 1.5)
        assert rerun.generation > died.generation
        assert rerun.tries == 2


async def test_worker_stopped_then_continued__its_late_news_is_dropped(
    queue_redis: RedisAddress, client: RedisClient, queue: JobQueue
) -> None:
    handler = Holding()
    async with worker_process(queue_redis, behave="publish", lease_seconds=0.6) as late:
        await queue.enqueue(job())
        before = await late.line("started")
        late.signal(signal.SIGSTOP)
        async with running(new_worker(client, handler, lease_seconds=0.6)):
            await eventually(lambda: len(handler.runs) == 1)
            run = handler.runs[0]
            assert run.generation > before.generation

            assert late.process.stdin is not None
            late.process.stdin.write(b"go\n")  # it wakes with its news ready
            await late.process.stdin.drain()
            late.signal(signal.SIGCONT)
            await asyncio.sleep(1.0)
            claim, event = await queue.read_state(job().id)
            assert (claim, event) == (run.claim, None)
            assert not run.lease_lost.is_set()
            assert await run.publish("done")
            handler.release.set()
            await eventually(lambda: is_empty(queue))
        _, event = await queue.read_state(job().id)
        assert event is not None
        assert event.generation == run.generation


async def test_worker_stopped_until_another_finished__its_late_news_is_dropped(
    queue_redis: RedisAddress, client: RedisClient, queue: JobQueue
) -> None:
    handler = Holding()
    handler.release.set()
    async with worker_process(queue_redis, behave="publish", lease_seconds=0.6) as late:
        await queue.enqueue(job())
        await late.line("started")
        late.signal(signal.SIGSTOP)
        worker = new_worker(client, handler, lease_seconds=0.6)
        async with running(worker):
            await eventually(lambda: worker.jobs_complete == 1 and worker.active == 0)

            assert late.process.stdin is not None
            late.process.stdin.write(b"go\n")
            await late.process.stdin.drain()
            late.signal(signal.SIGCONT)
            await asyncio.sleep(1.0)
            assert await queue.read_state(job().id) == (None, None)
            assert (await queue.depths())["index"] == EMPTY


async def test_worker_frozen_and_nobody_took_over__goes_on_under_its_generation(
    queue_redis: RedisAddress, queue: JobQueue
) -> None:
    async with worker_process(queue_redis, behave="publish", lease_seconds=0.6) as alone:
        await queue.enqueue(job())
        started = await alone.line("started")
        alone.signal(signal.SIGSTOP)
        await eventually(lambda: claim_is_gone(queue))
        alone.signal(signal.SIGCONT)
        await asyncio.sleep(0.5)

        claim = await claim_of(queue, job().id)
        assert claim is not None
        assert claim.generation == started.generation
        assert alone.process.stdin is not None
        alone.process.stdin.write(b"go\n")
        assert (await alone.line("published")).told


async def claim_is_gone(queue: JobQueue) -> bool:
    return await claim_of(queue, job().id) is None


async def is_empty(queue: JobQueue) -> bool:
    return (await queue.depths())["index"] == EMPTY


async def test_job_that_kills_its_workers__is_dead_lettered_after_three_and_then_quarantined(
    queue_redis: RedisAddress, client: RedisClient, queue: JobQueue
) -> None:
    async with (
        worker_process(queue_redis, behave="die", lease_seconds=0.5) as first,
        worker_process(queue_redis, behave="die", lease_seconds=0.5) as second,
        worker_process(queue_redis, behave="die", lease_seconds=0.5) as third,
    ):
        await queue.enqueue(job())
        lines = await asyncio.gather(*(worker.line("started") for worker in (first, second, third)))
        assert sorted(line.tries for line in lines) == [1, 2, 3]

    handler = Holding()
    worker = new_worker(client, handler)
    async with running(worker):
        await eventually(lambda: worker.jobs_failed == 1 and worker.active == 0)
        depth = (await queue.depths())["index"]
        assert (depth.ready, depth.running, depth.deferred, depth.dead) == (0, 0, 0, 1)
        letter = (await DeadLetters(client).list("index"))[0].letter
        assert (letter.job_id, letter.tries, letter.count) == (job().id, 3, 1)
        assert "3 times" in letter.reason
        _, event = await queue.read_state(job().id)
        assert event is not None
        assert event.error is not None
        assert event.error.code == "internal_error"

        await queue.enqueue(job())  # asked for again: told at once, and no worker is risked
        await eventually(lambda: worker.jobs_failed == 2)
        assert handler.runs == []
        await eventually(lambda: worker.active == 0)
        (again,) = [each.letter for each in await DeadLetters(client).list("index")]
        assert (again.tries, again.reason, again.count) == (3, letter.reason, 2), "no further loss"
        assert abs((again.since or 0) - letter.at) < 0.01


# --- Redis emptied ------------------------------------------------------------------------------


async def test_redis_emptied__running_job_keeps_its_generation_tells_and_ends(
    client: RedisClient, queue: JobQueue
) -> None:
    handler = Holding()
    worker = new_worker(client, handler, lease_seconds=0.6)
    async with running(worker):
        await queue.enqueue(job())
        await eventually(lambda: len(handler.runs) == 1)
        run = handler.runs[0]
        await client.raw.flushall()

        await eventually(lambda: claim_stands(queue))
        assert await claim_of(queue, job().id) == run.claim
        assert not await queue.enqueue(job())  # coalesces with what runs
        assert await run.publish("done")
        handler.release.set()
        await eventually(lambda: worker.jobs_complete == 1 and worker.active == 0)
        assert (await queue.depths())["index"] == EMPTY
        await queue.enqueue(job("next"))
        await eventually(lambda: len(handler.runs) == 2)


async def claim_stands(queue: JobQueue) -> bool:
    return await claim_of(queue, job().id) is not None


async def test_redis_emptied__news_before_the_next_renewal__is_told(
    client: RedisClient, queue: JobQueue
) -> None:
    handler = Holding()
    async with running(new_worker(client, handler, lease_seconds=60)):
        await queue.enqueue(job())
        await eventually(lambda: len(handler.runs) == 1)
        await client.raw.flushall()

        assert await handler.runs[0].publish("done")
        handler.release.set()
        await eventually(lambda: is_empty(queue))


async def test_redis_emptied_and_job_queued_again__the_one_who_claims_first_keeps_it(
    client: RedisClient, queue: JobQueue
) -> None:
    old, new = Holding(), Holding()
    async with running(new_worker(client, old, slots=1, lease_seconds=4)):
        await queue.enqueue(job())
        await eventually(lambda: len(old.runs) == 1)
        await client.raw.flushall()
        assert await queue.enqueue(job())
        async with running(new_worker(client, new, slots=1, lease_seconds=4)):
            await eventually(lambda: len(new.runs) == 1)
            await eventually(lambda: old.cancelled == 1)

            assert await claim_of(queue, job().id) == new.runs[0].claim
            assert new.runs[0].generation > old.runs[0].generation
            new.release.set()
            await eventually(lambda: is_empty(queue))


# --- Redis restarted, frozen --------------------------------------------------------------------


async def test_redis_killed_and_back__workers_go_on_without_a_restart(tmp_path: Path) -> None:
    with own_redis(tmp_path, "queue") as server:
        client = queue_client(address_of(server))
        queue = JobQueue(client)
        handler = Holding()
        worker = new_worker(client, handler, lease_seconds=1.0)
        async with running(worker):
            await queue.enqueue(job("before"))
            await eventually(lambda: len(handler.runs) == 1)
            server.kill()
            with pytest.raises(QueueUnavailable):
                await queue.enqueue(job("during"))
            server.start()

            handler.release.set()
            await eventually(lambda: worker.active == 0)
            assert await queue.enqueue(job("after"))
            await eventually(lambda: handler.runs[-1].job == job("after"))
            await eventually(lambda: is_empty(queue))
        await client.aclose()


async def test_redis_frozen__every_call_of_a_producer_fails_in_about_a_second(tmp_path: Path) -> None:
    with own_redis(tmp_path, "queue") as server:
        client = queue_client(address_of(server))
        queue = JobQueue(client)
        await queue.enqueue(job())
        freeze(server.pid)
        try:
            for call in (
                lambda: queue.enqueue(job("other")),
                lambda: queue.read_state("j"),
                lambda: publish(client, Event("j", "done", 1), keep_seconds=3),
                lambda: queue.depths(),
                lambda: DeadLetters(client).list("index"),
            ):
                before = time.monotonic()
                with pytest.raises(QueueUnavailable):
                    await call()
                assert time.monotonic() - before < 5
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await eventually(lambda: client.available)
        assert await queue.enqueue(job("after"))
        await client.aclose()


async def test_redis_frozen_longer_than_the_lease__the_job_goes_on_where_it_runs(tmp_path: Path) -> None:
    with own_redis(tmp_path, "queue") as server:
        client = queue_client(address_of(server))
        queue = JobQueue(client)
        handler = Holding()
        worker = new_worker(client, handler, lease_seconds=1.0)
        async with running(worker):
            await queue.enqueue(job())
            await eventually(lambda: len(handler.runs) == 1)
            freeze(server.pid)
            await asyncio.sleep(2.5)
            os.kill(server.pid, signal.SIGCONT)

            await eventually(lambda: claim_stands_after_freeze(client, queue))
            run = handler.runs[0]
            assert len(handler.runs) == 1
            assert await claim_of(queue, job().id) == run.claim
            assert await run.publish("done")
            handler.release.set()
            await eventually(lambda: is_empty(queue))
        await client.aclose()


async def claim_stands_after_freeze(client: RedisClient, queue: JobQueue) -> bool:
    return client.available and await claim_of(queue, job().id) is not None


async def test_drain__redis_away__ends_all_the_same(tmp_path: Path) -> None:
    with own_redis(tmp_path, "queue") as server:
        client = queue_client(address_of(server))
        handler = Holding()
        worker = new_worker(client, handler)
        task = asyncio.create_task(worker.run())
        await JobQueue(client).enqueue(job())
        await eventually(lambda: len(handler.runs) == 1)
        server.kill()

        async with asyncio.timeout(30):
            await worker.drain(0.1)
            await task
        assert handler.cancelled == 1
        await client.aclose()


async def test_generation__redis_clock_steps_back__still_rises(client: RedisClient, queue: JobQueue) -> None:
    ahead = int((time.time() + 3600) * 1_000_000)
    await client.raw.hset(keys.GENERATION_KEY, mapping={"epoch": "1", "last": str(ahead)})  # type: ignore[misc]
    generations: list[int] = []

    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        generations.append(ctx.generation)

    async with running(new_worker(client, handler)):
        for _ in range(2):
            await queue.enqueue(job())
            await eventually(lambda: is_empty(queue))
    assert generations == [ahead + 1, ahead + 2]
