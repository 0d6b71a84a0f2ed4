"""The producer's side of the queue: put jobs in, ask how they stand, tell how they went.

Here and in the other `queue_*` modules arq is imported, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from shared import metrics
from shared.clients import queue_format as keys
from shared.clients import queue_scripts as scripts
from shared.clients.queue_events import EventListener
from shared.clients.queue_format import QueueDepth
from shared.clients.redis import RedisClient
from shared.errors import InvalidData, QueueFull
from shared.events import CHANNEL, Claim, Event
from shared.jobs import INDEX, QUEUES, AnyJob, FetchArtifact, queue_of

__all__ = ["EventListener", "JobQueue", "QueueDepth"]

_ENQUEUED = {1: "accepted", 0: "coalesced", -1: "refused"}

_T = TypeVar("_T")
_encode = msgspec.msgpack.Encoder().encode
_claim = msgspec.msgpack.Decoder(Claim)
_event = msgspec.msgpack.Decoder(Event)


class JobQueue:
    """Each method is one round trip and raises `QueueUnavailable` within about a second."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def enqueue(self, job: AnyJob, *, defer_seconds: float = 0, limit: int = 0) -> bool:
        """True: accepted. False: a job of this id waits or runs already; its outcome is shared.

        A job wanted now makes a waiting one of the same id due at once if it was deferred, and moves
        it from `refresh` to `index` (a background refresh that a client now waits for). `limit` is
        the most jobs that may be ready in the queue (0: no limit).

        A job that finishes in this moment may be the one that "is there already": look at
        `read_state` and the cache after enqueueing, not only for an event.

        Raises `QueueFull` over the limit or when Redis is out of memory, `InvalidData` when the
        job's id cannot be stored, `QueueUnavailable`.
        """
        queue = queue_of(job)
        sibling = keys.sibling_of(job, queue)
        defer_ms = max(0, min(int(defer_seconds * 1000), keys.LONGEST_DEFERRAL_MS))
        answer = await scripts.ENQUEUE(
            self._redis,
            [
                keys.queue_key(queue),
                keys.queue_key(sibling) if sibling else "",
                keys.job_key(job.id),
                keys.claim_key(job.id),
                keys.tokens_key(queue),
            ],
            [
                job.id,
                keys.encode_job(job),
                defer_ms,
                limit,
                keys.JOB_EXPIRES_MS + defer_ms,
                int(queue == INDEX),
                keys.MAX_TOKENS,
            ],
        )
        metrics.JOBS_ENQUEUED.labels(keys.tag_of(type(job)), _ENQUEUED[answer]).inc()
        if answer == 0 and isinstance(job, FetchArtifact) and not job.abandonable:
            async with scripts.bounded(self._redis):  # whoever runs it must not stop before its end
                await self._redis.raw.set(keys.job_key(job.id), keys.encode_job(job), xx=True, keepttl=True)
        if answer == -1:
            raise QueueFull(f"{limit} jobs or more wait in the queue {queue!r}")
        return bool(answer == 1)

    async def read_state(self, job_id: str) -> tuple[Claim | None, Event | None]:
        """Who runs a job and what was last told about it: what a waiter looks at on its timer.

        An event that no longer holds is left out: `live` of a claim that is gone, and any outcome
        older than a claim that now stands. With no claim, an outcome may be some seconds old.
        Concurrent callers share one MGET.
        """
        raw_claim, raw_event = await self._redis.get_many([keys.claim_key(job_id), keys.outcome_key(job_id)])
        claim = _decoded(_claim, raw_claim)
        event = _decoded(_event, raw_event)
        if event is not None and not _holds(event, claim):
            event = None
        return claim, event

    async def new_generation(self) -> int:
        """Newer than every claim so far: what older jobs write under such a fence is refused. Raises
        `QueueUnavailable`."""
        return int(await scripts.NEW_GENERATION(self._redis, [keys.GENERATION_KEY], []))

    async def is_known(self, job_id: str) -> bool:
        """Whether a job of this id waits, is deferred or runs. Raises `QueueUnavailable`."""
        async with scripts.bounded(self._redis):
            return bool(await self._redis.raw.exists(keys.job_key(job_id)))

    async def is_abandonable(self, job: FetchArtifact) -> bool:
        """Whether nobody has enqueued it who needs it to its end. Raises `QueueUnavailable`."""
        async with scripts.bounded(self._redis):
            payload = await self._redis.raw.get(keys.job_key(job.id))
        if payload is None:
            return job.abandonable
        try:
            queued = keys.decode_job(payload, {keys.tag_of(FetchArtifact): FetchArtifact})
        except InvalidData:
            return False
        return isinstance(queued, FetchArtifact) and queued.abandonable

    async def publish(self, event: Event, *, keep_seconds: float = 3.0) -> bool:
        """Tell all waiters, and keep the event for `keep_seconds` for those who were not listening.

        False: dropped, because the job's claim is no longer the one of `event.generation` (a late
        worker's news). Raises `QueueUnavailable`.
        """
        return await publish(self._redis, event, keep_seconds=keep_seconds) == 1

    async def depths(self, queues: Sequence[str] = QUEUES) -> dict[str, QueueDepth]:
        """How much lies in each queue, by its short name. Raises `QueueUnavailable`."""
        names = [key(queue) for queue in queues for key in (keys.queue_key, keys.dead_key)]
        answers = await scripts.DEPTHS(self._redis, names, [])
        return {
            queue: QueueDepth(ready, running, max(0, deferred), dead, max(0, age) / 1000)
            for queue, (ready, running, deferred, dead, age) in zip(queues, answers, strict=True)
        }

    def subscribe(self) -> EventListener:
        """A listener on the events of this Redis; the caller opens and closes it. One per process."""
        return EventListener(self._redis)


async def publish(redis: RedisClient, event: Event, *, keep_seconds: float) -> int:
    """1: told. 0: another generation runs the job. -1: no claim stands."""
    answer = await scripts.PUBLISH(
        redis,
        [keys.claim_key(event.job_id), keys.outcome_key(event.job_id)],
        [event.generation, _encode(event), max(1, int(keep_seconds * 1000)), CHANNEL],
    )
    return int(answer)


def _holds(event: Event, claim: Claim | None) -> bool:
    if claim is None:
        return event.kind != "live"
    return event.generation == claim.generation


def _decoded(decoder: msgspec.msgpack.Decoder[_T], raw: bytes | None) -> _T | None:
    if raw is None:
        return None
    try:
        return decoder.decode(raw)
    except msgspec.MsgspecError:  # written by another version: as if it were not there
        return None
