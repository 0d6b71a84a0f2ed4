"""Stored answers, resolved graphs and locks, and the saved state of running jobs.

One class for both, over their tables and the cache. A complete answer is a row, and a copy in the cache.
Any other end (an incomplete answer, an error) is in the cache alone, for some seconds.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

import msgspec

from shared.cache.keys import Category
from shared.cache.service import CacheService
from shared.errors import ErrorValue
from shared.errors.passing import CacheUnavailable
from shared.postgres.database import Database
from shared.protocols.resolution import ResolutionRequest
from shared.queue.jobs import Ensure, Resolve
from shared.telemetry.logs import get_logger

log = get_logger()

J = TypeVar("J", bound=Resolve | Ensure)

FIND = "SELECT body FROM {table} WHERE key = $1"

# The first complete answer stands; only a refresh replaces it.
KEEP = """
WITH done AS (DELETE FROM {progress} WHERE key = $1),
kept AS (
    INSERT INTO {table} AS standing (key, body{columns}) VALUES ($1, $2{values})
    ON CONFLICT (key) DO UPDATE SET
        body = CASE WHEN $3 THEN excluded.body ELSE standing.body END,
        {dated} = CASE WHEN $3 THEN now() ELSE standing.{dated} END
    RETURNING body
)
SELECT body FROM kept
"""

PROGRESS = "SELECT state FROM {progress} WHERE key = ANY($1::bytea[])"

# Those left behind by a job that was given up go when others write.
SAVE_PROGRESS = """
WITH old AS (DELETE FROM {progress} WHERE updated_at < now() - interval '1 day' AND key <> $1)
INSERT INTO {progress} (key, state) VALUES ($1, $2)
ON CONFLICT (key) DO UPDATE SET state = excluded.state, updated_at = now()
"""

END_PROGRESS = "DELETE FROM {progress} WHERE key = $1"


class Ended(msgspec.Struct, frozen=True):
    """An end that is not stored: an incomplete answer as JSON, or an error."""

    body: bytes = msgspec.field(default=b"", name="lock")
    error: ErrorValue | None = None


_decode_ended = msgspec.msgpack.Decoder(Ended).decode


class KeptAnswers(ABC, Generic[J]):
    """The stored answers of one kind of job. Methods over rows raise `DatabaseUnavailable` (passing) or
    `InvalidData`, and are one statement each; a failing cache is a miss. `place` stands in the cache's keys
    for the protocol.
    """

    TABLE: ClassVar[str]
    PROGRESS_TABLE: ClassVar[str]
    DATED: ClassVar[str]  # the column that tells when an answer was kept
    COLUMNS: ClassVar[Sequence[str]] = ()  # beyond key, body and date
    ENDED: ClassVar[str]  # prefix of the cache's identifier
    ENDED_SECONDS: ClassVar[int]  # how long an end lies ready for those who ask

    def __init__(self, database: Database, cache: CacheService) -> None:
        self._database = database
        self._cache = cache
        names = {
            "table": self.TABLE,
            "progress": self.PROGRESS_TABLE,
            "dated": self.DATED,
            "columns": "".join(f", {name}" for name in self.COLUMNS),
            "values": "".join(f", ${number}" for number in range(4, 4 + len(self.COLUMNS))),
        }
        self._find, self._keep, self._progress, self._save_progress, self._end_progress = (
            text.format(**names) for text in (FIND, KEEP, PROGRESS, SAVE_PROGRESS, END_PROGRESS)
        )

    @staticmethod
    @abstractmethod
    def place(job: J) -> str:
        """The cache keys of its answer."""

    @staticmethod
    def columns(job: J) -> Sequence[object]:
        """The values of `COLUMNS`."""
        return ()

    @staticmethod
    @abstractmethod
    def encode(ended: Ended) -> bytes:
        """The cached form; b"" for what is not cached."""

    @staticmethod
    @abstractmethod
    def decode(value: bytes) -> Ended | None:
        """What was cached; None for what this version cannot read."""

    # --- kept ---------------------------------------------------------------------------------------

    async def row(self, key: str) -> bytes | None:
        """The stored answer, as JSON, or None."""
        row = await self._database.fetchrow(self._find, bytes.fromhex(key))
        return None if row is None else bytes(row["body"])

    async def find(self, places: Sequence[str], key: str, *, direct: bool = False) -> bytes | None:
        """The stored answer from the cache, else its row, which fills the cache if there is one key.

        `direct`: the cache itself is asked, not what this process remembers of it.
        """
        cached = await asyncio.gather(*(self._cached(place, key, direct=direct) for place in places))
        body = next((each for each in cached if each is not None), None)
        if body is not None:
            return body
        body = await self.row(key)
        if body is not None and len(places) == 1:
            await self._remember(places[0], key, body)
        return body

    async def keep(self, job: J, body: bytes) -> bytes:
        """Store a complete answer for ever: row, then cache. Returns the one that stands: an earlier one,
        unless the job is a refresh."""
        key = bytes.fromhex(job.key)
        row = await self._database.fetchrow(self._keep, key, body, job.refresh, *self.columns(job))
        assert row is not None
        standing = bytes(row["body"])
        if job.refresh:  # an earlier end must not be taken for the answer
            await self._forget_end(job)
        await self.remember(job, standing)
        return standing

    async def remember(self, job: J, body: bytes) -> None:
        """Put a stored answer into the cache."""
        await self._remember(self.place(job), job.key, body)

    # --- ended without an answer to keep ------------------------------------------------------------

    async def end(self, job: J, ended: Ended) -> None:
        """Cache an end for `ENDED_SECONDS`."""
        value = self.encode(ended)
        if value:
            await self._remember(self.place(job), f"{self.ENDED}-{job.key}", value, self.ENDED_SECONDS)

    async def ended(self, place: str, key: str) -> Ended | None:
        """The cached end of a job whose answer is not stored."""
        value = await self._cached(place, f"{self.ENDED}-{key}", direct=True)
        return None if value is None else self.decode(value)

    async def _forget_end(self, job: J) -> None:
        try:
            await self._cache.delete(
                Category.DEPENDENCY_RESOLUTION, self.place(job), f"{self.ENDED}-{job.key}"
            )
        except CacheUnavailable as error:
            log.info("cache_not_written", error=error.message)

    # --- in the making ------------------------------------------------------------------------------

    async def progress(self, key: str) -> bytes | None:
        """The saved state of a running job."""
        return next(iter(await self.progress_of([key])), None)

    async def progress_of(self, keys: Sequence[str]) -> list[bytes]:
        """The saved states of those of these jobs that are running."""
        rows = await self._database.fetch(self._progress, [bytes.fromhex(key) for key in keys])
        return [bytes(row["state"]) for row in rows]

    async def save_progress(self, key: str, state: bytes) -> None:
        """Replace the saved state."""
        await self._database.execute(self._save_progress, bytes.fromhex(key), state)

    async def end_progress(self, key: str) -> None:
        """Delete the saved state."""
        await self._database.execute(self._end_progress, bytes.fromhex(key))

    # --- cache --------------------------------------------------------------------------------------

    async def _cached(self, place: str, identifier: str, *, direct: bool) -> bytes | None:
        try:
            category = Category.DEPENDENCY_RESOLUTION
            return (await self._cache.get_many(category, place, [identifier], direct=direct))[0]
        except CacheUnavailable:
            return None

    async def _remember(self, place: str, identifier: str, body: bytes, ttl: int | None = None) -> None:
        try:
            await self._cache.set(Category.DEPENDENCY_RESOLUTION, place, identifier, body, ttl=ttl)
        except CacheUnavailable as error:
            log.info("cache_not_written", error=error.message)


class KeptResolutions(KeptAnswers[Resolve]):
    """Resolved graphs. Of ends only incomplete graphs are cached, as they are served."""

    TABLE, PROGRESS_TABLE, DATED = "resolutions", "resolution_progress", "computed_at"
    COLUMNS = ("protocol", "artifact")
    ENDED, ENDED_SECONDS = "handed", 15
    REFUSED, REFUSED_SECONDS = "refused", 7 * 86_400

    async def refuse(self, job: Resolve, value: bytes) -> None:
        """Note why nothing satisfies it, and of what that follows."""
        await self._remember(self.place(job), f"{self.REFUSED}-{job.key}", value, self.REFUSED_SECONDS)

    async def refusal(self, job: Resolve) -> bytes | None:
        """What `refuse` noted."""
        return await self._cached(self.place(job), f"{self.REFUSED}-{job.key}", direct=True)

    @staticmethod
    def place(job: Resolve) -> str:
        return job.protocol

    @staticmethod
    def columns(job: Resolve) -> Sequence[object]:
        return job.protocol, bytes.fromhex(job.artifact) if job.artifact else None

    @staticmethod
    def encode(ended: Ended) -> bytes:
        return ended.body

    @staticmethod
    def decode(value: bytes) -> Ended | None:
        return Ended(value)


class KeptLocks(KeptAnswers[Ensure]):
    """Locks of ensure files."""

    TABLE, PROGRESS_TABLE, DATED = "ensures", "ensure_progress", "kept_at"
    ENDED, ENDED_SECONDS = "ended", 60

    @staticmethod
    def place(job: Ensure) -> str:
        return "ensure"

    @staticmethod
    def encode(ended: Ended) -> bytes:
        return msgspec.msgpack.encode(ended)

    @staticmethod
    def decode(value: bytes) -> Ended | None:
        try:
            return _decode_ended(value)
        except msgspec.MsgspecError:
            return None


# --- a resolution's job and its request -------------------------------------------------------------


def resolve_job(request: ResolutionRequest, *, refresh: bool, request_id: str) -> Resolve:
    """The job that answers a request."""
    fields = msgspec.structs.asdict(request)
    return Resolve(**fields, key=request.key, refresh=refresh, request_id=request_id)


def request_of(job: Resolve) -> ResolutionRequest:
    """The request that a job answers."""
    names = ResolutionRequest.__struct_fields__
    return ResolutionRequest(**{name: getattr(job, name) for name in names})
