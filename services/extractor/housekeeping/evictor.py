"""Frees room in the object store: removes files unused for long, or longest; their rows and metadata stay.

Off unless ORCHARD_EVICT_DAYS or ORCHARD_EVICT_BYTES says otherwise. An evicted file is fetched again when
somebody asks for it, and refused unless it has the same SHA256. Hence nothing is evicted that could not be
fetched again (no enabled source, offline), that a stored resolution or lock names, or that was used within a
day; and no small file: core metadata and POMs are small.

Those are bounds by choice, looked at by the hour. The disk sets one of its own, looked at all the time, with
the same protection: the longest unused files go when it comes near its floor (`PressureEvictor`).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from shared.artifacts.uses import keep_uses, read_uses, reported_use
from shared.builds.rows import REMOVALS
from shared.objects.guard import sweeping
from shared.objects.port import ARTIFACTS, ObjectStat, is_key
from shared.postgres.database import Fetch
from shared.process.disk import DiskFloor
from shared.process.periodic import Every
from shared.stores import Stores
from shared.telemetry.logs import get_logger

log = get_logger()

LEAST_BYTES = 64 * 1024
LEAST_UNUSED_SECONDS = 86_400.0
BATCH = 500
MOST_HELD = 50_000  # files in memory: the longest unused of all, 15 MB

# Whatever looks like a digest or a file name in a kept answer is protected: both are found in its JSON
# whatever its format becomes. npm's and Maven's nodes may have no SHA256, hence the names. Searched here and
# some at a time: all bodies in one statement would outlast what any statement may take.
RESOLUTIONS = """
SELECT computed_at AS at, key, artifact, body FROM resolutions WHERE (computed_at, key) > ($1, $2)
ORDER BY computed_at, key LIMIT $3
"""
LOCKS = """
SELECT kept_at AS at, key, NULL::bytea AS artifact, body FROM ensures WHERE (kept_at, key) > ($1, $2)
ORDER BY kept_at, key LIMIT $3
"""
BODIES = 16  # looked through at a time: some have megabytes
_DIGEST = re.compile(rb'"([0-9a-f]{64})"')
_FILENAME = re.compile(rb'"filename":"([^"\\]+)"')

# A file under several names goes only if each of them can be had again.
REFETCHABLE = """
SELECT c.sha256, array_agg(c.filename) AS filenames
FROM cached_urls c LEFT JOIN upstream_sources s ON s.id = c.source_id
WHERE c.sha256 = ANY($1) AND NOT EXISTS (SELECT FROM quarantine q WHERE q.sha256 = c.sha256) -- evidence
    AND NOT EXISTS (SELECT FROM build_objects b WHERE b.key = 'artifacts/' || encode(c.sha256, 'hex'))
    AND NOT EXISTS (SELECT FROM imported_files f WHERE f.sha256 = c.sha256)  -- fetched from here itself
GROUP BY c.sha256
HAVING bool_and(c.role = 'file' AND c.upstream_url <> '' AND coalesce(s.enabled, false))
"""


class UsesKept:
    """Copies the uses that gateways report into the database, so that eviction can be turned on later."""

    def __init__(self, stores: Stores) -> None:
        self._database = stores.database
        self._redis = stores.queue_redis

    async def run(self) -> int:
        """Returns the number of rows. Raises `QueueUnavailable`, `DatabaseUnavailable`."""
        return await keep_uses(self._redis, self._database)


class EvictionReport(msgspec.Struct):
    """What one run found and did; `evicted` is 0 in a dry run."""

    files: int = 0  # large enough to be looked at
    file_bytes: int = 0
    protected: int = 0  # due, but named by a resolution or lock, or not fetchable
    due: int = 0
    due_bytes: int = 0
    evicted: int = 0
    evicted_bytes: int = 0
    still_over_bytes: int = 0  # of ORCHARD_EVICT_BYTES, when nothing more may be evicted


class _Named(msgspec.Struct):
    """The digests and file names in stored answers."""

    digests: set[bytes] = msgspec.field(default_factory=set)
    filenames: set[str] = msgspec.field(default_factory=set)

    def holds(self, digest: bytes, filenames: Iterable[str]) -> bool:
        return digest in self.digests or not self.filenames.isdisjoint(filenames)


class _File(msgspec.Struct):
    digest: bytes
    size_bytes: int
    modified_at: float
    used_at: float

    @property
    def place(self) -> tuple[float, bytes]:
        """Its place in the order in which files go."""
        return self.used_at, self.digest


class Evictor:
    """One run at a time, over stores that others open and close. `days`, `max_bytes`: 0 is no bound."""

    def __init__(
        self,
        stores: Stores,
        *,
        days: int,
        max_bytes: int,
        dry_run: bool = False,
        free_bytes: int = 0,
        unused_seconds: float = LEAST_UNUSED_SECONDS,
    ) -> None:
        """`free_bytes`: how many to free, whatever the bounds; nothing used within `unused_seconds` is
        evicted."""
        self._store = stores.bare_objects
        self._database = stores.database
        self._redis = stores.queue_redis
        self._days = days
        self._max_bytes = max_bytes
        self._dry_run = dry_run
        self._free_bytes = free_bytes
        self._unused_seconds = unused_seconds

    async def run(self) -> EvictionReport:
        """Raises what the stores raise; a partial run is harmless."""
        began = time.time()
        await keep_uses(self._redis, self._database)
        report = EvictionReport()
        held = await self._longest_unused(began, None, report)
        over = max(self._free_bytes, report.file_bytes - self._max_bytes if self._max_bytes else 0)
        stale = began - self._days * 86_400.0 if self._days else 0.0
        named: _Named | None = None
        while held:
            for start in range(0, len(held), BATCH):
                batch = held[start : start + BATCH]
                if batch[0].used_at >= stale and over <= 0:
                    break
                named = named or await self._named(0.0)
                over = await self._evict_due(batch, named, stale, over, began, report)
            if len(held) < MOST_HELD or (held[-1].used_at >= stale and over <= 0):
                break
            held = await self._longest_unused(began, held[-1].place, None)
        report.still_over_bytes = max(0, over)
        log.info("eviction_done", dry_run=self._dry_run, **msgspec.structs.asdict(report))
        return report

    async def _evict_due(
        self,
        batch: Sequence[_File],
        named: _Named,
        stale: float,
        over: int,
        began: float,
        report: EvictionReport,
    ) -> int:
        """How many bytes are still too many."""
        refetchable = await self._refetchable(batch)
        for each in batch:
            if each.used_at >= stale and over <= 0:
                break
            filenames = refetchable.get(each.digest)
            if filenames is None or named.holds(each.digest, filenames):
                report.protected += 1
                continue
            report.due += 1
            report.due_bytes += each.size_bytes
            if self._dry_run or await self._evict(each, filenames, began, report):
                over -= each.size_bytes
        return over

    async def _longest_unused(
        self, began: float, after: tuple[float, bytes] | None, report: EvictionReport | None
    ) -> list[_File]:
        """Of all stored files that are large enough, and that nobody has used lately, the `MOST_HELD` longest
        unused after `after`, in order. Counts all of them in `report`."""
        held: list[_File] = []
        batch: list[_File] = []

        async def look() -> None:
            uses = await read_uses(self._database, [each.digest for each in batch])
            for each in batch:
                each.used_at = max(each.modified_at, uses.get(each.digest, 0.0))
                if each.used_at < began - self._unused_seconds and (after is None or each.place > after):
                    held.append(each)
            batch.clear()
            if len(held) >= 2 * MOST_HELD:
                held.sort(key=lambda each: each.place)
                del held[MOST_HELD:]

        async for found in self._store.list(f"{ARTIFACTS}/"):
            if found.size_bytes <= LEAST_BYTES or not is_key(found.key):
                continue
            if report is not None:
                report.files += 1
                report.file_bytes += found.size_bytes
            if found.modified_at < began - self._unused_seconds:
                batch.append(_file(found))
            if len(batch) >= BATCH:
                await look()
        await look()
        held.sort(key=lambda each: each.place)
        return held[:MOST_HELD]

    async def _named(self, since: float) -> _Named:
        """Names in answers stored since then."""
        found = _Named()
        for statement in (RESOLUTIONS, LOCKS):
            at, key = datetime.fromtimestamp(since, UTC), b""
            while rows := await self._database.fetch(statement, at, key, BODIES):
                at, key = rows[-1]["at"], bytes(rows[-1]["key"])
                found.digests.update(bytes(row["artifact"]) for row in rows if row["artifact"] is not None)
                await asyncio.to_thread(_look_through, [bytes(row["body"]) for row in rows], found)
        return found

    async def _refetchable(self, batch: Sequence[_File]) -> dict[bytes, list[str]]:
        """Those of these files that can be fetched again."""
        rows = await self._database.fetch(REFETCHABLE, [each.digest for each in batch])
        return {bytes(row["sha256"]): list(row["filenames"]) for row in rows}

    async def _evict(
        self, file: _File, filenames: Sequence[str], began: float, report: EvictionReport
    ) -> bool:
        """Removes one file under the lock that puts take, after checking again what may have changed."""
        key = f"{ARTIFACTS}/{file.digest.hex()}"
        async with sweeping(self._redis, key) as alone:
            if not alone or await reported_use(self._redis, file.digest) > file.used_at:
                return False
            found = await self._store.stat(key)
            if found is None or found.modified_at > file.modified_at + 1:
                return False
            if (await self._named(began - 60.0)).holds(file.digest, filenames):
                return False
            if not await self._database.sharing(REMOVALS, lambda fetch: self._remove(file, fetch)):
                return False
        report.evicted += 1
        report.evicted_bytes += file.size_bytes
        log.info("file_evicted", key=key, size_bytes=file.size_bytes, unused_days=_days(began - file.used_at))
        return True

    async def _remove(self, file: _File, fetch: Fetch) -> bool:
        if not await fetch(REFETCHABLE, [file.digest]):  # an import has named it, or it became evidence
            return False
        await self._store.delete(f"{ARTIFACTS}/{file.digest.hex()}")
        return True


def _look_through(bodies: Iterable[bytes], found: _Named) -> None:
    for body in bodies:
        found.digests.update(bytes.fromhex(each.decode()) for each in _DIGEST.findall(body))
        found.filenames.update(each.decode(errors="replace") for each in _FILENAME.findall(body))


def _file(found: ObjectStat) -> _File:
    digest = bytes.fromhex(found.key.rpartition("/")[2])
    return _File(digest, found.size_bytes, found.modified_at, found.modified_at)


def _days(seconds: float) -> int:
    return int(seconds // 86_400)


LOOK_SECONDS = 10.0
AGAIN_SECONDS = 300.0  # after a run that could not free enough: each run reads all kept answers
UNUSED_SECONDS = 600.0  # files used since then stay: they may be an installation in progress
FLOORS_LEFT = 3  # so many floors are free afterwards


class PressureEvictor:
    """Watches the disk while open. For a store in files; a bucket has no free space to ask for."""

    def __init__(self, stores: Stores, floor: DiskFloor) -> None:
        self._stores = stores
        self._floor = floor
        self._looks = Every(LOOK_SECONDS, self._turn, name="disk pressure", first_seconds=0)

    async def open(self) -> None:
        """Start, with a first check at once."""
        await self._looks.open()

    async def aclose(self) -> None:
        """Stop, in the middle of a run if need be."""
        await self._looks.aclose()

    async def relieve(self) -> bool:
        """Evict if the disk is low; returns whether enough is free now. Raises what the stores raise."""
        disk = self._floor.look()
        if not disk.is_low:
            return True
        wanted = FLOORS_LEFT * disk.floor_bytes - disk.free_bytes
        log.warning("disk_low", free_bytes=disk.free_bytes, floor_bytes=disk.floor_bytes)
        evictor = Evictor(
            self._stores,
            days=0,
            max_bytes=0,
            free_bytes=wanted,
            unused_seconds=UNUSED_SECONDS,
        )
        await evictor.run()
        return not self._floor.look().is_low

    async def _turn(self) -> float:
        if await self.relieve():
            return LOOK_SECONDS
        return LOOK_SECONDS * 3 if self._floor.look().is_short else AGAIN_SECONDS
