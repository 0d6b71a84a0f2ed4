"""The worker's side of the queue: slots, leases, endings, draining."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from shared.errors.catalogue import from_value
from shared.errors.passing import UpstreamTimeout, UpstreamUnavailable
from shared.queue import keys, scripts
from shared.queue.context import Deferred, JobContext
from shared.queue.dead import DeadLetters
from shared.queue.events import Claim
from shared.queue.jobs import FetchIndex, RenderIndex
from shared.queue.producer import JobQueue
from shared.queue.rates import read_rates
from shared.redis.client import RedisClient
from shared.telemetry import metrics
from tests.shared.queue.queue_support import eventually, job, new_worker, queue_client, running
from tests.support.stores import RedisAddress

EMPTY = keys.QueueDepth(0, 0, 0, 0, 0.0)


@pytest_asyncio.fixture
async def client(queue_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = queue_client(queue_redis)
    yield client
    await client.aclose()


@pytest.fixture
def queue(client: RedisClient) -> JobQueue:
    return JobQueue(client)


class Holding:
    """A handler that notes its runs and holds each until released."""

    def __init__(self) -> None:
        self.runs: list[JobContext] = []
        self.release = asyncio.Event()
        self.cancelled = 0

    async def __call__(self, ctx: JobContext, job: FetchIndex) -> None:
        self.runs.append(ctx)
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def claim_of(queue: JobQueue, job_id: str) -> Claim | None:
    return (await queue.read_state(job_id))[0]


# --- running and ending -------------------------------------------------------------------------


async def test_worker__job__arrives_as_queued_with_the_claim_that_gateways_read(
    client: RedisClient, queue: JobQueue
) -> None:
    handler = Holding()
    async with running(new_worker(client, handler, address="10.0.0.1:9")):
        await queue.enqueue(job("flask"))
        await eventually(lambda: len(handler.runs) == 1)

        run = handler.runs[0]
        assert run.job == job("flask")
        assert (run.job_id, run.try_number, run.is_current()) == (job("flask").id, 1, True)
        assert run.claim == await claim_of(queue, run.job_id)
        assert run.claim.address == "10.0.0.1:9"
        assert len(run.claim.token) == 40
        handler.release.set()


async def test_worker__job_done__nothing_of_it_remains(client: RedisClient, queue: JobQueue) -> None:
    handler = Holding()
    handler.release.set()
    worker = new_worker(client, handler)
    async with running(worker):
        await queue.enqueue(job())
        await eventually(lambda: worker.jobs_complete == 1 and worker.active == 0)

        assert (await queue.depths())["index"] == EMPTY
        assert not await client.raw.keys("arq:*")
        assert await claim_of(queue, job().id) is None
        assert await queue.enqueue(job())  # the id is free again
        await eventually(lambda: worker.jobs_complete == 2)
    assert handler.runs[1].generation > handler.runs[0].generation


async def has_ended(queue: JobQueue) -> bool:
    claim, outcome = await queue.read_state(job().id)
    return claim is None and outcome is not None


async def test_worker__what_ends_a_run__told_counted_and_followed_in_one_step(
    client: RedisClient, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        ctx.follow(RenderIndex("pypi", "a"), defer_seconds=60)
        ctx.follow(RenderIndex("pypi", "b"))
        ctx.follow(RenderIndex("pypi", "b"))  # joins
        ctx.done(size_bytes=5)
        for other in (scripts.ENQUEUE, scripts.PUBLISH):
            monkeypatch.delattr(other, "sha")  # what calls it from here on fails

    await queue.enqueue(job())
    async with running(new_worker(client, handler)):
        await eventually(lambda: has_ended(queue))
    _, outcome = await queue.read_state(job().id)
    assert outcome is not None and (outcome.kind, outcome.size_bytes) == ("done", 5)
    depth = (await queue.depths())["index"]
    assert (depth.ready, depth.deferred) == (1, 1)
    counted = (await read_rates(client))["index"][0]
    assert (counted.enqueued, counted.finished, counted.failed) == (3, 1, 0)


@pytest.mark.parametrize("fails", [False, True])
async def test_worker__a_run_fails_after_all__the_failure_is_told_and_what_follows_is_queued(
    client: RedisClient, queue: JobQueue, fails: bool
) -> None:
    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        ctx.follow(RenderIndex("pypi", "a"), defer_seconds=60)
        ctx.done()
        if fails:
            raise UpstreamUnavailable("away")

    await queue.enqueue(job())
    async with running(new_worker(client, handler)):
        await eventually(lambda: has_ended(queue))
    _, outcome = await queue.read_state(job().id)
    assert outcome is not None and outcome.kind == ("failed" if fails else "done")
    assert (await queue.depths())["index"].deferred == 1


async def test_worker__handler_raises_an_orchard_error__waiters_are_told_its_value(
    client: RedisClient, queue: JobQueue
) -> None:
    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        raise UpstreamTimeout("no answer in 60 s", retry_after_seconds=7)

    worker = new_worker(client, handler)
    async with running(worker):
        await queue.enqueue(job())
        await eventually(lambda: worker.jobs_failed == 1 and worker.active == 0)

    _, event = await queue.read_state(job().id)
    assert event is not None
    assert event.kind == "failed"
    assert event.error == UpstreamTimeout("no answer in 60 s", retry_after_seconds=7).to_value()
    assert (await queue.depths())["index"] == EMPTY


async def test_worker__handler_raises_anything_else__is_internal_error_logged_once(
    client: RedisClient, queue: JobQueue
) -> None:
    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        raise ValueError("a defect with https://user:secret@host in it")

    worker = new_worker(client, handler)
    with capture_logs() as logs:
        async with running(worker):
            await queue.enqueue(job())
            await eventually(lambda: worker.jobs_failed == 1 and worker.active == 0)

    _, event = await queue.read_state(job().id)
    assert event is not None
    assert event.error is not None
    assert event.error.code == "internal_error"
    assert "secret" not in event.error.message
    assert [entry["log_level"] for entry in logs if entry["log_level"] == "error"] == ["error"]


@pytest.mark.parametrize(
    "lack", [MemoryError(), RuntimeError("can't start new thread"), OSError(errno.EMFILE, "too many")]
)
async def test_worker__handler_lacks_something_of_its_own__is_passing_and_says_what(
    client: RedisClient, queue: JobQueue, lack: Exception
) -> None:
    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        raise lack

    worker = new_worker(client, handler)
    async with running(worker):
        await queue.enqueue(job())
        await eventually(lambda: worker.jobs_failed == 1 and worker.active == 0)

    _, event = await queue.read_state(job().id)
    assert event is not None and event.error is not None
    assert (event.error.code, from_value(event.error).status) == ("unavailable", 503)
    assert "this process" in event.error.message and event.error.retry_after_seconds


async def test_worker__done_just_as_a_waiter_enqueues__the_waiter_sees_the_outcome(
    client: RedisClient, queue: JobQueue
) -> None:
    seen: list[object] = []

    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        await ctx.publish("done")
        joined = await queue.enqueue(job)  # told, but not yet out of the queue
        seen.append(joined.accepted)
        assert joined.outcome is not None and joined.outcome.generation > joined.before
        seen.append(joined.outcome.kind)

    worker = new_worker(client, handler)
    async with running(worker):
        await queue.enqueue(job())
        await eventually(lambda: worker.jobs_complete == 1 and worker.active == 0)
        _, event = await queue.read_state(job().id)
        assert event is not None
        assert [*seen, event.kind] == [False, "done", "done"]


async def test_worker__deferred_job__runs_when_due(client: RedisClient, queue: JobQueue) -> None:
    handler = Holding()
    handler.release.set()
    async with running(new_worker(client, handler)):
        before = time.monotonic()
        await queue.enqueue(job(), defer_seconds=0.5)
        await eventually(lambda: len(handler.runs) == 1)
        assert time.monotonic() - before >= 0.5


async def test_worker__arqs_health_key__is_written(client: RedisClient) -> None:
    async with running(new_worker(client, Holding())):
        await eventually(lambda: health_key_stands(client))


async def health_key_stands(client: RedisClient) -> bool:
    return bool(await client.raw.exists("orchard:queue:index:health-check"))


# --- slots --------------------------------------------------------------------------------------


async def test_workers__12_with_10_slots__run_120_of_120_at_once(
    client: RedisClient, queue: JobQueue
) -> None:
    handler = Holding()
    workers = [new_worker(client, handler, lease_seconds=60) for _ in range(12)]
    async with running(*workers):
        await asyncio.gather(*(queue.enqueue(job(f"project-{n}")) for n in range(130)))
        await eventually(lambda: len(handler.runs) == 120)

        assert [worker.active for worker in workers] == [10] * 12
        depth = (await queue.depths())["index"]
        assert (depth.ready, depth.running) == (10, 120)
        handler.release.set()
        await eventually(lambda: len(handler.runs) == 130)


async def test_worker__all_slots_busy__asks_for_no_more_jobs(client: RedisClient, queue: JobQueue) -> None:
    handler = Holding()
    worker = new_worker(client, handler, slots=2, lease_seconds=60)
    async with running(worker):
        for number in range(6):
            await queue.enqueue(job(f"project-{number}"))
        await eventually(lambda: worker.active == 2)
        await client.raw.config_resetstat()
        await asyncio.sleep(1.2)
        # Valkey counts subcommands apart: "cmdstat_config|resetstat".
        counted = {name.partition("|")[0] for name in await client.raw.info("commandstats")}
        assert counted <= {"cmdstat_config", "cmdstat_info"}
        handler.release.set()
        await eventually(lambda: worker.jobs_complete == 6)


# --- leases -------------------------------------------------------------------------------------


async def test_worker__job_longer_than_its_lease__is_renewed_and_runs_once(
    client: RedisClient, queue: JobQueue
) -> None:
    handler = Holding()
    first = new_worker(client, handler, lease_seconds=0.6)
    second = new_worker(client, handler, lease_seconds=0.6)
    async with running(first, second):
        await queue.enqueue(job())
        await eventually(lambda: len(handler.runs) == 1)
        await asyncio.sleep(2.0)

        assert len(handler.runs) == 1
        assert handler.runs[0].claim == await claim_of(queue, job().id)
        handler.release.set()


async def test_worker__all_slots_busy_past_the_lease__jobs_still_count_as_running(
    client: RedisClient, queue: JobQueue
) -> None:
    handler = Holding()
    async with running(new_worker(client, handler, slots=2, lease_seconds=0.6)):
        await asyncio.gather(queue.enqueue(job("a")), queue.enqueue(job("b")))
        await eventually(lambda: len(handler.runs) == 2)
        await asyncio.sleep(1.2)
        depth = (await queue.depths())["index"]
        assert (depth.ready, depth.running) == (0, 2)
        handler.release.set()


async def test_worker__another_holds_the_claim__handler_is_cancelled_and_nothing_ended(
    client: RedisClient, queue: JobQueue
) -> None:
    handler = Holding()
    async with running(new_worker(client, handler, lease_seconds=0.6)):
        await queue.enqueue(job())
        await eventually(lambda: len(handler.runs) == 1)
        run = handler.runs[0]
        newer = Claim(run.generation + 1, "127.0.0.1:2", "other")
        await client.raw.set(keys.claim_key(run.job_id), msgspec.msgpack.encode(newer))

        await eventually(lambda: handler.cancelled == 1)
        assert run.lease_lost.is_set()
        assert not run.is_current()
        assert not await run.publish("done")
        assert await claim_of(queue, run.job_id) == newer
        assert await client.raw.exists("arq:job:" + run.job_id) == 1


async def test_worker__same_id_in_the_other_queue__waits_for_the_standing_claim(
    client: RedisClient, queue: JobQueue
) -> None:
    held, refreshed = Holding(), Holding()
    async with running(
        new_worker(client, held, queue="index", lease_seconds=1.0),
        new_worker(client, refreshed, queue="refresh", lease_seconds=1.0),
    ):
        await queue.enqueue(job())
        await eventually(lambda: len(held.runs) == 1)
        await client.raw.zadd(keys.queue_key("refresh"), {job().id: 1})
        await asyncio.sleep(1.5)

        assert refreshed.runs == []
        held.release.set()
        await eventually(lambda: refresh_is_empty(client))
        assert refreshed.runs == []


async def refresh_is_empty(client: RedisClient) -> bool:
    return not await client.raw.zcard(keys.queue_key("refresh"))


async def test_worker__own_clock_an_hour_ahead__keeps_leases_and_order(
    client: RedisClient, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    handler = Holding()
    async with running(new_worker(client, handler, lease_seconds=1.0), new_worker(client, handler)):
        await queue.enqueue(job())
        await queue.enqueue(job("later"), defer_seconds=30)
        await eventually(lambda: len(handler.runs) == 1)
        await asyncio.sleep(1.5)

        assert len(handler.runs) == 1
        depth = (await queue.depths())["index"]
        assert (depth.running, depth.deferred) == (1, 1)
        handler.release.set()


# --- unknown and broken jobs --------------------------------------------------------------------


async def put(client: RedisClient, job_id: str, fields: dict[str, object], *, due_ms: float = 1) -> None:
    """A queued job as another version would write it."""
    await client.raw.set("arq:job:" + job_id, msgspec.msgpack.encode(fields))
    await client.raw.zadd(keys.queue_key("index"), {job_id: due_ms})


@pytest.mark.parametrize(
    "fields",
    [
        {"t": None, "f": "invented_later", "a": [1], "k": {}, "et": 1},
        {"t": None, "f": "fetch_index", "a": [2], "k": {}, "et": 1},
    ],
)
async def test_worker__unknown_kind_or_format__stays_queued_logged_once_and_lets_others_by(
    client: RedisClient, queue: JobQueue, fields: dict[str, object]
) -> None:
    for number in range(40):
        await put(client, f"new:{number}", fields)
    handler = Holding()
    handler.release.set()
    with capture_logs() as logs:
        async with running(new_worker(client, handler, slots=4)):
            await queue.enqueue(job())
            await eventually(lambda: len(handler.runs) == 1)
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == [
        "a job of an unknown kind stays queued"
    ]
    assert await client.raw.zcard(keys.queue_key("index")) == 40
    assert await client.raw.exists("arq:job:new:0") == 1
    assert not await client.raw.keys("arq:retry:*")  # never claimed


async def test_worker__unknown_jobs_just_queued__are_passed_over_and_left_where_they_are(
    client: RedisClient, queue: JobQueue
) -> None:
    seconds, micros = await client.raw.time()
    now_ms = seconds * 1000 + micros / 1000
    for number in range(100):
        fields: dict[str, object] = {"t": None, "f": "invented_later", "a": [1], "k": {}, "et": 1}
        await put(client, f"new:{number}", fields, due_ms=now_ms)
    handler = Holding()
    handler.release.set()
    async with running(new_worker(client, handler, slots=1)):
        await queue.enqueue(job())
        await eventually(lambda: len(handler.runs) == 1, within=1.0)
    unmoved = await client.raw.zcount(keys.queue_key("index"), now_ms, now_ms)
    assert unmoved == 100


async def test_worker__known_kind_that_cannot_be_read__is_dead_lettered(
    client: RedisClient, queue: JobQueue
) -> None:
    await put(client, "j", {"t": None, "f": "fetch_index", "a": [1], "k": {"job": "fetch_index"}, "et": 1})
    worker = new_worker(client, Holding())
    async with running(worker):
        await eventually(lambda: worker.jobs_failed == 1 and worker.active == 0)

    letters = [each.letter for each in await DeadLetters(client).list("index")]
    assert [letter.job_id for letter in letters] == ["j"]
    assert "cannot be read" in letters[0].reason


async def test_worker__payload_expired__entry_is_dropped(client: RedisClient, queue: JobQueue) -> None:
    await client.raw.zadd(keys.queue_key("index"), {"gone": 1})
    async with running(new_worker(client, Holding())):
        await eventually(lambda: index_is_empty(queue))


async def index_is_empty(queue: JobQueue) -> bool:
    return (await queue.depths())["index"] == EMPTY


# --- draining -----------------------------------------------------------------------------------


async def test_drain__job_ends_in_time__is_completed(client: RedisClient, queue: JobQueue) -> None:
    handler = Holding()
    worker = new_worker(client, handler)
    task = asyncio.create_task(worker.run())
    await queue.enqueue(job())
    await eventually(lambda: len(handler.runs) == 1)
    asyncio.get_running_loop().call_later(0.2, handler.release.set)

    await worker.drain(5.0)
    await task
    assert (handler.cancelled, worker.jobs_complete) == (0, 1)
    assert (await queue.depths())["index"] == EMPTY


async def test_drain__jobs_unfinished__are_due_at_once_elsewhere_without_counting_the_try(
    client: RedisClient, queue: JobQueue
) -> None:
    leaving, staying = Holding(), Holding()
    worker = new_worker(client, leaving, lease_seconds=60)
    task = asyncio.create_task(worker.run())
    await queue.enqueue(job("a"))
    await queue.enqueue(job("b"))
    await eventually(lambda: len(leaving.runs) == 2)

    await worker.drain(0.1)
    await task
    assert leaving.cancelled == 2
    assert (await queue.depths())["index"].ready == 2
    async with running(new_worker(client, staying)):
        await eventually(lambda: len(staying.runs) == 2)
        assert [run.try_number for run in staying.runs] == [1, 1]
        assert min(run.generation for run in staying.runs) > max(run.generation for run in leaving.runs)
        staying.release.set()


async def test_drain__idle__claims_no_more(client: RedisClient, queue: JobQueue) -> None:
    handler = Holding()
    worker = new_worker(client, handler)
    task = asyncio.create_task(worker.run())
    await eventually(lambda: health_key_stands(client))

    await worker.drain(5.0)
    await task
    await queue.enqueue(job())
    await asyncio.sleep(0.1)
    assert (handler.runs, (await queue.depths())["index"].ready) == ([], 1)


async def test_run__cancelled__gives_unfinished_jobs_back(client: RedisClient, queue: JobQueue) -> None:
    handler = Holding()
    worker = new_worker(client, handler, lease_seconds=60)
    task = asyncio.create_task(worker.run())
    await queue.enqueue(job())
    await eventually(lambda: len(handler.runs) == 1)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await queue.depths())["index"].ready == 1


async def test_worker__deferred_job__frees_its_slot_and_runs_again_when_wanted(
    client: RedisClient, queue: JobQueue
) -> None:
    tries: list[int] = []

    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        tries.append(ctx.try_number)
        if len(tries) < 6:  # more often than a job may kill its workers
            raise Deferred(30.0)

    worker = new_worker(client, handler)
    async with running(worker):
        await queue.enqueue(job("flask"))
        for count in range(1, 6):

            def deferred(count: int = count) -> bool:
                return len(tries) == count and worker.active == 0

            await eventually(deferred)
            assert (await queue.depths(["index"]))["index"].deferred == 1
            assert await claim_of(queue, job("flask").id) is None
            await queue.enqueue(job("flask"))
        await eventually(lambda: len(tries) == 6)
        await eventually(lambda: worker.active == 0)
        assert tries == [1] * 6
        assert (await queue.depths(["index"]))["index"] == EMPTY


async def test_worker__jobs__are_counted_with_their_wait_and_outcome(
    client: RedisClient, queue: JobQueue
) -> None:
    def count(name: str, **labels: str) -> float:
        return metrics.REGISTRY.get_sample_value(name, {"task": "fetch_index", **labels}) or 0.0

    async def handler(_: JobContext, wanted: FetchIndex) -> None:
        if wanted.identity.endswith("bad"):
            raise UpstreamTimeout("it was silent")

    def figures() -> list[float]:
        return [
            count("orchard_jobs_enqueued_total", result="accepted"),
            count("orchard_jobs_enqueued_total", result="coalesced"),
            count("orchard_job_duration_seconds_count", outcome="done"),
            count("orchard_job_duration_seconds_count", outcome="failed"),
            count("orchard_job_wait_seconds_count"),
        ]

    before, waited = figures(), count("orchard_job_wait_seconds_sum")
    for name in ("flask", "flask", "bad"):
        await queue.enqueue(job(name))
    await asyncio.sleep(0.1)
    async with running(new_worker(client, handler)):
        await eventually(lambda: count("orchard_job_wait_seconds_count") == before[4] + 2)
    assert [now - then for now, then in zip(figures(), before, strict=True)] == [2, 1, 1, 1, 2]
    assert count("orchard_job_wait_seconds_sum") - waited >= 0.2
