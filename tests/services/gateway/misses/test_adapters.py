"""What the flows read of cache and rows is judged by the blocks of now."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.gateway.misses.adapters import CachedIndex, StoredFacts
from shared.access.watcher import AccessWatcher
from shared.artifacts.repository import ArtifactRepository
from shared.errors import Blocked
from shared.models import FORMAT, FileName, IndexHead, StoredFile, VariantInfo
from shared.protocols import protocol_named
from tests.services.gateway.conftest import Stores

VARIANT = "json.identity"
BODY = b'{"files":[]}'


@pytest_asyncio.fixture
async def access(stores: Stores) -> AsyncIterator[AccessWatcher]:
    watcher = AccessWatcher(stores.database, stores.queue_redis)
    await watcher.open()
    yield watcher
    await watcher.aclose()


async def _put_page(stores: Stores, stamp: str) -> None:
    now = time.time()
    variants = {VARIANT: VariantInfo('"x"', len(BODY), "text/x")}
    head = IndexHead(FORMAT, 200, int(now * 1e6), 0, 1, now, now + 300, variants=variants, blocks=stamp)
    assert await stores.cache.write_index("pypi", "simple/demo", head, {VARIANT: BODY})


async def _block(stores: Stores, access: AccessWatcher, version: str) -> None:
    await stores.database.execute(
        "INSERT INTO blocks (protocol, name, version, reason) VALUES ('pypi', 'demo', $1, 'it steals')",
        version,
    )
    await access.refresh()


async def test_read_index__made_under_other_blocks__has_no_body_to_serve(
    stores: Stores, access: AccessWatcher
) -> None:
    index = CachedIndex(stores.cache, stores.cache_redis, access)
    await _put_page(stores, "")
    assert (await index.read_index("pypi", "simple/demo", VARIANT)).body == BODY
    await _block(stores, access, "2")
    for direct in (False, True):
        read = await index.read_index("pypi", "simple/demo", VARIANT, direct=direct)
        assert read.head is not None
        assert (read.head.variants, read.body) == ({}, None)
    await _put_page(stores, access.policy.of("pypi", "demo").stamp)
    assert (await index.read_index("pypi", "simple/demo", VARIANT)).body == BODY


async def test_read_index__made_under_blocks_that_were_lifted__has_no_body_to_serve(
    stores: Stores, access: AccessWatcher
) -> None:
    index = CachedIndex(stores.cache, stores.cache_redis, access)
    await _put_page(stores, "of a block that is gone")
    assert (await index.read_index("pypi", "simple/demo", VARIANT)).body is None


async def test_facts__bytes_are_blocked__refused_out_of_cache_and_rows(
    stores: Stores, access: AccessWatcher
) -> None:
    facts = await stores.put_artifact("demo", "demo-1.0-py3-none-any.whl", b"PK\x03\x04", in_cache=False)
    resource = protocol_named("pypi").grammar.artifact_resource(
        FileName("pypi", "demo", facts.sha256, facts.filename)
    )
    found = StoredFacts(stores.cache, ArtifactRepository(stores.database), request_timeout=5.0, access=access)
    await stores.database.execute(
        "INSERT INTO blocks (sha256, reason) VALUES ($1, 'it steals')", bytes.fromhex(facts.sha256)
    )
    await access.refresh()
    with pytest.raises(Blocked):
        await found.stored(resource.file)
    with pytest.raises(Blocked):
        await found.cached(resource.file)


async def test_file__its_row_is_taken_away_while_it_is_read__is_not_there(
    stores: Stores, access: AccessWatcher
) -> None:
    facts = await stores.put_artifact("demo", "demo-1.0-py3-none-any.whl", b"PK\x03\x04", in_cache=False)
    file = FileName("pypi", "demo", facts.sha256, facts.filename)

    class Overtaken(ArtifactRepository):
        async def get_cached_url_with_artifact(self, file: FileName) -> StoredFile | None:
            found = await super().get_cached_url_with_artifact(file)
            if found is not None:
                await stores.database.execute("DELETE FROM cached_urls")
                await stores.cache.fence_facts(file, found.created_at)
            return found

    found = StoredFacts(stores.cache, Overtaken(stores.database), request_timeout=5.0, access=access)
    assert await found.stored(file) is None
    assert await found.cached(file) is None
