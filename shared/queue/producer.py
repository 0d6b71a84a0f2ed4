"""The producer's side of the queue: enqueue jobs, read their state, publish their events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import msgspec

from shared.errors import InvalidData
from shared.errors.passing import QueueFull
from shared.queue import keys, scripts
from shared.queue.events import CHANNEL, Claim, Event
from shared.queue.jobs import QUEUES, AnyJob, FetchArtifact
from shared.queue.keys import QueueDepth
from shared.queue.listener import EventListener
from shared.redis.client import RedisClient
from shared.telemetry import metrics

_ENQUEUED = {1: "accepted", 0: "coalesced", -1: "refused"}

_T = TypeVar("_T")
_encode = msgspec.msgpack.Encoder().encode
_claim = msgspec.msgpack.Decoder(Claim)
_event = msgspec.msgpack.Decoder(Event)


class Enqueued(msgspec.Struct, frozen=True):
    """The state that enqueueing found. `claim` and `outcome` are those of `read_state` in the moment before;
    `before` separates outcomes of earlier runs.
    """

    accepted: bool  # False: a job of this id waits or runs already; its outcome is shared
    claim: Claim | None = None
    outcome: Event | None = None

    def __bool__(self) -> bool:
        return self.accepted

    @property
    def before(self) -> int:
        """The generation rule: an outcome is that of this job if its generation is higher than this.

        Generations only rise, by Redis's clock. An outcome that stands while the job is not running belongs
        to an earlier run; of a run that goes on, or is just ending, everything counts.
        """
        if self.claim is not None:
            return self.claim.generation - 1
        return self.outcome.generation if self.outcome is not None else 0


class JobQueue:
    """Each method is one round trip and raises `QueueUnavailable` within about a second."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def enqueue(self, job: AnyJob, *, defer_seconds: float = 0, limit: int = 0) -> Enqueued:
        """Enqueue a job, or join the one of its id; returns its state, so that no read is needed first.

        A job wanted now makes a waiting one of the same id due at once if it was deferred, and moves
        it from `refresh` to `index` (a background refresh that a client now waits for). `limit` is
        the most jobs that may be ready in the queue (0: no limit).

        A job that finishes in this moment may be the one that was joined: look at `read_state` and
        the cache after enqueueing, not only for an event (`Enqueued.before` says which are older).

        Raises `QueueFull` over the limit or when Redis is out of memory, `InvalidData` when the
        job's id cannot be stored, `QueueUnavailable`.
        """
        answer, raw_claim, raw_outcome = await scripts.ENQUEUE(
            self._redis, *put_arguments(job, defer_seconds=defer_seconds, limit=limit)
        )
        count_enqueued(job, answer)
        if answer == -1:
            raise QueueFull(f"{limit} jobs or more wait in the queue {job.runs_in!r}")
        return Enqueued(answer == 1, *_state(raw_claim, raw_outcome))

    async def read_state(self, job_id: str) -> tuple[Claim | None, Event | None]:
        """The claim and the last event of a job: what a waiter polls.

        An event that no longer holds is left out: `live` of a claim that is gone, and any outcome
        older than a claim that now stands. With no claim, an outcome may be some seconds old.
        Concurrent callers share one MGET.
        """
        raw_claim, raw_event = await self._redis.get_many([keys.claim_key(job_id), keys.outcome_key(job_id)])
        return _state(raw_claim, raw_event)

    async def new_generation(self) -> int:
        """Newer than every claim so far: what older jobs write under such a fence is refused. Raises
        `QueueUnavailable`."""
        return int(await scripts.NEW_GENERATION(self._redis, [keys.GENERATION_KEY], []))

    async def is_known(self, job_id: str) -> bool:
        """Whether a job of this id waits, is deferred or runs. Raises `QueueUnavailable`."""
        async with scripts.bounded(self._redis):
            return bool(await self._redis.raw.exists(keys.job_key(job_id)))

    async def as_asked_now(self, job: FetchArtifact) -> FetchArtifact | None:
        """The job as those have it who joined it since; None if that cannot be read. Raises
        `QueueUnavailable`."""
        async with scripts.bounded(self._redis):
            payload = await self._redis.raw.get(keys.job_key(job.id))
        if payload is None:
            return job
        try:
            queued = keys.decode_job(payload, {FetchArtifact.name(): FetchArtifact})
        except InvalidData:
            return None
        return queued if isinstance(queued, FetchArtifact) else None

    async def announce(self, kind: Literal["ahead", "asked"], ids: Sequence[str]) -> None:
        """Tell all who listen of these jobs. Raises `QueueUnavailable`."""
        event = Event("", kind, 0, ids=tuple(ids))
        async with scripts.bounded(self._redis):
            await self._redis.raw.publish(CHANNEL, _encode(event))

    async def depths(self, queues: Sequence[str] = QUEUES) -> dict[str, QueueDepth]:
        """The depth of each queue, by its short name. Raises `QueueUnavailable`."""
        names = [key(queue) for queue in queues for key in (keys.queue_key, keys.dead_key)]
        answers = await scripts.DEPTHS(self._redis, names, [])
        return {
            queue: QueueDepth(ready, running, max(0, deferred), dead, max(0, age) / 1000)
            for queue, (ready, running, deferred, dead, age) in zip(queues, answers, strict=True)
        }

    def subscribe(self) -> EventListener:
        """A listener on the events of this Redis; the caller opens and closes it. One per process."""
        return EventListener(self._redis)


def put_arguments(job: AnyJob, *, defer_seconds: float = 0, limit: int = 0) -> tuple[list[str], list[Any]]:
    """KEYS and ARGV of the script ENQUEUE for a job."""
    return arguments_of(
        job.runs_in,
        job.id,
        keys.encode_job(job),
        lanes=(job.queue, *job.lower),
        replaces=job.is_whole,
        again=job.again,
        defer_seconds=defer_seconds,
        limit=limit,
    )


def arguments_of(
    queue: str,
    job_id: str,
    payload: bytes,
    *,
    lanes: Sequence[str] = (),
    replaces: bool = False,
    again: bool = False,
    defer_seconds: float = 0,
    limit: int = 0,
) -> tuple[list[str], list[Any]]:
    """The same for a payload as it is queued. `lanes`: all queues, at most three, in which its id may wait,
    the most urgent first."""
    others = [lane for lane in lanes if lane != queue]
    higher = lanes.index(queue) if lanes else 0
    defer_ms = max(0, min(int(defer_seconds * 1000), keys.LONGEST_DEFERRAL_MS))
    return [
        keys.queue_key(queue),
        keys.job_key(job_id),
        keys.claim_key(job_id),
        keys.tokens_key(queue),
        keys.outcome_key(job_id),
        *([keys.queue_key(lane) for lane in others] + ["", ""])[:2],
    ], [
        job_id,
        payload,
        defer_ms,
        limit,
        keys.JOB_EXPIRES_MS + defer_ms,
        keys.MAX_TOKENS,
        int(replaces),
        higher,
        int(again),
    ]


def count_enqueued(job: AnyJob, answer: int) -> None:
    """`answer`: the code that ENQUEUE gave."""
    metrics.JOBS_ENQUEUED.labels(job.name(), _ENQUEUED[answer]).inc()


async def publish(redis: RedisClient, event: Event, *, keep_seconds: float) -> int:
    """Publish an event, and store it for `keep_seconds` for those who were not listening. 1: published. 0:
    dropped, another generation runs the job (a late worker). -1: dropped, there is no claim. Raises
    `QueueUnavailable`.
    """
    answer = await scripts.PUBLISH(
        redis,
        [keys.claim_key(event.job_id), keys.outcome_key(event.job_id)],
        [event.generation, _encode(event), max(1, int(keep_seconds * 1000)), CHANNEL],
    )
    return int(answer)


def _state(raw_claim: bytes | None, raw_event: bytes | None) -> tuple[Claim | None, Event | None]:
    claim = _decoded(_claim, raw_claim)
    event = _decoded(_event, raw_event)
    return claim, event if event is not None and _holds(event, claim) else None


def _holds(event: Event, claim: Claim | None) -> bool:
    if claim is None:
        return event.kind != "live"
    return event.generation == claim.generation


def _decoded(decoder: msgspec.msgpack.Decoder[_T], raw: bytes | None) -> _T | None:
    if not raw:
        return None
    try:
        return decoder.decode(raw)
    except msgspec.MsgspecError:  # written by another version: as if it were not there
        return None
