"""What arq's own tools say of our queues: as docs/decisions/0002 tells."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import msgspec
import pytest
from arq.jobs import DeserializationError, JobStatus, serialize_job
from arq.jobs import Job as ArqJob

from shared.queue import keys, worker
from shared.queue.context import JobContext
from shared.queue.jobs import FetchIndex
from shared.queue.producer import JobQueue
from shared.redis.client import RedisClient
from tests.shared.queue.queue_support import eventually, job, new_worker, running
from tests.support.stores import RedisAddress

SETTINGS = """
from arq.connections import RedisSettings

class Index:
    queue_name = "orchard:queue:index"
    redis_settings = RedisSettings(
        host={host!r}, port={port}, database={db}, password={password!r}, conn_timeout=30
    )
"""


async def arq_check(folder: Path, redis: RedisAddress) -> tuple[int, str]:
    """`arq --check queues.Index`: its exit code and what it says."""
    where = {"host": redis.host, "port": redis.port, "db": redis.db, "password": redis.password}
    (folder / "queues.py").write_text(SETTINGS.format(**where))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from arq.cli import cli; cli()", "--check", "queues.Index",
        cwd=folder,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


def arq_job(client: RedisClient) -> ArqJob:
    return ArqJob(
        job().id, client.raw, _queue_name="orchard:queue:index", _deserializer=msgspec.msgpack.decode
    )


async def test_check__says_whether_a_worker_of_the_queue_lives__also_when_all_slots_are_taken(
    client: RedisClient, queue_redis: RedisAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BEAT_SECONDS", 0.1)
    started, hold = asyncio.Event(), asyncio.Event()

    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        started.set()
        await hold.wait()

    code, said = await arq_check(tmp_path, queue_redis)
    assert (code, "Health check failed" in said) == (1, True)
    async with running(new_worker(client, handler, slots=1)):
        await JobQueue(client).enqueue(job())
        await started.wait()
        await client.raw.delete("orchard:queue:index:health-check")
        await eventually(lambda: sign_of_life(client), within=30)
        code, said = await arq_check(tmp_path, queue_redis)
        assert (code, "j_ongoing=1" in said) == (0, True)
        assert 25_000 < await client.raw.pttl("orchard:queue:index:health-check") <= 31_000
        hold.set()


async def sign_of_life(client: RedisClient) -> bool:
    """Of the worker as it is now: one that was being written meanwhile knows of no job yet."""
    return b"j_ongoing=1" in (await client.raw.get("orchard:queue:index:health-check") or b"")


async def test_job_info__tells_what_lies_in_the_queue__with_our_deserializer(
    client: RedisClient, queue: JobQueue
) -> None:
    assert await arq_job(client).info() is None
    await queue.enqueue(job("requests"))

    info = await arq_job(client).info()
    assert info is not None
    assert (info.function, info.args) == ("fetch_index", [1])
    assert info.kwargs == {"job": "fetch_index", "protocol": "pypi", "identity": "requests"}
    assert abs(info.enqueue_time.timestamp() - time.time()) < 60
    assert info.score is not None and abs(info.score / 1000 - time.time()) < 60
    with pytest.raises(DeserializationError):  # arq's own is pickle
        await ArqJob(job().id, client.raw, _queue_name="orchard:queue:index").info()


async def test_job_status__knows_waiting_from_deferred_but_calls_a_running_job_deferred(
    client: RedisClient, queue: JobQueue
) -> None:
    statuses: list[JobStatus] = []

    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        statuses.append(await arq_job(client).status())
        await ctx.publish("done")

    assert await arq_job(client).status() == JobStatus.not_found
    await queue.enqueue(job(), defer_seconds=30)
    assert await arq_job(client).status() == JobStatus.deferred
    await queue.enqueue(job())
    await asyncio.sleep(0.01)  # arq compares with its own clock, in milliseconds
    assert await arq_job(client).status() == JobStatus.queued
    running_worker = new_worker(client, handler)
    async with running(running_worker):
        await eventually(lambda: running_worker.jobs_complete == 1 and running_worker.active == 0)
    assert statuses == [JobStatus.deferred], "its lease is its due time; arq knows no claims"
    assert await arq_job(client).status() == JobStatus.not_found
    assert await arq_job(client).result_info() is None, "no results are kept"


async def test_payload__is_what_arq_would_have_written(client: RedisClient, queue: JobQueue) -> None:
    await queue.enqueue(job())
    raw = await client.raw.get(keys.job_key(job().id))
    fields = msgspec.to_builtins(job())
    at = msgspec.msgpack.decode(raw)["et"]
    assert raw == serialize_job(
        "fetch_index", (1,), fields, None, at, serializer=msgspec.msgpack.Encoder().encode
    )
