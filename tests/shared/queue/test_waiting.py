"""Waiting for a job's end: what is told, what is only found, what belongs to an earlier run."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from shared.errors.passing import UpstreamUnavailable
from shared.queue import keys, waiting
from shared.queue.context import JobContext
from shared.queue.events import Claim, Event
from shared.queue.jobs import FetchArtifact, FetchIndex
from shared.queue.listener import EventListener
from shared.queue.producer import Enqueued, JobQueue
from shared.queue.waiting import JobWaiter, outcome_since
from shared.redis.client import RedisClient
from tests.shared.queue.queue_support import eventually, job, new_worker, running


async def no() -> bool:
    return False


async def done(ctx: JobContext, job: FetchIndex) -> None:
    await ctx.publish("done")


class Watched(JobQueue):
    """Notes when a waiter looks and what it enqueues."""

    def __init__(self, client: RedisClient) -> None:
        super().__init__(client)
        self.looked: list[float] = []
        self.enqueued: list[str] = []

    async def read_state(self, job_id: str) -> tuple[Claim | None, Event | None]:
        self.looked.append(time.monotonic())
        return await super().read_state(job_id)

    async def enqueue(self, job: object, **options: object) -> Enqueued:
        self.enqueued.append(job.id)  # type: ignore[attr-defined]
        return await super().enqueue(job, **options)  # type: ignore[arg-type]


@pytest.fixture
def no_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_POLL_SECONDS", 60.0)
    monkeypatch.setattr(waiting, "LAST_POLL_SECONDS", 60.0)


@pytest.mark.parametrize("clock_is_off_by", [-3600.0, 0.0, 3600.0])
async def test_wait__notification_lost__found_by_looking_whatever_the_clock_says(
    client: RedisClient, queue: JobQueue, clock_is_off_by: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = 0

    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise UpstreamUnavailable("the first try, of somebody else, failed")
        await asyncio.sleep(0.1)
        await ctx.publish("done")

    deaf = queue.subscribe()  # never opened
    async with running(new_worker(client, handler)):
        await queue.enqueue(job())
        await eventually(lambda: ended(queue))
        now = time.time
        monkeypatch.setattr("time.time", lambda: now() + clock_is_off_by)
        event = await JobWaiter(queue, deaf).wait(job(), timeout=12.0)
        assert (event.kind, runs) == ("done", 2)


async def ended(queue: JobQueue) -> bool:
    claim, event = await queue.read_state(job().id)
    return claim is None and event is not None


async def test_wait__done_while_the_subscription_was_down__answered_before_any_poll(
    client: RedisClient, queue: JobQueue, listener: EventListener, no_polls: None
) -> None:
    heard: list[Event] = []
    listener.register(job().id, heard.append)

    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        await client.raw.client_kill_filter(_type="pubsub")
        await ctx.publish("done")

    async with running(new_worker(client, handler)):
        event = await JobWaiter(queue, listener).wait(job(), timeout=10.0)
    assert (event.kind, heard) == ("done", []), "found by looking, for nobody heard it"


async def test_gap__many_wait__they_look_again_spread_over_a_moment(
    client: RedisClient, listener: EventListener, no_polls: None
) -> None:
    queue = Watched(client)
    jobs = JobWaiter(queue, listener)
    waits = [asyncio.create_task(jobs.wait(job(f"p{n}"), timeout=20)) for n in range(40)]
    await eventually(lambda: len(queue.enqueued) == 40)
    assert queue.looked == []

    await client.raw.client_kill_filter(_type="pubsub")
    await eventually(lambda: len(queue.looked) == 40)
    first, last = min(queue.looked), max(queue.looked)
    assert last - first > waiting.GAP_SPREAD_SECONDS / 4
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


async def test_wait__result_came_just_before__nothing_is_enqueued(
    client: RedisClient, listener: EventListener
) -> None:
    queue = Watched(client)

    async def there() -> bool:
        assert listener.waiting == 1, "subscribed before looking"
        return True

    event = await JobWaiter(queue, listener).wait(job(), timeout=5.0, until=there)
    assert (event.kind, event.generation, queue.enqueued, listener.waiting) == ("done", 0, [], 0)


async def test_wait__told_between_the_look_and_the_enqueueing__is_not_lost(
    client: RedisClient, listener: EventListener, no_polls: None
) -> None:
    queue = Watched(client)

    async def looks_and_then_it_comes() -> bool:
        seen = asyncio.Event()
        listener.register(job().id, lambda event: seen.set())
        async with running(new_worker(client, done)):
            await JobQueue(client).enqueue(job())
            await seen.wait()
        return False  # it had looked before

    event = await JobWaiter(queue, listener).wait(job(), timeout=10.0, until=looks_and_then_it_comes)
    assert (event.kind, queue.enqueued) == ("done", [])
    assert event.generation > 0


async def test_wait__twenty_at_once__one_is_enqueued_and_started_and_all_are_told(
    client: RedisClient, listener: EventListener
) -> None:
    queue = Watched(client)
    jobs = JobWaiter(queue, listener)
    started: list[int] = []
    waits = [
        asyncio.create_task(jobs.wait(job(), timeout=10, until=no, starting=lambda: started.append(1)))
        for _ in range(20)
    ]
    await eventually(lambda: len(queue.enqueued) == 1)
    async with running(new_worker(client, done)):
        events = await asyncio.gather(*waits)
    assert {event.generation for event in events} == {events[0].generation}
    assert (started, queue.enqueued, listener.waiting) == ([1], [job().id], 0)


async def test_wait__starting_refuses__nothing_is_enqueued(
    client: RedisClient, listener: EventListener
) -> None:
    queue = Watched(client)

    def refuse() -> None:
        raise UpstreamUnavailable("not now")

    with pytest.raises(UpstreamUnavailable, match="not now"):
        await JobWaiter(queue, listener).wait(job(), timeout=5, starting=refuse)
    assert (queue.enqueued, listener.waiting) == ([], 0)


async def test_wait__a_background_refresh_is_waited_for__it_moves_to_the_quick_queue(
    client: RedisClient, queue: JobQueue, listener: EventListener
) -> None:
    jobs = JobWaiter(queue, listener)
    background = asyncio.create_task(jobs.wait(job(background=True), timeout=10))
    await eventually(lambda: depth(queue, "refresh"))
    waits = asyncio.create_task(jobs.wait(job(), timeout=10))
    await eventually(lambda: depth(queue, "index"))
    async with running(new_worker(client, done)):
        assert (await background).kind == (await waits).kind == "done"


async def depth(queue: JobQueue, name: str) -> bool:
    return (await queue.depths())[name].ready == 1


async def test_wait__live_event_lost__the_claim_says_where_the_bytes_are(
    client: RedisClient, queue: JobQueue
) -> None:
    file = FetchArtifact(protocol="pypi", project="a", file_id="0", filename="a.whl")
    claim = Claim(7, "127.0.0.1:4711", "token")
    deaf = queue.subscribe()
    wait = asyncio.create_task(JobWaiter(queue, deaf).wait(file, timeout=10, live=True))
    await client.raw.set(keys.claim_key(file.id), msgspec.msgpack.encode(claim))
    event = await wait
    assert (event.kind, event.generation, event.address, event.token) == ("live", 7, claim.address, "token")


async def test_wait__nobody_ends_it__timeout(queue: JobQueue, listener: EventListener) -> None:
    with pytest.raises(TimeoutError):
        await JobWaiter(queue, listener).wait(job(), timeout=0.1)
    assert listener.waiting == 0


async def test_outcome_since__only_what_ended_after_it_was_asked_for(
    client: RedisClient, queue: JobQueue
) -> None:
    async with running(new_worker(client, done)):
        asked_at = time.time()
        await queue.enqueue(job())
        await eventually(lambda: ended(queue))
    event = await outcome_since(queue, job().id, asked_at)
    assert event is not None and event.kind == "done"
    assert await outcome_since(queue, job().id, None) is None, "never asked for"
    assert await outcome_since(queue, job().id, asked_at + 60) is None, "another's"
    assert await outcome_since(queue, job().id, asked_at, before=event.generation) is None, "dealt with"
