"""The producer's side of the queue against a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from shared.errors import InvalidData
from shared.errors.passing import QueueFull
from shared.queue import keys
from shared.queue.context import JobContext
from shared.queue.events import Claim, Event
from shared.queue.jobs import AHEAD, ARTIFACT, FetchArtifact, FetchIndex
from shared.queue.producer import JobQueue, publish
from shared.redis.client import RedisClient
from tests.shared.queue.queue_support import eventually, job, new_worker, queue_client, running
from tests.support.stores import RedisAddress


@pytest_asyncio.fixture
async def client(queue_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = queue_client(queue_redis)
    yield client
    await client.aclose()


async def set_claim(client: RedisClient, job_id: str, generation: int) -> None:
    claim = Claim(generation, "127.0.0.1:1", "token")
    await client.raw.set(keys.claim_key(job_id), msgspec.msgpack.encode(claim), px=60_000)


async def set_outcome(client: RedisClient, event: Event) -> None:
    await client.raw.set(keys.outcome_key(event.job_id), msgspec.msgpack.encode(event), px=60_000)


# --- enqueue ------------------------------------------------------------------------------------


async def test_enqueue__64_at_once_from_8_clients__one_is_accepted(queue_redis: RedisAddress) -> None:
    clients = [queue_client(queue_redis) for _ in range(8)]
    try:
        answers = await asyncio.gather(*(JobQueue(clients[n % 8]).enqueue(job()) for n in range(64)))
        assert sorted(map(bool, answers)) == [False] * 63 + [True]
        assert (await JobQueue(clients[0]).depths())["index"].ready == 1
    finally:
        await asyncio.gather(*(client.aclose() for client in clients))


async def test_enqueue__tells_how_the_job_stood__so_that_nobody_asks_first(client: RedisClient) -> None:
    runs: list[int] = []
    hold = asyncio.Event()

    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        runs.append(ctx.generation)
        await ctx.publish("done" if len(runs) == 1 else "live")
        if len(runs) == 2:
            await hold.wait()

    queue = JobQueue(client)
    worker = new_worker(client, handler)
    async with running(worker):
        first = await queue.enqueue(job())
        assert (first.accepted, first.claim, first.outcome, first.before) == (True, None, None, 0)
        await eventually(lambda: worker.jobs_complete == 1 and worker.active == 0)

        again = await queue.enqueue(job())
        assert again.accepted and again.outcome is not None, "how the earlier run ended"
        assert (again.outcome.kind, again.before) == ("done", runs[0])
        await eventually(lambda: len(runs) == 2)
        await eventually(lambda: live(queue))

        joined = await queue.enqueue(job())
        assert not joined.accepted and joined.claim is not None and joined.outcome is not None
        assert (joined.outcome.kind, joined.claim.generation) == ("live", runs[1])
        assert joined.outcome.generation > joined.before >= runs[0]
        hold.set()


async def live(queue: JobQueue) -> bool:
    return (await queue.read_state(job().id))[1] is not None


async def test_enqueue__payload__is_messagepack_in_arqs_fields_with_the_format_number(
    client: RedisClient,
) -> None:
    await JobQueue(client).enqueue(job("flask"))

    raw = await client.raw.get("arq:job:" + job("flask").id)
    fields = msgspec.msgpack.decode(raw)
    assert set(fields) == {"t", "f", "a", "k", "et"}
    assert (fields["f"], fields["a"]) == ("fetch_index", [1])
    assert fields["k"] == {"job": "fetch_index", "protocol": "pypi", "identity": "flask"}


async def test_enqueue__over_the_limit__is_refused_and_equal_ids_still_coalesce(client: RedisClient) -> None:
    queue = JobQueue(client)
    assert await queue.enqueue(job("a"), limit=2)
    assert await queue.enqueue(job("b"), limit=2)

    with pytest.raises(QueueFull):
        await queue.enqueue(job("c"), limit=2)
    assert not await queue.enqueue(job("b"), limit=2)


async def test_enqueue__deferred_then_wanted_now__is_due_at_once(client: RedisClient) -> None:
    queue = JobQueue(client)
    assert await queue.enqueue(job(), defer_seconds=60)
    assert (await queue.depths())["index"].deferred == 1

    assert not await queue.enqueue(job())
    depth = (await queue.depths())["index"]
    assert (depth.ready, depth.deferred) == (1, 0)


async def test_enqueue__background_then_wanted_by_a_client__moves_to_the_index_queue(
    client: RedisClient,
) -> None:
    queue = JobQueue(client)
    assert await queue.enqueue(job(background=True))

    assert not await queue.enqueue(job())
    depths = await queue.depths()
    assert (depths["refresh"].ready, depths["index"].ready) == (0, 1)


async def test_enqueue__background_running__is_not_moved(client: RedisClient) -> None:
    queue = JobQueue(client)
    release = asyncio.Event()

    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        await release.wait()

    worker = new_worker(client, handler, queue="refresh")
    async with running(worker):
        await queue.enqueue(job(background=True))
        await eventually(lambda: worker.active == 1)

        assert not await queue.enqueue(job())
        assert (await queue.depths())["index"].ready == 0
        release.set()
        await eventually(lambda: worker.active == 0)


async def test_enqueue__background_while_a_client_waits__coalesces(client: RedisClient) -> None:
    queue = JobQueue(client)
    assert await queue.enqueue(job())

    assert not await queue.enqueue(job(background=True))
    depths = await queue.depths()
    assert (depths["refresh"].ready, depths["index"].ready) == (0, 1)


@pytest.mark.parametrize("is_running", [True, False])
async def test_enqueue__a_guess_that_one_needs_whole__another_who_does_not_takes_nothing_back(
    client: RedisClient, is_running: bool
) -> None:
    queue = JobQueue(client)
    guess = FetchArtifact("pypi", "demo", "f" * 64, "demo-1.0-py3-none-any.whl", guessed=True)
    whole = msgspec.structs.replace(guess, guessed=False)
    await queue.enqueue(guess)
    await set_claim(client, guess.id, 1)
    assert not await queue.enqueue(whole)
    if not is_running:  # given back
        await client.raw.delete(keys.claim_key(guess.id))

    assert not await queue.enqueue(msgspec.structs.replace(whole, abandonable=True))
    assert await queue.as_asked_now(guess) == whole
    depths = await queue.depths([AHEAD, ARTIFACT])
    assert (depths[AHEAD].ready, depths[ARTIFACT].ready) == (is_running, not is_running)


async def test_enqueue__many_jobs__leave_a_bounded_number_of_tokens(client: RedisClient) -> None:
    queue = JobQueue(client)
    for number in range(200):
        await queue.enqueue(job(f"project-{number}"))

    assert await client.raw.llen(keys.tokens_key("index")) == keys.MAX_TOKENS  # type: ignore[misc]


async def test_enqueue__name_with_lone_surrogate__is_invalid_data(client: RedisClient) -> None:
    with pytest.raises(InvalidData):
        await JobQueue(client).enqueue(job("\ud800"))


async def test_enqueue__redis_out_of_memory__is_refused_while_workers_finish(client: RedisClient) -> None:
    queue = JobQueue(client)
    ran: list[str] = []

    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        assert await ctx.publish("done")
        ran.append(job.identity)

    await queue.enqueue(job("before"))
    await client.raw.config_set("maxmemory", 1)
    try:
        with pytest.raises(QueueFull):
            await queue.enqueue(job("during"))
        worker = new_worker(client, handler)
        async with running(worker):
            await eventually(lambda: ran == ["before"])
            await eventually(lambda: worker.jobs_complete == 1 and worker.active == 0)
        assert (await queue.depths())["index"] == keys.QueueDepth(0, 0, 0, 0, 0.0)
    finally:
        await client.raw.config_set("maxmemory", 0)


async def test_enqueue__scripts_forgotten__are_sent_again(client: RedisClient) -> None:
    queue = JobQueue(client)
    await queue.enqueue(job("a"))
    await client.raw.script_flush()

    assert await queue.enqueue(job("b"))


# --- read_state, publish ------------------------------------------------------------------------


async def test_read_state__nothing_known__is_nothing(client: RedisClient) -> None:
    assert await JobQueue(client).read_state("index:pypi:x") == (None, None)


async def test_read_state__outcome_of_the_last_run__is_told_without_a_claim(client: RedisClient) -> None:
    event = Event("j", "done", 7)
    await set_outcome(client, event)

    assert await JobQueue(client).read_state("j") == (None, event)


async def test_read_state__live_event_whose_claim_is_gone__is_left_out(client: RedisClient) -> None:
    await set_outcome(client, Event("j", "live", 7))

    assert await JobQueue(client).read_state("j") == (None, None)


async def test_read_state__outcome_older_than_the_claim__is_left_out(client: RedisClient) -> None:
    await set_outcome(client, Event("j", "failed", 7))
    await set_claim(client, "j", 8)

    claim, event = await JobQueue(client).read_state("j")
    assert claim is not None
    assert (claim.generation, event) == (8, None)


async def test_read_state__values_of_another_version__are_as_absent(client: RedisClient) -> None:
    await client.raw.set(keys.claim_key("j"), b"\xc1")
    await client.raw.set(keys.outcome_key("j"), msgspec.msgpack.encode({"kind": "new"}))

    assert await JobQueue(client).read_state("j") == (None, None)


@pytest.mark.parametrize(("stands", "told"), [(7, True), (8, False), (None, False)])
async def test_publish__is_told_only_under_the_standing_claim(
    client: RedisClient, stands: int | None, told: bool
) -> None:
    if stands is not None:
        await set_claim(client, "j", stands)

    assert (await publish(client, Event("j", "done", 7), keep_seconds=3) == 1) is told
    assert bool(await client.raw.exists(keys.outcome_key("j"))) is told


# --- depths -------------------------------------------------------------------------------------


async def test_depths__jobs_in_each_state__are_counted(client: RedisClient) -> None:
    queue = JobQueue(client)
    release = asyncio.Event()

    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        await release.wait()

    worker = new_worker(client, handler, slots=2)
    async with running(worker):
        for number in range(5):
            await queue.enqueue(job(f"project-{number}"))
        await queue.enqueue(job("later"), defer_seconds=60)
        await eventually(lambda: worker.active == 2)

        depth = (await queue.depths())["index"]
        assert (depth.ready, depth.running, depth.deferred, depth.dead) == (3, 2, 1, 0)
        await eventually(lambda: age_grew(queue))
        release.set()
        await eventually(lambda: worker.jobs_complete == 5)


async def age_grew(queue: JobQueue) -> bool:
    return (await queue.depths())["index"].oldest_age_seconds > 0.05
