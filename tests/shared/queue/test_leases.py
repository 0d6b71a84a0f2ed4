"""A lease that ran out comes back only if nobody had the job since."""

from __future__ import annotations

import pytest

from shared.queue import keys
from shared.queue.context import JobContext
from shared.queue.events import Event
from shared.queue.leases import Leases
from shared.queue.producer import JobQueue
from shared.redis.client import RedisClient
from tests.shared.queue.queue_support import job


def leases(client: RedisClient) -> Leases:
    return Leases(client, "index", seconds=600, tags=["fetch_index"], address=lambda: "127.0.0.1:1")


async def claim(worker: Leases) -> JobContext:
    _, [run] = await worker.claim(1, woken=False)
    worker.held[run.generation] = run
    return run


async def run_out(client: RedisClient) -> None:
    await client.raw.delete(keys.claim_key(job().id))
    await client.raw.zadd(keys.queue_key("index"), {job().id: 1}, xx=True)


async def test_renew__lease_ran_out_and_nobody_had_the_job__it_is_ours_again(
    client: RedisClient, queue: JobQueue
) -> None:
    first = leases(client)
    await queue.enqueue(job())
    run = await claim(first)
    await run_out(client)
    await first.renew()
    assert run.is_current()
    held, _ = await queue.read_state(job().id)
    assert held is not None and held.generation == run.generation


@pytest.mark.parametrize("again", ["given back", "ended, enqueued, claimed and lost"])
async def test_renew__another_had_the_job_meanwhile__it_is_lost_though_nobody_holds_it_now(
    client: RedisClient, queue: JobQueue, again: str
) -> None:
    first, second = leases(client), leases(client)
    await queue.enqueue(job())
    stale = await claim(first)
    await run_out(client)
    other = await claim(second)
    if again == "given back":
        await second.give_back([other], delay_seconds=30)
    else:
        await second.finish(other)
        await queue.enqueue(job())
        await claim(second)
        await run_out(client)

    await first.renew()
    assert not stale.is_current(), "its generation is older than another's: what it writes is refused"
    assert (await queue.read_state(job().id))[0] is None
    assert not await stale.publish("done")


async def test_finish__another_has_the_job__it_goes_on_with_it_and_nothing_is_told(
    client: RedisClient, queue: JobQueue
) -> None:
    first, second = leases(client), leases(client)
    await queue.enqueue(job())
    stale = await claim(first)
    await run_out(client)
    other = await claim(second)

    await first.finish(stale, Event(stale.job_id, "failed", stale.generation))
    assert not stale.is_current()
    running, _ = await queue.read_state(job().id)
    assert running is not None and running.generation == other.generation
    assert await client.raw.get(keys.outcome_key(job().id)) is None
    assert await other.publish("done")


async def test_give_back__tries_were_forgotten_meanwhile__no_count_below_nothing_is_left(
    client: RedisClient, queue: JobQueue
) -> None:
    worker = leases(client)
    await queue.enqueue(job())
    run = await claim(worker)
    await client.raw.delete(keys.tries_key(job().id))
    await worker.give_back([run])
    assert await client.raw.get(keys.tries_key(job().id)) is None
