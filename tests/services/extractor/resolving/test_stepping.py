"""A stepping job on real stores: what is saved between its runs, and what is left of it at its end."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from services.extractor.resolving.progress import EnsureProgress, EnsureWork
from services.extractor.resolving.stepping import Made, SteppingJob
from shared.cache.service import CacheService
from shared.errors import OrchardError, ResolutionTooLarge
from shared.postgres.database import Database
from shared.queue.context import Deferred
from shared.queue.jobs import Ensure
from shared.redis.client import RedisClient
from shared.resolving.answers import Ended, KeptLocks
from shared.settings import Settings
from tests.support.stores import RedisAddress

KEY = hashlib.sha256(b"key").hexdigest()
JOB = Ensure(key=KEY, document="{}")


class Context:
    """What is used of `JobContext`; each event with what could be read when it was told."""

    def __init__(self, locks: KeptLocks) -> None:
        self.events: list[tuple[str, bytes | None, bytes | None]] = []
        self.ended = False
        self._locks = locks

    async def publish(self, kind: str) -> None:
        self.events.append((kind, await self._locks.row(KEY), await self._locks.find(["ensure"], KEY)))

    def done(self) -> None:
        self.ended = True


class Wakeups:
    def __init__(self) -> None:
        self.forgotten: list[str] = []

    def forget(self, job_id: str) -> None:
        self.forgotten.append(job_id)


class Stepping(SteppingJob[Ensure, EnsureProgress, EnsureWork]):
    """Does what the test says; remembers the states and works that it was given."""

    LOGGED, REMEMBERED, MOST_SECONDS = "stepped", 2, 100.0

    def __init__(self, locks: KeptLocks) -> None:
        super().__init__(locks, Wakeups(), state=EnsureProgress, work=EnsureWork)  # type: ignore[arg-type]
        self.next: Made | Exception = Deferred(1)
        self.seen: list[tuple[float, int, EnsureWork]] = []

    async def advance(self, job: Ensure, work: EnsureWork, state: EnsureProgress) -> Made:
        self.seen.append((state.started_at, state.documents, work))
        state.documents += 1
        if isinstance(self.next, Exception):
            raise self.next
        return self.next


@pytest_asyncio.fixture
async def locks(database_url: str, cache_redis: RedisAddress) -> AsyncIterator[KeptLocks]:
    redis = RedisClient(
        host=cache_redis.host, port=cache_redis.port, password=cache_redis.password, role="cache"
    )
    database = Database(database_url, max_size=2)
    await database.open()
    yield KeptLocks(database, CacheService.from_settings(redis, Settings()))
    await database.aclose()
    await redis.aclose()


async def run(stepping: Stepping, job: Ensure = JOB) -> list[Any]:
    context = Context(stepping._answers)  # type: ignore[arg-type]
    await stepping(context, job)  # type: ignore[arg-type]
    if context.ended:  # what is told when the job ends
        await context.publish("done")
    return context.events


async def test_deferred__another_process_goes_on_from_its_state(locks: KeptLocks) -> None:
    first, second = Stepping(locks), Stepping(locks)
    for stepping in (first, first, second):
        with pytest.raises(Deferred):
            await run(stepping)
    seen = [*first.seen, *second.seen]
    assert [documents for _, documents, _ in seen] == [0, 1, 2]
    assert len({started_at for started_at, _, _ in seen}) == 1
    assert first.seen[0][2] is first.seen[1][2]  # in one process the work is remembered
    second.next = Made(b"lock", True, {})
    assert await run(second) == [("done", b"lock", b"lock")]
    assert await locks.progress(KEY) is None


@pytest.mark.parametrize("age", [None, 201.0], ids=["unreadable", "given up"])
async def test_state__unreadable_or_of_a_job_given_up__begun_anew(
    locks: KeptLocks, age: float | None
) -> None:
    saved = b"[]" if age is None else msgspec.json.encode({"started_at": time.time() - age})
    await locks.save_progress(KEY, saved)
    stepping = Stepping(locks)
    with pytest.raises(Deferred):
        await run(stepping)
    assert time.time() - stepping.seen[0][0] < 60


async def test_kept_already__told_at_once_unless_refreshed(locks: KeptLocks) -> None:
    stepping = Stepping(locks)
    await locks.keep(JOB, b"standing")
    assert await run(stepping) == [("done", b"standing", b"standing")]
    assert stepping.seen == []
    stepping.next = Made(b"fresh", True, {})
    assert await run(stepping, msgspec.structs.replace(JOB, refresh=True)) == [("done", b"fresh", b"fresh")]


async def test_not_lasting__handed_and_not_kept(locks: KeptLocks) -> None:
    stepping = Stepping(locks)
    with pytest.raises(Deferred):
        await run(stepping)
    stepping.next = Made(b"part", False, {})
    assert await run(stepping) == [("done", None, None)]
    assert await locks.ended("ensure", KEY) == Ended(b"part")
    assert await locks.progress(KEY) is None


async def test_error__told_to_who_asks_later_and_nothing_left(locks: KeptLocks) -> None:
    stepping = Stepping(locks)
    with pytest.raises(Deferred):
        await run(stepping)
    error: OrchardError = ResolutionTooLarge("too large")
    stepping.next = error
    with pytest.raises(ResolutionTooLarge):
        await run(stepping)
    assert await locks.ended("ensure", KEY) == Ended(error=error.to_value())
    assert await locks.progress(KEY) is None
    assert not len(stepping._work)
    assert stepping._wakeups.forgotten == [JOB.id]  # type: ignore[attr-defined]


async def test_work__of_more_jobs_than_are_remembered__the_oldest_is_found_anew(locks: KeptLocks) -> None:
    stepping = Stepping(locks)
    for digit in "1231":
        with pytest.raises(Deferred):
            await run(stepping, Ensure(key=digit * 64, document="{}"))
    assert len(stepping._work) == 2
    assert stepping.seen[0][2] is not stepping.seen[3][2]
