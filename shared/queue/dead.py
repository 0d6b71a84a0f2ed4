"""Dead letters, the jobs that were given up: listed, enqueued again, or deleted."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from shared.queue import keys, scripts
from shared.queue.jobs import FetchArtifact, FetchIndex
from shared.queue.keys import DeadLetter
from shared.queue.producer import arguments_of
from shared.redis.client import RedisClient

LONGEST_TEXT = 500  # characters of one field that are shown
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
_SEVERAL_QUEUES = {kind.name(): kind for kind in (FetchIndex, FetchArtifact)}
_letter = msgspec.json.Decoder(DeadLetter)


class KeptLetter(msgspec.Struct, frozen=True):
    """A dead letter with its id, which follows from its job's, and its bytes."""

    id: str
    letter: DeadLetter
    raw: bytes

    @property
    def fields(self) -> dict[str, Any]:
        """The job's fields as they may be shown: short, without credentials. {} where none were kept."""
        return {str(name): _shown(value) for name, value in keys.fields_of(self.letter.payload).items()}


class DeadLetters:
    """The dead letters of one queue Redis. Every method raises `QueueUnavailable`."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def list(self, queue: str, *, start: int = 0, limit: int = 100) -> list[KeptLetter]:
        """The newest first; entries that nobody can read are left out."""
        async with scripts.bounded(self._redis):
            entries = await self._redis.raw.lrange(keys.dead_key(queue), start, start + limit - 1)  # type: ignore[misc]
        return [kept for entry in entries if (kept := _kept(queue, entry)) is not None]

    async def find(self, queue: str, letter_id: str) -> KeptLetter | None:
        """The letter of this id."""
        letters = await self.list(queue, limit=keys.DEAD_KEPT)
        return next((each for each in letters if each.id == letter_id), None)

    async def drop(self, queue: str, kept: KeptLetter) -> bool:
        """Delete all letters of its job; returns whether there was one."""
        letters = await self.list(queue, limit=keys.DEAD_KEPT)
        gone = 0
        async with scripts.bounded(self._redis):
            for each in letters:
                if each.id == kept.id:
                    gone += await self._redis.raw.lrem(keys.dead_key(queue), 0, each.raw)  # type: ignore[misc,arg-type]
        return gone > 0

    async def retry(self, queue: str, kept: KeptLetter) -> bool:
        """Put the job back, with all its tries; its letter goes. False: a job of this id is there already.

        A crash in between leaves the letter beside the job. Raises `QueueFull`.
        """
        job_id = kept.letter.job_id
        async with scripts.bounded(self._redis):
            await self._redis.raw.unlink(keys.tries_key(job_id))
        kind = _SEVERAL_QUEUES.get(str(kept.fields.get("job")))
        lanes = (kind.queue, *kind.lower) if kind is not None else ()
        arguments = arguments_of(queue, job_id, kept.letter.payload, lanes=lanes)
        answer, _, _ = await scripts.ENQUEUE(self._redis, *arguments)
        await self.drop(queue, kept)
        return bool(answer == 1)


def _kept(queue: str, raw: bytes) -> KeptLetter | None:
    try:
        letter = _letter.decode(raw)
        name = hashlib.sha256(letter.job_id.encode(errors="replace")).hexdigest()[:16]
        return KeptLetter(f"{queue}-{name}", letter, raw)
    except msgspec.MsgspecError:
        return None


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return _CREDENTIALS.sub("", value[:LONGEST_TEXT])
    if isinstance(value, (list, tuple)):
        return [_shown(each) for each in value[:50]]
    return value if isinstance(value, (int, float, bool)) or value is None else "…"
