"""Jobs that were given up: seen without secrets, tried again with all their tries, dropped once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from shared.queue import keys
from shared.queue.context import JobContext
from shared.queue.dead import LONGEST_TEXT, DeadLetters
from shared.queue.jobs import FetchIndex
from shared.queue.producer import JobQueue
from shared.redis.client import RedisClient
from tests.shared.queue.queue_support import eventually, new_worker, queue_client, running
from tests.support.stores import RedisAddress


@pytest.fixture
async def client(queue_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = queue_client(queue_redis)
    yield client
    await client.aclose()


async def _bury(client: RedisClient, job: FetchIndex) -> None:
    """As if its workers had died: the job is given up at the next claim."""

    async def handler(ctx: JobContext, work: FetchIndex) -> None:
        raise AssertionError("a buried job is not run")

    before = (await JobQueue(client).depths())["index"].dead
    await JobQueue(client).enqueue(job)
    await client.raw.set(keys.tries_key(job.id), 3)
    async with running(new_worker(client, handler, max_tries=3)):

        async def buried() -> bool:
            return (await JobQueue(client).depths())["index"].dead == before + 1

        await eventually(buried)


async def test_list__newest_first_with_the_job_and_no_secret(client: RedisClient) -> None:
    await _bury(client, FetchIndex(protocol="pypi", identity="first"))
    secret = "https://user:s3cret@upstream.example.com/"  # pragma: allowlist secret
    await _bury(client, FetchIndex(protocol="pypi", identity="x" * 2000, base_url=secret))
    found = await DeadLetters(client).list("index")
    assert [each.fields["protocol"] for each in found] == ["pypi", "pypi"]
    assert len(found[0].fields["identity"]) == LONGEST_TEXT
    assert found[0].fields["base_url"] == "https://upstream.example.com/"
    assert "3 times" in found[1].letter.reason and found[1].fields["identity"] == "first"
    assert await DeadLetters(client).list("index", start=1) == found[1:]


async def test_retry__runs_again_and_its_letter_is_gone(client: RedisClient) -> None:
    job, runs = FetchIndex(protocol="pypi", identity="again"), []
    await _bury(client, job)
    letters = DeadLetters(client)
    (kept,) = await letters.list("index")
    assert await letters.find("index", kept.id) == kept
    assert await letters.retry("index", kept)
    assert await letters.list("index") == []

    async def handler(ctx: JobContext, work: FetchIndex) -> None:
        runs.append((work, ctx.try_number))

    async with running(new_worker(client, handler)):
        await eventually(lambda: bool(runs))
    assert runs == [(job, 1)]


async def test_retry__beside_the_same_job__is_not_accepted_twice(client: RedisClient) -> None:
    job = FetchIndex(protocol="pypi", identity="twice")
    await _bury(client, job)
    (kept,) = await DeadLetters(client).list("index")
    await JobQueue(client).enqueue(job)
    assert not await DeadLetters(client).retry("index", kept)
    assert (await JobQueue(client).depths())["index"].ready == 1


async def test_retry__a_background_refresh_of_it_waits__it_moves_and_lies_in_one_queue(
    client: RedisClient,
) -> None:
    await _bury(client, FetchIndex(protocol="pypi", identity="both"))
    (kept,) = await DeadLetters(client).list("index")
    await JobQueue(client).enqueue(FetchIndex(protocol="pypi", identity="both", background=True))
    assert not await DeadLetters(client).retry("index", kept)
    depths = await JobQueue(client).depths()
    assert (depths["index"].ready, depths["refresh"].ready) == (1, 0)


async def test_drop__once(client: RedisClient) -> None:
    await _bury(client, FetchIndex(protocol="pypi", identity="gone"))
    (kept,) = await DeadLetters(client).list("index")
    assert await DeadLetters(client).drop("index", kept)
    assert not await DeadLetters(client).drop("index", kept)
    assert (await JobQueue(client).depths())["index"].dead == 0


async def test_asked_for_again_and_again__one_letter_that_counts(client: RedisClient) -> None:
    job = FetchIndex(protocol="pypi", identity='many/"\\é')
    await _bury(client, job)
    await _bury(client, FetchIndex(protocol="pypi", identity="other"))
    (first,) = [each for each in await DeadLetters(client).list("index") if each.letter.job_id == job.id]

    async def handler(ctx: JobContext, work: FetchIndex) -> None:
        raise AssertionError("a buried job is not run")

    worker = new_worker(client, handler)
    async with running(worker):
        for number in range(5):
            await JobQueue(client).enqueue(job)
            await eventually(lambda number=number: worker.jobs_failed == number + 1)
    again, _ = await DeadLetters(client).list("index")
    assert (again.id, again.letter.count, again.fields) == (first.id, 6, first.fields)
    assert (again.letter.tries, again.letter.reason) == (first.letter.tries, first.letter.reason)
    assert abs((again.letter.since or 0) - first.letter.at) < 0.01 and again.letter.at >= first.letter.at


@pytest.mark.parametrize("how", ["drop", "retry"])
async def test_several_letters_of_one_job_that_older_versions_wrote__go_together(
    client: RedisClient, how: str
) -> None:
    job = FetchIndex(protocol="pypi", identity="old")
    for at in range(3):
        old = {"job_id": job.id, "reason": "r", "tries": 4 + at, "at": float(at)}
        written = msgspec.json.encode({**old, "payload": keys.encode_job(job)})
        await client.raw.lpush(keys.dead_key("index"), written)  # type: ignore[misc]
    await _bury(client, FetchIndex(protocol="pypi", identity="other"))
    kept = (await DeadLetters(client).list("index"))[-1]
    assert await getattr(DeadLetters(client), how)("index", kept)
    assert [each.fields["identity"] for each in await DeadLetters(client).list("index")] == ["other"]


async def test_letter_of_an_older_version_and_nonsense__are_no_trouble(client: RedisClient) -> None:
    old = msgspec.json.encode({"job_id": "j", "reason": "r", "tries": 4, "at": 1.0})
    await client.raw.lpush(keys.dead_key("index"), b"nonsense", old)  # type: ignore[misc]
    (kept,) = await DeadLetters(client).list("index")
    assert (kept.letter.job_id, kept.letter.payload, kept.fields) == ("j", b"", {})
