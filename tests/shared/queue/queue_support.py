"""What the tests of the queue share: clients, workers, a worker in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec

from shared.queue.context import Handler
from shared.queue.jobs import FetchIndex
from shared.queue.worker import QueueWorker
from shared.redis.client import RedisClient
from tests.support.freezing import wait_until_frozen
from tests.support.stores import RedisAddress

ROOT = Path(__file__).parents[3]


def queue_client(address: RedisAddress) -> RedisClient:
    return RedisClient(
        host=address.host, port=address.port, db=address.db, password=address.password, role="queue"
    )


def job(name: str = "requests", *, background: bool = False, guessed: bool = False) -> FetchIndex:
    return FetchIndex(protocol="pypi", identity=name, background=background, guessed=guessed)


def new_worker(
    client: RedisClient,
    handler: Handler,
    *,
    queue: str = "index",
    slots: int = 10,
    lease_seconds: float = 3.0,
    max_tries: int = 3,
    address: str = "127.0.0.1:1000",
) -> QueueWorker:
    return QueueWorker(
        redis=client,
        queue=queue,
        slots=slots,
        handlers={FetchIndex: handler},
        address=lambda: address,
        lease_seconds=lease_seconds,
        max_tries=max_tries,
    )


@contextlib.asynccontextmanager
async def running(*workers: QueueWorker) -> AsyncIterator[None]:
    """Run workers until the block ends."""
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
    finally:
        await asyncio.gather(*(worker.drain(0) for worker in workers))
        await asyncio.gather(*tasks)


async def eventually(check: Callable[[], Awaitable[bool] | bool], *, within: float = 10.0) -> None:
    """Wait until `check` holds. Fails after `within` seconds."""
    async with asyncio.timeout(within):
        while True:
            answer = check()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.01)


class Line(msgspec.Struct):
    """What a worker process says on its standard output, one JSON object a line."""

    what: str  # ready | started | published | cancelled | ended
    generation: int = 0
    tries: int = 0
    told: bool = False


class WorkerProcess:
    """A worker in a process of its own that may be killed, stopped and continued."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self, what: str, *, within: float = 15.0) -> Line:
        """The next line of that kind."""
        assert self.process.stdout is not None
        async with asyncio.timeout(within):
            while raw := await self.process.stdout.readline():
                line = msgspec.json.decode(raw, type=Line)
                if line.what == what:
                    return line
        raise AssertionError(f"the worker ended without saying {what!r}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        if number == signal.SIGSTOP:
            wait_until_frozen([self.process.pid])


@contextlib.asynccontextmanager
async def worker_process(
    address: RedisAddress, *, behave: str, lease_seconds: float = 1.0
) -> AsyncIterator[WorkerProcess]:
    """`behave`: hold (run until killed), die (end the process at once), publish (tell `done` when
    a line comes on standard input, then end the job)."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.shared.queue.queue_process", behave, str(lease_seconds),
        cwd=ROOT,
        env={**os.environ, "QUEUE_TEST_ADDRESS": msgspec.json.encode(address).decode()},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    worker = WorkerProcess(process)
    try:
        await worker.line("ready")
        yield worker
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        transport = process._transport  # type: ignore[attr-defined]  # closes its pipes now, not at some GC
        transport.close()
