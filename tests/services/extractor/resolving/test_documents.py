"""What a resolution reads of the cache: pages that are current, by the rules of those who serve them."""

from __future__ import annotations

import pytest

from services.extractor.extraction.sandbox.parent import Sandbox
from services.extractor.resolving.documents import DocumentLoader
from services.extractor.resolving.progress import Progress
from services.extractor.resolving.stored import StoredFiles
from shared.access.watcher import AccessWatcher
from shared.models import FORMAT, IndexHead
from shared.protocols.pypi import PyPIProxy
from shared.protocols.resolution import Absent, Document, ResolutionRequest
from shared.queue.jobs import FetchIndex
from shared.redis import clock
from tests.services.extractor.conftest import House

PAGE = Document(kind="index", project="demo")
REQUEST = ResolutionRequest("pypi", requirements=("demo",))


@pytest.fixture
async def loader(house: House) -> DocumentLoader:
    return DocumentLoader(
        cache=house.cache,
        artifacts=house.artifacts,
        stored=StoredFiles(house.database),
        store=house.store,
        queue=house.queue,
        threads=house.threads,
        sandbox=await house.resources.open("sandbox", Sandbox(house.store, children=1)),
        access=AccessWatcher(house.database, house.queue_redis),
    )


@pytest.mark.parametrize(
    ("fetched_ago", "revision", "current"),
    [(0, 1, True), (299, 1, True), (301, 1, False), (-3600, 1, False), (0, 2, False), (0, 0, True)],
)
async def test_index__fresh_and_of_the_sources_as_they_are__else_asked_for_again(
    house: House, loader: DocumentLoader, fetched_ago: float, revision: int, current: bool
) -> None:
    fetched_at = clock.now() - fetched_ago
    head = IndexHead(FORMAT, 404, 1, 1, 1, fetched_at, fetched_at + 300)
    await house.cache.write_head("pypi", "simple/demo", head)
    if revision:
        await house.cache.raise_revision("pypi", revision)
    brought = await loader.load(PyPIProxy(), REQUEST, [PAGE], Progress(started_at=clock.now()))
    if current:
        assert isinstance(brought.found[PAGE], Absent) and not brought.jobs
    else:
        wanted = FetchIndex("pypi", "simple/demo").id
        assert [each.id for each in brought.jobs] == [wanted] and not brought.found
