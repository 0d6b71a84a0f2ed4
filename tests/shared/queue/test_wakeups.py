"""A deferred job is woken when the jobs that it waits for have ended, once, and not before."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec

from shared.queue.events import CHANNEL, Event
from shared.queue.jobs import Resolve
from shared.queue.listener import EventListener
from shared.queue.producer import JobQueue
from shared.queue.wakeups import Wakeups
from shared.redis.client import RedisClient
from tests.shared.queue.queue_support import eventually

JOB = Resolve(protocol="pypi", key="0" * 64)


async def tell(
    client: RedisClient, listener: EventListener, job_id: str, kind: Literal["live", "done", "failed"]
) -> None:
    """Returns when this listener has heard it."""
    heard = asyncio.Event()

    def on_event(event: Event) -> None:
        heard.set()

    listener.register(job_id, on_event)
    await client.raw.publish(CHANNEL, msgspec.msgpack.encode(Event(job_id, kind, 1)))
    await heard.wait()
    listener.unregister(job_id, on_event)


async def is_due(queue: JobQueue) -> bool:
    return (await queue.depths())["resolve"].ready == 1


async def test_all_ended__woken_once_and_nothing_left_registered(
    client: RedisClient, queue: JobQueue, listener: EventListener
) -> None:
    wakeups = Wakeups(queue, listener)
    await queue.enqueue(JOB, defer_seconds=60)
    wakeups.when_ended(JOB, ["one", "two"])
    await tell(client, listener, "one", "live")
    await tell(client, listener, "two", "done")
    await asyncio.sleep(0.05)
    assert not await is_due(queue)
    await tell(client, listener, "one", "failed")
    await eventually(lambda: is_due(queue))
    assert listener.waiting == 0
    await wakeups.aclose()


async def test_asked_again_or_forgotten__the_earlier_wait_is_gone(
    client: RedisClient, queue: JobQueue, listener: EventListener
) -> None:
    wakeups = Wakeups(queue, listener)
    wakeups.when_ended(JOB, ["one", "two"])
    wakeups.when_ended(JOB, ["three"])
    assert listener.waiting == 1
    wakeups.forget(JOB.id)
    assert listener.waiting == 0
    await wakeups.aclose()


async def test_some_may_be_left__woken_before_the_last_has_ended(
    client: RedisClient, queue: JobQueue, listener: EventListener
) -> None:
    wakeups = Wakeups(queue, listener)
    await queue.enqueue(JOB, defer_seconds=60)
    wakeups.when_ended(JOB, ["one", "two", "three"], most_left=1)
    await tell(client, listener, "one", "done")
    assert listener.waiting == 3
    await tell(client, listener, "three", "done")
    await eventually(lambda: is_due(queue))
    assert listener.waiting == 0
    await wakeups.aclose()


async def test_subscription_was_down__the_job_looks_for_itself(
    client: RedisClient, queue: JobQueue, listener: EventListener
) -> None:
    wakeups = Wakeups(queue, listener)
    await queue.enqueue(JOB, defer_seconds=60)
    wakeups.when_ended(JOB, ["one"])
    await client.raw.client_kill_filter(_type="pubsub")
    await eventually(lambda: is_due(queue))
    await wakeups.aclose()
