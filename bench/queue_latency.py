"""How fast a job starts, what an idle worker costs, how many jobs a worker ends in a second.

Usage: python -m bench.queue_latency [--jobs 500] [--workers 4] [--throughput 5000]
Starts a Redis of its own on loopback. Bars: start p50 below 5 ms, at most 5 Redis commands a second
for each idle worker.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvloop

from services.standalone.redis_server import EmbeddedRedis
from shared.queue.context import JobContext
from shared.queue.jobs import FetchIndex
from shared.queue.producer import JobQueue
from shared.queue.worker import QueueWorker
from shared.redis.client import RedisClient

START_BAR_MS = 5.0
IDLE_BAR_COMMANDS = 5.0


SENT = {"cmdstat_evalsha", "cmdstat_eval", "cmdstat_blpop"}  # the others run inside Lua


async def _commands(client: RedisClient) -> tuple[int, int]:
    """Commands done so far, those inside Lua included, and of these the ones a worker sends."""
    stats: dict[str, Any] = await client.raw.info("commandstats")
    sent = sum(int(entry["calls"]) for name, entry in stats.items() if name in SENT)
    return sum(int(entry["calls"]) for entry in stats.values()), sent


async def _rate(client: RedisClient, workers: int, seconds: float) -> tuple[float, float]:
    """Commands a second for each worker over the next `seconds`: all, and the ones it sends."""
    before, at = await _commands(client), time.perf_counter()
    await asyncio.sleep(seconds)
    after = await _commands(client)
    share = (time.perf_counter() - at) * workers
    return (after[0] - before[0] - 1) / share, (after[1] - before[1]) / share


@contextlib.asynccontextmanager
async def _working(client: RedisClient, workers: int, slots: int, handler: Any) -> Any:
    pool = [
        QueueWorker(
            redis=client,
            queue="index",
            slots=slots,
            handlers={FetchIndex: handler},
            address=lambda: "127.0.0.1:1",
            lease_seconds=3.0,
        )
        for _ in range(workers)
    ]
    tasks = [asyncio.create_task(worker.run()) for worker in pool]
    await asyncio.sleep(0.5)
    try:
        yield pool
    finally:
        await asyncio.gather(*(worker.drain(1.0) for worker in pool))
        await asyncio.gather(*tasks)


def _job(number: int) -> FetchIndex:
    return FetchIndex(protocol="bench", identity=f"project-{number}")


async def start_latency(client: RedisClient, jobs: int, workers: int) -> tuple[float, float]:
    """Milliseconds from calling enqueue to the handler's first line: p50 and p99."""
    started: dict[str, float] = {}

    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        started[ctx.job_id] = time.perf_counter()

    queue = JobQueue(client)
    took: list[float] = []
    async with _working(client, workers, 10, handler):
        for number in range(jobs):
            job = _job(number)
            before = time.perf_counter()
            await queue.enqueue(job)
            while job.id not in started:
                await asyncio.sleep(0)
            took.append((started[job.id] - before) * 1000)
            await asyncio.sleep(0.005)
    took.sort()
    return statistics.median(took), took[int(len(took) * 0.99)]


async def idle_commands(client: RedisClient, workers: int, seconds: float) -> tuple[float, float]:
    """Redis commands a second for each idle worker."""

    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        return None

    async with _working(client, workers, 10, handler):
        return await _rate(client, workers, seconds)


async def saturated_commands(
    client: RedisClient, workers: int, slots: int, seconds: float
) -> tuple[float, float]:
    """The same when every slot is busy and twice as many jobs wait."""
    release = asyncio.Event()

    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        await release.wait()

    queue = JobQueue(client)
    async with _working(client, workers, slots, handler):
        for number in range(3 * workers * slots):
            await queue.enqueue(_job(number))
        await asyncio.sleep(1.0)
        rate = await _rate(client, workers, seconds)
        release.set()
        return rate


async def throughput(client: RedisClient, jobs: int, workers: int) -> tuple[float, float]:
    """Jobs a second: enqueued (32 at a time), and done by the workers from a full queue."""
    done = 0
    all_done = asyncio.Event()

    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        nonlocal done
        done += 1
        if done == jobs:
            all_done.set()

    queue = JobQueue(client)
    at = time.perf_counter()
    for first in range(0, jobs, 32):
        await asyncio.gather(*(queue.enqueue(_job(n)) for n in range(first, min(jobs, first + 32))))
    enqueued = jobs / (time.perf_counter() - at)
    at = time.perf_counter()
    async with _working(client, workers, 64, handler):
        at = min(at, time.perf_counter() - 0.5)  # _working waits half a second after starting
        await all_done.wait()
        finished = time.perf_counter()
    return enqueued, jobs / (finished - at)


@contextlib.asynccontextmanager
async def _own_client() -> AsyncIterator[RedisClient]:
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder), "queue") as server:
        client = RedisClient(host="127.0.0.1", port=server.port, password=server.password, role="queue")
        await client.open()
        try:
            yield client
        finally:
            await client.aclose()


async def start_and_idle(*, jobs: int, workers: int, seconds: float) -> tuple[float, float, float]:
    """Start latency p50 and p99 in ms, commands a second of an idle worker: for `make bench`."""
    async with _own_client() as client:
        p50, p99 = await start_latency(client, jobs, workers)
        idle, _ = await idle_commands(client, workers, seconds)
        return p50, p99, idle


async def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--throughput", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    async with _own_client() as client:
        p50, p99 = await start_latency(client, options.jobs, options.workers)
        idle = await idle_commands(client, options.workers, options.seconds)
        saturated = await saturated_commands(client, options.workers, 10, options.seconds)
        enqueued, finished = await throughput(client, options.throughput, 1)
    print(f"enqueue to start: p50 {p50:.2f} ms, p99 {p99:.2f} ms (bar: p50 < {START_BAR_MS} ms)")
    print(
        f"idle: {idle[0]:.1f} Redis commands a second for each worker, Lua's included, "
        f"{idle[1]:.1f} of them sent (bar: {IDLE_BAR_COMMANDS})"
    )
    print(f"saturated, 10 of 10 slots: {saturated[0]:.1f}, {saturated[1]:.1f} of them sent")
    print(f"enqueued: {enqueued:,.0f} jobs/s; done by one worker: {finished:,.0f} jobs/s")
    return 0 if p50 < START_BAR_MS and idle[0] <= IDLE_BAR_COMMANDS else 1


if __name__ == "__main__":
    raise SystemExit(uvloop.run(main()))
