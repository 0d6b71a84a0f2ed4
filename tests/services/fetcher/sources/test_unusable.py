"""A source whose credentials cannot be opened is not asked without them: a 404 to a stranger would pass for a
true one, and what others have of that name would take its place."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from shared.errors import SourceUnusable
from shared.sources.box import SealingBox
from shared.sources.credentials import Credentials
from tests.services.fetcher.conftest import WHEEL, Fetcher, running_fetcher
from tests.support.upstream import Upstream

OTHER_KEY = SealingBox([b"k" * 32])


@pytest.fixture
def second() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest_asyncio.fixture
async def fetcher(upstream: Upstream, second: Upstream, environ: dict[str, str]) -> AsyncIterator[Fetcher]:
    own_key = b64encode(b"o" * 32).decode()
    both = f"{upstream.url}/simple/,{second.url}/simple/"
    settings = {**environ, "ORCHARD_PYPI_UPSTREAM": both, "ORCHARD_SECRET_KEY": own_key}
    async with running_fetcher(upstream, settings) as running:
        yield running


async def _loses_its_key(fetcher: Fetcher) -> None:
    before = await fetcher.cache.read_revision("pypi")
    sealed = OTHER_KEY.seal(Credentials("reader", "canary-s3cret"), fetcher.upstream.url)
    await fetcher.database.execute("UPDATE upstream_sources SET sealed = $1 WHERE name = 'pypi'", sealed)
    async with asyncio.timeout(30):
        while await fetcher.cache.read_revision("pypi") <= before:
            await asyncio.sleep(0.02)


async def test_credentials_cannot_be_opened__nobody_is_asked_and_the_next_source_is_not_either(
    fetcher: Fetcher, upstream: Upstream, second: Upstream
) -> None:
    second.add_project("demo", {WHEEL: b"PK\x03\x04 a stranger's"})
    await _loses_its_key(fetcher)
    with pytest.raises(SourceUnusable, match="ORCHARD_SECRET_KEY"):
        await fetcher.index()
    assert (upstream.requests, second.requests) == ([], [])


async def test_credentials_cannot_be_opened__a_file_that_it_listed_is_not_asked_for(
    fetcher: Fetcher, upstream: Upstream
) -> None:
    wheel = b"PK\x03\x04 its own"
    upstream.add_project("demo", {WHEEL: wheel})
    await fetcher.index()
    await _loses_its_key(fetcher)
    before = len(upstream.requests)
    with pytest.raises(SourceUnusable):
        await fetcher.artifact(wheel)
    assert len(upstream.requests) == before
