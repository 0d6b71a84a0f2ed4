"""What lies in the queue Redis: the names of its keys and the bytes of its jobs.

Jobs keep arq's format (`arq:job:{id}` with the fields t, f, a, k, et, and a sorted set per queue),
as MessagePack instead of pickle: pickle would let whoever writes to Redis run code here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec
from arq.constants import job_key_prefix, retry_key_prefix
from arq.jobs import DeserializationError, deserialize_job_raw, serialize_job

from shared.errors import InvalidData
from shared.jobs import INDEX, REFRESH, AnyJob, FetchIndex, Job
from shared.models import FORMAT

QUEUE_PREFIX = "orchard:queue:"
CLAIM_PREFIX = "orchard:claim:"
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

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class QueueDepth(msgspec.Struct, frozen=True):
    """One queue at one moment. `ready` jobs wait for a slot; `running` ones have a live claim."""

    ready: int
    running: int
    deferred: int
    dead: int
    oldest_age_seconds: float  # how long the first ready job has been due; 0 when none is


class DeadLetter(msgspec.Struct, frozen=True):
    """A job given up because the workers that ran it died; kept as JSON for operators."""

    job_id: str
    reason: str
    tries: int
    at: float  # unix seconds
    payload: bytes = b""  # the job as it lay in the queue; b"" where it was not kept


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


def sibling_of(job: AnyJob, queue: str) -> str:
    """The other queue in which the same job id may wait, or ""."""
    if isinstance(job, FetchIndex):
        return INDEX if queue == REFRESH else REFRESH
    return ""


def tag_of(kind: type[Job]) -> str:
    """The name under which a kind of job travels."""
    return str(kind.__struct_config__.tag)


def encode_job(job: AnyJob) -> bytes:
    """The value of `arq:job:{id}`: arq's fields, with the format number as only argument.

    Raises `InvalidData` when the id cannot be a key (lone surrogates, over-long).
    """
    check_id(job.id)
    enqueued_ms = int(time.time() * 1000)  # for people; nothing is decided by it
    fields = msgspec.to_builtins(job)
    payload: bytes = serialize_job(
        tag_of(type(job)), (FORMAT,), fields, None, enqueued_ms, serializer=_encode
    )
    return payload


def check_id(job_id: str) -> None:
    """Raises `InvalidData` when a job id cannot be part of a Redis key."""
    try:
        size = len(job_id.encode())
    except UnicodeEncodeError as error:
        raise InvalidData("a job id holds characters that cannot be stored") from error
    if not 0 < size <= MAX_ID_BYTES:
        raise InvalidData("a job id is empty or too long")


def decode_job(payload: bytes, kinds: Mapping[str, type[Job]]) -> Job:
    """The job of a payload whose tag is one of `kinds`. Raises `InvalidData`."""
    try:
        tag, _, fields, _, _ = deserialize_job_raw(payload, deserializer=_decode)
        return msgspec.convert(fields, type=kinds[tag])  # checks the tag among the fields, too
    except (DeserializationError, KeyError, TypeError, msgspec.ValidationError) as error:
        raise InvalidData(f"a queued job cannot be read: {type(error).__name__}") from error
