"""What a resolution reads of the cache: pages that are current, by the rules of those who serve them."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import cast

import pytest

from services.extractor.extraction.sandbox.parent import Sandbox
from services.extractor.resolving.documents import DocumentLoader
from services.extractor.resolving.progress import Progress
from services.extractor.resolving.stored import StoredFiles
from shared.access.watcher import AccessWatcher
from shared.models import FORMAT, IndexHead
from shared.objects.port import DOCUMENTS
from shared.policy.policy import Policy
from shared.policy.rules import AgeRule, Rules
from shared.protocols.pypi import PyPIProxy
from shared.protocols.pypi.document import DOCUMENT_FORMAT, Envelope, encode_document
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


async def test_index__its_stamp_is_another_for_other_bytes_and_blocks_and_none_where_time_counts(
    house: House, loader: DocumentLoader
) -> None:
    async def stamp(body: bytes) -> str:
        key = f"{DOCUMENTS}/{hashlib.sha256(body).hexdigest()}"
        await house.store.put_bytes(key, body)
        now = clock.now()
        head = IndexHead(FORMAT, 200, 1, 0, 1, now, now + 300, document_key=key)
        await house.cache.write_head("pypi", "simple/demo", head)
        brought = await loader.load(PyPIProxy(), REQUEST, [PAGE], Progress(started_at=now))
        assert set(brought.found) == {PAGE}, brought
        return brought.stamps.get(PAGE, "")

    page = {"meta": {"api-version": "1.1"}, "name": "demo", "files": []}
    one = encode_document(Envelope(DOCUMENT_FORMAT, "simple/demo", "source", page))
    first = await stamp(one)
    assert first and await stamp(one) == first
    assert await stamp(one + b" ") not in ("", first)
    block = "INSERT INTO blocks (protocol, name, version, reason) VALUES ('pypi', 'demo', '2', 'it steals')"
    await house.database.execute(block)
    await loader._access.refresh()
    assert await stamp(one) not in ("", first)
    aged = Policy((), rules=Rules(ages={"": AgeRule(3600.0)}))
    loader._access = cast(AccessWatcher, SimpleNamespace(policy=aged))
    assert await stamp(one) == ""
