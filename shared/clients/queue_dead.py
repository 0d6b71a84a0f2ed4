"""Jobs that were given up: what operators see of them, put back into the queue, or dropped."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec
from arq.jobs import DeserializationError, deserialize_job_raw

from shared.clients import queue_format as keys
from shared.clients import queue_scripts as scripts
from shared.clients.queue_format import DeadLetter
from shared.clients.redis import RedisClient
from shared.jobs import INDEX

LONGEST_TEXT = 500  # characters of one field that are shown
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
_decode = msgspec.msgpack.Decoder().decode
_letter = msgspec.json.Decoder(DeadLetter)


class KeptLetter(msgspec.Struct, frozen=True):
    """A dead letter with its id, which follows from its bytes, and those bytes."""

    id: str
    letter: DeadLetter
    raw: bytes

    @property
    def fields(self) -> dict[str, Any]:
        """The job's fields as they may be shown: short, without credentials. {} where none were kept."""
        try:
            _, _, fields, _, _ = deserialize_job_raw(self.letter.payload, deserializer=_decode)
        except (DeserializationError, TypeError):
            return {}
        return (
            {str(name): _shown(value) for name, value in fields.items()} if isinstance(fields, dict) else {}
        )


class DeadLetters:
    """Of one Redis. Every method raises `QueueUnavailable`."""

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
        """Whether it was there."""
        async with scripts.bounded(self._redis):
            return bool(await self._redis.raw.lrem(keys.dead_key(queue), 1, kept.raw))  # type: ignore[misc,arg-type]

    async def retry(self, queue: str, kept: KeptLetter) -> bool:
        """Put the job back, with all its tries; its letter goes. False: a job of this id is there already.

        A crash in between leaves the letter beside the job. Raises `QueueFull`.
        """
        job_id = kept.letter.job_id
        async with scripts.bounded(self._redis):
            await self._redis.raw.unlink(keys.tries_key(job_id))
        names = [
            keys.queue_key(queue),
            "",
            keys.job_key(job_id),
            keys.claim_key(job_id),
            keys.tokens_key(queue),
        ]
        values = [
            job_id,
            kept.letter.payload,
            0,
            0,
            keys.JOB_EXPIRES_MS,
            int(queue == INDEX),
            keys.MAX_TOKENS,
        ]
        answer = await scripts.ENQUEUE(self._redis, names, values)
        await self.drop(queue, kept)
        return bool(answer == 1)


def _kept(queue: str, raw: bytes) -> KeptLetter | None:
    try:
        return KeptLetter(f"{queue}-{hashlib.sha256(raw).hexdigest()[:16]}", _letter.decode(raw), raw)
    except msgspec.MsgspecError:
        return None


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return _CREDENTIALS.sub("", value[:LONGEST_TEXT])
    if isinstance(value, (list, tuple)):
        return [_shown(each) for each in value[:50]]
    return value if isinstance(value, (int, float, bool)) or value is None else "…"
