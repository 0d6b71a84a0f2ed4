"""The format of the queue Redis: its keys, and the bytes of its jobs.

Jobs keep arq's format (`arq:job:{id}` with the fields t, f, a, k, et, and a sorted set per queue),
as MessagePack instead of pickle: pickle would let whoever writes to Redis run code here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec
from arq.constants import job_key_prefix, retry_key_prefix

from shared.errors import InvalidData
from shared.models import FORMAT
from shared.queue.jobs import AnyJob, Job
from shared.telemetry.tracing import traceparent

QUEUE_PREFIX = "orchard:queue:"
CLAIM_PREFIX = "orchard:claim:"
CLAIMED_PREFIX = "orchard:claimed:"  # generation of the last claim, kept while the job is
OUTCOME_PREFIX = "orchard:outcome:"
GENERATION_KEY = "orchard:generation"
"""Hash {epoch, last}. `last` is the highest generation given out, so that a clock stepping back
cannot repeat one; `epoch` is new after Redis came back empty, so that a worker can tell that from
a lease it lost."""

JOB_EXPIRES_MS = 86_400_000  # arq's own: a job nobody takes for a day is forgotten
TRIES_EXPIRE_MS = 88_400_000  # arq's own
QUARANTINE_MS = 300_000  # a job that killed its workers is not tried again for so long
LONGEST_DEFERRAL_MS = 60_000  # nothing is put back for longer, whoever asks for it
MAX_TOKENS = 64  # wake-up tokens kept at most: more idle workers than that find jobs by their timer
DEAD_KEPT = 1000  # entries of one dead-letter list
DEAD_PAYLOAD_BYTES = 64 * 1024  # a larger job is not kept with its letter
MAX_ID_BYTES = 4096


class Queued(msgspec.Struct, frozen=True):
    """A job as it lies in Redis: arq's fields, under arq's names, so that its `Job.info` reads them.

    t: number of the try (unused); f: `Job.travels_as`; a: the format number; k: the job's fields; et: when it
    was enqueued, in unix milliseconds of the producer.
    """

    t: int | None
    f: str
    a: tuple[int, ...]
    k: Job
    et: int


class _Traced(Queued, frozen=True):
    """In a trace. tp: its `traceparent`, which services of versions without traces pass over."""

    tp: str


class _Read(msgspec.Struct, frozen=True):
    f: str
    k: msgspec.Raw
    tp: str = ""


_encode = msgspec.msgpack.Encoder().encode
_read = msgspec.msgpack.Decoder(_Read).decode


class QueueDepth(msgspec.Struct, frozen=True):
    """One queue at one moment. `ready` jobs wait for a slot; `running` ones have a live claim."""

    ready: int
    running: int
    deferred: int
    dead: int
    oldest_age_seconds: float  # how long the first ready job has been due; 0 when none is


class DeadLetter(msgspec.Struct, frozen=True):
    """A job given up because the workers that ran it died; kept as JSON for operators, one of each job."""

    job_id: str
    reason: str
    tries: int  # runs that were begun
    at: float  # unix seconds: when it was given up last
    payload: bytes = b""  # the job as it lay in the queue; b"" where it was not kept
    count: int = 1  # times that it was given up, with those when it was asked for again and not risked
    since: float | None = None  # unix seconds: when it was given up first; None: at `at`


def queue_key(queue: str) -> str:
    """The sorted set of a queue: job id → when due, in milliseconds of Redis's clock."""
    return QUEUE_PREFIX + queue


def tokens_key(queue: str) -> str:
    """The list on which idle workers wait."""
    return f"{QUEUE_PREFIX}{queue}:tokens"


def dead_key(queue: str) -> str:
    """The list of `DeadLetter`s, newest first."""
    return f"{QUEUE_PREFIX}{queue}:dead"


def job_key(job_id: str) -> str:
    return f"{job_key_prefix}{job_id}"


def tries_key(job_id: str) -> str:
    return f"{retry_key_prefix}{job_id}"


def claim_key(job_id: str) -> str:
    return CLAIM_PREFIX + job_id


def outcome_key(job_id: str) -> str:
    return OUTCOME_PREFIX + job_id


def encode_job(job: AnyJob) -> bytes:
    """The value of `arq:job:{id}`: arq's fields, with the format number as only argument.

    Raises `InvalidData` when the id cannot be a key (lone surrogates, over-long).
    """
    check_id(job.id)
    enqueued_ms = int(time.time() * 1000)  # for people; nothing is decided by it
    parent = traceparent()
    if parent:
        return _encode(_Traced(None, job.travels_as, (FORMAT,), job, enqueued_ms, parent))
    return _encode(Queued(None, job.travels_as, (FORMAT,), job, enqueued_ms))


def traceparent_of(payload: bytes) -> str:
    """Of which span a queued job is the work; "" for none."""
    try:
        return _read(payload).tp
    except msgspec.MsgspecError:
        return ""


def check_id(job_id: str) -> None:
    """Raises `InvalidData` when a job id cannot be part of a Redis key."""
    try:
        size = len(job_id.encode())
    except UnicodeEncodeError as error:
        raise InvalidData("a job id holds characters that cannot be stored") from error
    if not 0 < size <= MAX_ID_BYTES:
        raise InvalidData("a job id is empty or too long")


def decode_job(payload: bytes, kinds: Mapping[str, type[Job]]) -> Job:
    """The job of a payload whose name is one of `kinds`. Raises `InvalidData`."""
    try:
        queued = _read(payload)
        kind = kinds[queued.f.partition("@")[0]]
        return msgspec.msgpack.decode(queued.k, type=kind)  # checks the name among the fields, too
    except (KeyError, TypeError, msgspec.MsgspecError) as error:
        raise InvalidData(f"a queued job cannot be read: {type(error).__name__}") from error


def fields_of(payload: bytes) -> dict[str, Any]:
    """A payload's fields by name, whatever its kind; {} where it cannot be read."""
    try:
        fields = msgspec.msgpack.decode(_read(payload).k)
    except msgspec.MsgspecError:
        return {}
    return fields if isinstance(fields, dict) else {}
