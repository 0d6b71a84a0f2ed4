"""Two versions beside one another on one Redis: each runs what the other enqueued and hears how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.queue.context import JobContext
from shared.queue.jobs import (
    MANIFESTS,
    PROJECTS,
    QUEUES,
    AnyJob,
    DateArtifact,
    DescribeArtifact,
    Ensure,
    ExtractDependencies,
    FetchArtifact,
    FetchIndex,
    Job,
    MakeBundle,
    RenderIndex,
    RenderView,
    Resolve,
    SealBuild,
    SealLock,
    StoredJob,
)
from shared.queue.listener import EventListener
from shared.queue.producer import JobQueue
from shared.queue.waiting import JobWaiter
from shared.queue.worker import QueueWorker
from shared.redis.client import RedisClient
from tests.shared.queue.queue_support import ROOT, running
from tests.support.stores import RedisAddress

EARLIER = "9d17cb916a86a5cf7edae6e04310bdffea1c1393"
"""The end of the round before; `earlier_version.py` is written for it."""

FILE = {"protocol": "pypi", "project": "flask", "file_id": "0" * 64, "filename": "flask-1.0.whl"}
JOBS: tuple[AnyJob, ...] = (
    FetchIndex("pypi", "simple/flask", base_url="http://a.example.com", request_id="r", via="v"),
    FetchIndex("pypi", "simple/django", background=True),
    RenderIndex("npm", "left-pad", base_url="http://a.example.com", request_id="r"),
    FetchArtifact(**FILE, request_id="r", via="v", abandonable=True),
    DescribeArtifact(**FILE, request_id="r", via="v"),
    ExtractDependencies(**FILE, sha256="1" * 64, request_id="r"),
    Resolve(
        "pypi", "2" * 64, "3" * 64, ("flask>1",), 5, True, "linux", "2026-01-01", refresh=True, request_id="r"
    ),
    Ensure("4" * 64, '{"pypi": {}}', refresh=True, request_id="r"),
    Resolve("npm", "5" * 64, requirements=("a@1",), request_id="r", project='{"overrides":{"b":"1"}}'),
    Ensure("6" * 64, "{}", request_id="r", protocols=("npm", PROJECTS)),
    Resolve("npm", "7" * 64, requirements=("a@1",), request_id="r", project='{"manifest":{"name":"b"}}'),
    Ensure("8" * 64, "{}", request_id="r", protocols=("npm", MANIFESTS)),
    RenderView("pypi", "simple/flask", "at-2026-01-01", "html", request_id="r"),
    DateArtifact(**FILE, request_id="r", via="v"),
    SealBuild("b" * 32, request_id="r"),
    SealLock("c" * 64, "http://orchard.invalid", request_id="r"),
    MakeBundle("b" * 32, 40, request_id="r"),
)

SPOKEN = tuple(job for job in JOBS if not isinstance(job, StoredJob))
"""Of a protocol, which a worker must speak."""


class FetchLater(FetchArtifact, frozen=True, tag="fetch_later"):
    """Of a kind that the earlier version does not know."""


class DescribeLater(DescribeArtifact, frozen=True, tag="describe_artifact"):
    """Of a kind that it knows, with a field that it does not."""

    hint: str = ""


LATER: tuple[Any, ...] = (FetchLater(**FILE, request_id="r", via="v"),)


@pytest.fixture(scope="session")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the earlier version."""
    packed = subprocess.run(["git", "archive", EARLIER, "shared"], cwd=ROOT, capture_output=True)
    if packed.returncode:
        pytest.skip("the history of this repository is not here")
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


class Earlier:
    """A process of the earlier version."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def hear(self) -> Any:
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            while line := await self.process.stdout.readline():
                with contextlib.suppress(ValueError):  # a line of its log
                    return json.loads(line)
        raise AssertionError("it ended")

    def tell(self, what: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what).encode() + b"\n")


@contextlib.asynccontextmanager
async def earlier_process(tree: Path, redis: RedisAddress, role: str) -> AsyncIterator[Earlier]:
    where = {"host": redis.host, "port": redis.port, "db": redis.db, "password": redis.password}
    process = await asyncio.create_subprocess_exec(
        sys.executable, Path(__file__).with_name("earlier_version.py"), role,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "QUEUE_TEST_REDIS": json.dumps(where)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Earlier(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # closes its pipes now, not at some GC


def workers(
    client: RedisClient, ran: list[tuple[int, Any]], *, protocols: Sequence[str] = ()
) -> list[QueueWorker]:
    """This version's: one for each queue, for all kinds."""

    async def handler(ctx: JobContext, job: Job) -> None:
        ran.append((ctx.generation, msgspec.to_builtins(job)))
        await ctx.publish("done")

    return [
        QueueWorker(
            redis=client,
            queue=queue,
            slots=4,
            handlers={type(job): handler for job in (*JOBS, *LATER)},
            address=lambda: "127.0.0.1:2",
            lease_seconds=1.0,
            protocols=protocols,
        )
        for queue in QUEUES
    ]


def of_protocol(job: AnyJob, protocol: str) -> AnyJob:
    """The same job for another protocol."""
    if isinstance(job, Ensure):
        return msgspec.structs.replace(job, protocols=("pypi", protocol))
    return msgspec.structs.replace(job, protocol=protocol)


def test_jobs__every_kind_is_tried() -> None:
    assert {type(job) for job in JOBS} == set(AnyJob.__args__)


async def test_enqueued_by_the_earlier__run_by_this_one_and_told_back(
    earlier: Path, queue_redis: RedisAddress, client: RedisClient
) -> None:
    ran: list[tuple[int, Any]] = []
    async with earlier_process(earlier, queue_redis, "enqueue") as other, running(*workers(client, ran)):
        other.tell([msgspec.to_builtins(job) for job in JOBS])
        for job in JOBS:
            assert await other.hear() == {"id": job.id, "enqueued": True}
            ended = await other.hear()
            assert ended == {"id": job.id, "kind": "done", "generation": ran[-1][0]}
            assert ran[-1][1] == msgspec.to_builtins(job)
    assert len(ran) == len(JOBS)


async def test_enqueued_by_this_one__run_by_the_earlier_and_heard(
    earlier: Path, queue_redis: RedisAddress, queue: JobQueue, listener: EventListener
) -> None:
    waiter = JobWaiter(queue, listener)
    async with earlier_process(earlier, queue_redis, "work") as other:
        assert await other.hear() == "ready"
        for job in JOBS:
            event = await waiter.wait(job, timeout=20)
            ran = await other.hear()
            assert (event.kind, event.generation) == ("done", ran["generation"])
            assert ran["fields"] == json.loads(msgspec.json.encode(job))


async def test_field_that_the_earlier_does_not_know__passed_over(
    earlier: Path, queue_redis: RedisAddress, queue: JobQueue, listener: EventListener
) -> None:
    async with earlier_process(earlier, queue_redis, "work") as other:
        assert await other.hear() == "ready"
        asked: Any = DescribeLater(**FILE, hint="of a later version")
        assert (await JobWaiter(queue, listener).wait(asked, timeout=20)).kind == "done"
        known = DescribeArtifact(**FILE)
        assert (await other.hear())["fields"] == json.loads(msgspec.json.encode(known))


async def test_a_worker_of_the_earlier_is_killed_in_the_job__this_one_runs_it_under_a_newer_generation(
    earlier: Path, queue_redis: RedisAddress, client: RedisClient, queue: JobQueue, listener: EventListener
) -> None:
    ran: list[tuple[int, Any]] = []
    waiting = asyncio.create_task(JobWaiter(queue, listener).wait(JOBS[0], timeout=20))
    async with earlier_process(earlier, queue_redis, "hold") as other:
        assert await other.hear() == "ready"
        lost = await other.hear()
    async with running(*workers(client, ran)):
        event = await waiting
    assert event.kind == "done"
    assert event.generation == ran[0][0] > lost["generation"]


async def test_of_a_kind_that_the_earlier_does_not_know__left_to_this_one(
    earlier: Path, queue_redis: RedisAddress, client: RedisClient, queue: JobQueue, listener: EventListener
) -> None:
    ran: list[tuple[int, Any]] = []
    waiter = JobWaiter(queue, listener)
    async with earlier_process(earlier, queue_redis, "work") as other:
        assert await other.hear() == "ready"
        async with running(*workers(client, ran)):
            ended = await asyncio.gather(*(waiter.wait(job, timeout=20) for job in LATER))
        assert [event.kind for event in ended] == ["done"] * len(LATER)
        assert sorted(map(str, (run for _, run in ran))) == sorted(str(msgspec.to_builtins(j)) for j in LATER)


async def test_of_a_protocol_that_the_earlier_does_not_speak__left_to_this_one(
    earlier: Path, queue_redis: RedisAddress, client: RedisClient, queue: JobQueue, listener: EventListener
) -> None:
    ran: list[tuple[int, Any]] = []
    waiter = JobWaiter(queue, listener)
    jobs = [of_protocol(job, "later") for job in SPOKEN]
    async with earlier_process(earlier, queue_redis, "work") as other:
        assert await other.hear() == "ready"
        async with running(*workers(client, ran, protocols=["later"])):
            ended = await asyncio.gather(*(waiter.wait(job, timeout=20) for job in jobs))
        assert [event.kind for event in ended] == ["done"] * len(jobs)
        assert len(ran) == len(jobs)
        assert (await waiter.wait(JOBS[0], timeout=20)).kind == "done"
        heard = await other.hear()
        assert heard["fields"] == json.loads(msgspec.json.encode(JOBS[0])), "the first that it ran"


@pytest.mark.parametrize("job", SPOKEN, ids=lambda job: type(job).__name__)
async def test_of_a_protocol_that_no_worker_speaks__stays_queued_until_one_does(
    client: RedisClient, queue: JobQueue, listener: EventListener, job: AnyJob
) -> None:
    ran: list[tuple[int, Any]] = []
    waiter = JobWaiter(queue, listener)
    later = of_protocol(job, "later")
    known = msgspec.structs.replace(job, key="5" * 64) if isinstance(job, Ensure) else job
    async with running(*workers(client, ran, protocols=["cargo"])):
        assert await queue.enqueue(later)
        assert (await waiter.wait(known, timeout=20)).kind == "done"
        assert [run for _, run in ran] == [msgspec.to_builtins(known)]
        assert await queue.is_known(later.id)
    async with running(*workers(client, ran, protocols=["cargo", "later"])):
        assert (await waiter.wait(later, timeout=20)).kind == "done"
