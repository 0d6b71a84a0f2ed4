"""Run inside the tree of an earlier version, with nothing of this one: enqueues jobs, or works.

`enqueue`: puts in the jobs of standard input and says how each ended. `work`: runs jobs, says what it was
given. `hold`: says so, too, and never ends one.
"""
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import json
import os
import sys

import msgspec

from shared.queue.jobs import QUEUES, AnyJob
from shared.queue.producer import JobQueue
from shared.queue.worker import QueueWorker
from shared.redis.client import RedisClient

KINDS = {kind.name(): kind for kind in AnyJob.__args__}
PROTOCOLS = ("pypi", "npm", "maven", "cargo")


def say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def enqueue(queue: JobQueue) -> None:
    for fields in json.loads(sys.stdin.readline()):
        job = msgspec.convert(fields, KINDS[fields["job"]])
        assert await queue.enqueue(job)
        say({"id": job.id, "enqueued": True})
        while (state := await queue.read_state(job.id))[1] is None:
            await asyncio.sleep(0.02)
        say({"id": job.id, "kind": state[1].kind, "generation": state[1].generation})


async def work(client: RedisClient, *, hold: bool) -> None:
    async def handler(ctx, job) -> None:
        say({"generation": ctx.generation, "fields": msgspec.to_builtins(job)})
        if hold:
            await asyncio.sleep(600)
        await ctx.publish("done")

    workers = [
        QueueWorker(
            redis=client,
            queue=queue,
            slots=4,
            handlers=dict.fromkeys(KINDS.values(), handler),
            address=lambda: "127.0.0.1:1",
            lease_seconds=1.0,
            protocols=PROTOCOLS,
        )
        for queue in QUEUES
    ]
    say("ready")
    await asyncio.gather(*(worker.run() for worker in workers))


async def main(role: str) -> None:
    client = RedisClient(**json.loads(os.environ["QUEUE_TEST_REDIS"]), role="queue")
    if role == "enqueue":
        await enqueue(JobQueue(client))
        await client.aclose()
    else:
        await work(client, hold=role == "hold")


asyncio.run(main(sys.argv[1]))
