"""A queue worker for tests that kill or stop it: `python -m … {hold|die|publish} {lease seconds}`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import msgspec
import structlog

from shared.queue.context import JobContext
from shared.queue.jobs import FetchIndex
from shared.redis.client import RedisClient
from tests.shared.queue.queue_support import Line, new_worker, queue_client
from tests.support.stores import RedisAddress


def say(line: Line) -> None:
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


async def main(behave: str, lease_seconds: float) -> None:
    address = msgspec.json.decode(os.environ["QUEUE_TEST_ADDRESS"], type=RedisAddress)
    client: RedisClient = queue_client(address)

    async def handler(ctx: JobContext, job: FetchIndex) -> None:
        say(Line("started", ctx.generation, ctx.try_number))
        if behave == "die":
            os._exit(9)
        try:
            if behave == "publish":
                await asyncio.to_thread(sys.stdin.readline)
                told = await ctx.publish("done")
                say(Line("published", ctx.generation, ctx.try_number, told))
            else:
                await asyncio.sleep(600)
        except asyncio.CancelledError:
            say(Line("cancelled", ctx.generation, ctx.try_number))
            raise
        say(Line("ended", ctx.generation, ctx.try_number))

    worker = new_worker(client, handler, lease_seconds=lease_seconds, address=f"127.0.0.1:{os.getpid()}")
    say(Line("ready"))
    await worker.run()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    logging.disable()
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
