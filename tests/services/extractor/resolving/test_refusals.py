"""A resolution that nothing satisfies is told again without solving, while its documents are the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
import pytest_asyncio

from services.extractor.resolving.progress import Brought
from services.extractor.resolving.refusals import stamp_of
from services.extractor.resolving.resolve import ResolveHandler
from shared.cache.service import CacheService
from shared.errors import ResolutionConflict, ResolutionTooLarge
from shared.postgres.database import Database
from shared.process.threads import BoundedThreads
from shared.protocols.resolution import (
    Document,
    KnownDocuments,
    NeededDocuments,
    Resolution,
    ResolutionRequest,
)
from shared.queue.context import Deferred
from shared.queue.jobs import FetchIndex
from shared.redis.client import RedisClient
from shared.resolving.answers import KeptResolutions, resolve_job
from shared.settings import Settings
from tests.support.stores import RedisAddress

REQUEST = ResolutionRequest("pypi", requirements=("demo", "other"))
DEMO, OTHER = Document("index", "demo"), Document("index", "other")


class Shelf:
    """Loads what a test has put there; `stamps` as the loader tells them."""

    def __init__(self) -> None:
        self.stamps = {DEMO: "one", OTHER: "two"}
        self.away: set[Document] = set()
        self.asked: list[Document] = []

    async def load(self, protocol: Any, request: Any, documents: Any, progress: Any) -> Brought:
        there = [each for each in documents if each not in self.away]
        self.asked += there
        jobs: list[Any] = [FetchIndex("pypi", each.project) for each in documents if each in self.away]
        stamps = {each: self.stamps[each] for each in there if self.stamps[each]}
        return Brought(dict.fromkeys(there, "page"), jobs, stamps)


class Fits:
    """Nothing fits, unless it is said."""

    def __init__(self) -> None:
        self.solved = 0
        self.ends: Callable[[], Resolution] = self.conflict

    @staticmethod
    def conflict() -> Resolution:
        raise ResolutionConflict("demo wants other 1, and there is other 2")

    def resolve(self, request: Any, root: Any, known: KnownDocuments, **_: Any) -> Any:
        if DEMO not in known.documents or OTHER not in known.documents:
            return NeededDocuments((DEMO, OTHER))
        self.solved += 1
        return self.ends()


class Bench:
    """One extractor's handler after another, over the same stores."""

    def __init__(self, kept: KeptResolutions, threads: BoundedThreads) -> None:
        self.kept, self.threads = kept, threads
        self.shelf, self.resolver = Shelf(), Fits()
        self.handler = self.new()

    def new(self) -> ResolveHandler:
        idle = SimpleNamespace(forget=lambda _: None, when_ended=lambda *_: None)

        async def enqueue(_: Any) -> None:
            return

        return ResolveHandler(
            resolutions=self.kept,
            stored=cast(Any, None),
            loader=cast(Any, self.shelf),
            queue=cast(Any, SimpleNamespace(enqueue=enqueue)),
            wakeups=cast(Any, idle),
            threads=self.threads,
            protocols=cast(Any, {"pypi": SimpleNamespace(resolver=self.resolver)}),
        )

    async def run(self, *, refresh: bool = False) -> None:
        job = resolve_job(REQUEST, refresh=refresh, request_id="")
        await self.handler(cast(Any, SimpleNamespace(done=lambda: None)), job)

    async def refused(self, **options: bool) -> int:
        """How often it was solved for this refusal."""
        before = self.resolver.solved
        with pytest.raises(ResolutionConflict, match="demo wants other 1"):
            await self.run(**options)
        return self.resolver.solved - before


@pytest_asyncio.fixture
async def bench(database_url: str, cache_redis: RedisAddress) -> AsyncIterator[Bench]:
    redis = RedisClient(
        host=cache_redis.host, port=cache_redis.port, password=cache_redis.password, role="cache"
    )
    database, threads = Database(database_url, max_size=2), BoundedThreads(1)
    await database.open()
    yield Bench(KeptResolutions(database, CacheService.from_settings(redis, Settings())), threads)
    await threads.aclose()
    await database.aclose()
    await redis.aclose()


async def test_the_same_documents__told_again_by_any_extractor_and_not_solved(bench: Bench) -> None:
    assert await bench.refused() == 1
    assert await bench.refused() == 0
    bench.handler = bench.new()
    bench.shelf.asked.clear()
    assert await bench.refused() == 0
    assert sorted(each.project for each in bench.shelf.asked) == ["demo", "other"], "as they are now"
    assert await bench.refused(refresh=True) == 1


async def test_another_document__solved_anew_and_kept_for_that(bench: Bench) -> None:
    assert await bench.refused() == 1
    bench.shelf.stamps[OTHER] = "three"
    assert await bench.refused() == 1
    assert await bench.refused() == 0
    bench.shelf.stamps[OTHER] = "two"
    assert await bench.refused() == 1

    def fits() -> Resolution:
        return Resolution(REQUEST, REQUEST.key, True, (), ())

    bench.shelf.stamps[DEMO] = "four"
    bench.resolver.ends = fits
    await bench.run()
    assert await bench.kept.row(REQUEST.key) is not None


async def test_a_document_that_may_be_another_by_the_hour__nothing_is_kept(bench: Bench) -> None:
    bench.shelf.stamps[OTHER] = ""
    assert [await bench.refused(), await bench.refused()] == [1, 1]
    assert stamp_of([DEMO, OTHER], {DEMO: "one"}) == ""


async def test_what_took_too_long__is_tried_again(bench: Bench) -> None:
    def too_large() -> Resolution:
        raise ResolutionTooLarge("it takes longer than a resolution may")

    bench.resolver.ends = too_large
    for _ in range(2):
        with pytest.raises(ResolutionTooLarge):
            await bench.run()
    assert bench.resolver.solved == 2


async def test_a_document_is_fetched_first__waited_for_in_either_extractor(bench: Bench) -> None:
    assert await bench.refused() == 1
    bench.shelf.away = {DEMO, OTHER}
    for _ in range(2):
        with pytest.raises(Deferred):
            await bench.run()
        bench.handler = bench.new()
    bench.shelf.away = {OTHER}
    with pytest.raises(Deferred):
        await bench.run()
    bench.shelf.away = set()
    assert await bench.refused() == 0


async def test_of_another_version__solved_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.extractor.resolving.refusals.VERSION", "0.0.0")
    assert await bench.refused() == 1
    monkeypatch.undo()
    assert await bench.refused() == 1
    raw = await bench.kept.refusal(resolve_job(REQUEST, refresh=False, request_id=""))
    assert raw is not None
    await bench.kept.refuse(resolve_job(REQUEST, refresh=False, request_id=""), msgspec.msgpack.encode([1]))
    assert await bench.refused() == 1
