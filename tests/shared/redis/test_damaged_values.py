"""Whatever stands under a key, and however far away its time is, the queue goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest
import pytest_asyncio

from shared.errors.passing import QueueUnavailable
from shared.queue import keys
from shared.queue.context import JobContext
from shared.queue.events import Claim
from shared.queue.jobs import FetchIndex
from shared.queue.producer import JobQueue
from shared.redis.client import RedisClient
from shared.redis.script import mark_stands, take_mark
from shared.redis.types import FAMILIES
from shared.worker.heartbeat import HeartbeatStore
from tests.shared.queue.queue_support import eventually, job, new_worker, queue_client, running
from tests.support.stores import RedisAddress

HOUR_MS = 3_600_000
Names = {
    "zset": ("ZADD", "1", "a"), "list": ("RPUSH", "a"), "hash": ("HSET", "a", "b"), "string": ("SET", "a"),
    "set": ("SADD", "a"), "stream": ("XADD", "*", "a", "b"),
}  # fmt: skip
SAMPLES = [
    ("orchard:queue:index", "zset"), ("orchard:queue:index:tokens", "list"),
    ("orchard:queue:index:dead", "list"),
    ("orchard:queue:index:rates:12", "hash"), ("orchard:queue:index:health-check", "string"),
    ("arq:job:x", "string"), ("arq:retry:x", "string"), ("orchard:claim:x", "string"),
    ("orchard:outcome:x", "string"), ("orchard:generation", "hash"), ("orchard:access", "hash"),
    ("orchard:advisories", "hash"),
    ("orchard:advisories:0", "string"),
    ("orchard:servings", "stream"), ("orchard:servings:bytes", "string"),
    ("orchard:traffic:a", "hash"), ("orchard:session:a", "string"), ("orchard:stored", "list"),
    ("orchard:grant:a", "string"), ("orchard:grants:1", "string"), ("orchard:issuer:a", "string"),
    ("orchard:builds", "zset"), ("orchard:build:a", "hash"),
    ("orchard:artifact_uses", "zset"), ("orchard:health", "zset"), ("orchard:health:fetcher:a", "string"),
    ("orchard:put:artifacts/a", "string"), ("orchard:sweep:artifacts/a", "string"),
    ("orchard:sweeper", "string"), ("orchard:sweeper:Evictor", "string"), ("orchard:scrub:cursor", "string"),
    ("orchard:artifact_metadata:pypi:x", "string"), ("orchard:artifact_fence:pypi:x", "string"),
    ("orchard:artifact_names:sha256:0", "string"),
    ("orchard:artifact_dependencies:pypi:x", "string"), ("orchard:dependency_resolution:pypi:x", "string"),
    ("orchard:upstream_sources:pypi:breakers:1", "set"), ("orchard:upstream_sources:pypi:revision", "string"),
    ("orchard:package_index:pypi:simple/flask", "string"), ("orchard:package_versions:pypi:x", "string"),
]  # fmt: skip


@pytest_asyncio.fixture
async def client(queue_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = queue_client(queue_redis)
    yield client
    await client.aclose()


@pytest.fixture
def queue(client: RedisClient) -> JobQueue:
    return JobQueue(client)


async def put(client: RedisClient, key: str, kind: str) -> None:
    command, *rest = Names[kind]
    await client.raw.execute_command(command, key, *rest)


async def once_mended(call: Callable[[], Awaitable[object]]) -> None:
    """The call goes through, at the latest soon after its first failure."""

    async def tried() -> bool:
        try:
            await call()
        except QueueUnavailable:
            return False
        return True

    await eventually(tried)


def test_families__each_has_a_sample() -> None:
    assert len(SAMPLES) == len(FAMILIES)


async def test_mend__each_family_with_each_type__only_the_right_one_stays(client: RedisClient) -> None:
    for kind in Names:
        for key, _ in SAMPLES:
            await client.raw.delete(key)
            await put(client, key, kind)
        await put(client, "orchard:of_a_later_version", kind)
        client.note_fault(Exception("WRONGTYPE"))
        await eventually(lambda: client._mending is None)
        left = {key for key, _ in SAMPLES if await client.raw.exists(key)}
        assert left == {key for key, right in SAMPLES if right == kind}
        assert await client.raw.delete("orchard:of_a_later_version")


@pytest.mark.parametrize("kind", Names)
@pytest.mark.parametrize(
    "key",
    [
        keys.queue_key("index"), keys.queue_key("refresh"), keys.tokens_key("index"), keys.dead_key("index"),
        keys.GENERATION_KEY, keys.claim_key(job().id), keys.outcome_key(job().id), keys.job_key(job().id),
        keys.tries_key(job().id),
    ],
)  # fmt: skip
async def test_queue__any_key_is_of_any_type__jobs_still_run(
    client: RedisClient, queue: JobQueue, key: str, kind: str
) -> None:
    await put(client, key, kind)
    ran = asyncio.Event()

    async def handler(_: JobContext, __: FetchIndex) -> None:
        ran.set()

    async with running(new_worker(client, handler, lease_seconds=0.5)):
        await once_mended(lambda: queue.enqueue(job()))
        for _ in range(100):  # as a waiter does, whose job was lost with its key
            if ran.is_set():
                break
            await once_mended(lambda: queue.enqueue(job()))
            await asyncio.sleep(0.1)
    assert ran.is_set()
    await once_mended(queue.depths)


async def test_health__of_another_type__is_written_again(client: RedisClient) -> None:
    store = HeartbeatStore(client)
    await put(client, "orchard:health", "list")
    await once_mended(lambda: store.write("fetcher:a", b"x"))
    assert await store.read_all() == [b"x"]


@pytest.mark.parametrize("last", ["9" * 30, "inf", "nan", "garbage", "", str(2**60), "-1"])
async def test_claim__the_last_generation_is_garbage__generations_still_rise(
    client: RedisClient, queue: JobQueue, last: str
) -> None:
    await client.raw.hset(keys.GENERATION_KEY, "last", last)  # type: ignore[misc]
    seen: list[int] = []

    async def handler(ctx: JobContext, __: FetchIndex) -> None:
        seen.append(ctx.generation)

    async with running(new_worker(client, handler)):
        for name in "abc":
            await queue.enqueue(job(name))
        await eventually(lambda: len(seen) == 3)
    assert len(set(seen)) == 3
    assert all(10**15 < each < 2**52 for each in seen)


@pytest.mark.parametrize("value", ["garbage", "9" * 30, ""])
@pytest.mark.parametrize("key", [keys.tries_key(job().id), keys.claim_key(job().id)])
async def test_claim__what_stands_there_is_garbage__the_job_runs(
    client: RedisClient, queue: JobQueue, key: str, value: str
) -> None:
    ran = asyncio.Event()

    async def handler(_: JobContext, __: FetchIndex) -> None:
        ran.set()

    await client.raw.set(key, value)  # without an expiry
    await queue.enqueue(job())
    async with running(new_worker(client, handler)):
        await eventually(ran.is_set)
        await eventually(lambda: _is_over(queue))


async def _is_over(queue: JobQueue) -> bool:
    return not await queue.is_known(job().id)


async def test_renew__one_claim_is_garbage__the_other_leases_are_kept(
    client: RedisClient, queue: JobQueue
) -> None:
    go_on = asyncio.Event()
    ended: list[str] = []

    async def handler(ctx: JobContext, __: FetchIndex) -> None:
        await go_on.wait()
        ended.append(ctx.job_id)

    worker = new_worker(client, handler, lease_seconds=0.6)
    async with running(worker):
        await queue.enqueue(job("a"))
        await queue.enqueue(job("b"))
        await eventually(lambda: worker.active == 2)
        await client.raw.set(keys.claim_key(job("a").id), b"\xc1garbage")
        await asyncio.sleep(1.0)  # several renewals
        go_on.set()
        await eventually(lambda: len(ended) >= 2)
    assert job("b").id in ended


async def test_settle__claim_of_a_dead_worker_an_hour_away__runs_after_a_lease(
    client: RedisClient, queue: JobQueue
) -> None:
    await queue.enqueue(job())
    claim = msgspec.msgpack.encode(Claim(1, "127.0.0.1:1", "token"))
    await client.raw.set(keys.claim_key(job().id), claim, px=HOUR_MS)  # as after the clock went back
    await client.raw.zincrby(keys.queue_key("index"), HOUR_MS, job().id)
    ran = asyncio.Event()

    async def handler(_: JobContext, __: FetchIndex) -> None:
        ran.set()

    async with running(new_worker(client, handler, lease_seconds=0.5)):
        await eventually(ran.is_set)


async def test_settle__a_deferred_job_an_hour_away__is_due_within_the_longest_deferral(
    client: RedisClient, queue: JobQueue
) -> None:
    await queue.enqueue(job(), defer_seconds=5)
    await client.raw.zincrby(keys.queue_key("index"), HOUR_MS, job().id)

    async def handler(_: JobContext, __: FetchIndex) -> None:
        raise AssertionError("not due")

    async def left() -> float:
        seconds, micros = await client.raw.time()
        score = await client.raw.zscore(keys.queue_key("index"), job().id)
        return float(score) - (seconds * 1000 + micros / 1000)

    async def within() -> bool:
        return await left() <= keys.LONGEST_DEFERRAL_MS

    async with running(new_worker(client, handler, lease_seconds=0.5)):
        await eventually(within)
        assert await left() > 0


async def test_settle__a_living_worker__keeps_its_job(client: RedisClient, queue: JobQueue) -> None:
    runs: list[int] = []
    go_on = asyncio.Event()

    async def handler(ctx: JobContext, __: FetchIndex) -> None:
        runs.append(ctx.generation)
        await go_on.wait()

    async with running(*(new_worker(client, handler, lease_seconds=0.5) for _ in range(2))):
        await queue.enqueue(job())
        await eventually(lambda: len(runs) == 1)
        await client.raw.pexpire(keys.claim_key(job().id), HOUR_MS)
        await client.raw.zincrby(keys.queue_key("index"), HOUR_MS, job().id)
        await asyncio.sleep(1.5)
        go_on.set()
        await eventually(lambda: _is_over(queue))
    assert len(runs) == 1


@pytest.mark.parametrize("left_ms", [None, HOUR_MS])
async def test_mark__lasts_longer_than_any_can__is_nobodys(client: RedisClient, left_ms: int | None) -> None:
    await client.raw.set("orchard:sweep:a", b"1", px=left_ms)
    assert not await mark_stands(client, "orchard:sweep:a", 60)
    assert await take_mark(client, "orchard:sweep:a", 60)
    assert await mark_stands(client, "orchard:sweep:a", 60)
    assert not await take_mark(client, "orchard:sweep:a", 60)


async def test_heartbeat__lasts_longer_than_any_can__is_not_a_living_workers(client: RedisClient) -> None:
    store = HeartbeatStore(client)
    await store.write("fetcher:dead", b"x")
    await client.raw.pexpire("orchard:health:fetcher:dead", HOUR_MS)
    assert await store.read_all() == []
