"""Pages of a source that may no longer be asked for a name are not shown, whatever goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from shared.cache.keys import Category
from shared.errors import OrchardError
from shared.errors.passing import UpstreamUnavailable
from tests.services.fetcher.conftest import WHEEL, Fetcher, running_fetcher
from tests.support.upstream import Fault, Upstream

PAGE = "/simple/demo/"


@pytest.fixture
def private() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest_asyncio.fixture
async def fetcher(upstream: Upstream, private: Upstream, environ: dict[str, str]) -> AsyncIterator[Fetcher]:
    both = f"{upstream.url}/simple/,{private.url}/simple/"
    async with running_fetcher(upstream, {**environ, "ORCHARD_PYPI_UPSTREAM": both}) as running:
        yield running


async def _bind_to_second(fetcher: Fetcher) -> None:
    """The operator binds the name to the second source and takes its pin back."""
    before = await fetcher.cache.read_revision("pypi")
    await fetcher.database.execute("DELETE FROM project_pins")
    await fetcher.database.execute("UPDATE upstream_sources SET include = '{demo}' WHERE name = 'pypi-2'")
    async with asyncio.timeout(30):
        while await fetcher.cache.read_revision("pypi") <= before:
            await asyncio.sleep(0.02)


async def test_bound_elsewhere__new_source_fails__old_sources_page_is_not_shown_as_stale(
    fetcher: Fetcher, upstream: Upstream, private: Upstream
) -> None:
    upstream.add_project("demo", {WHEEL: b"PK\x03\x04 a stranger's"})
    await fetcher.index()
    await _bind_to_second(fetcher)
    private.fault(PAGE, Fault(status=500))
    with pytest.raises(UpstreamUnavailable):
        await fetcher.index()
    head = await fetcher.head()
    assert head is None or head.source_revision < await fetcher.cache.read_revision("pypi")
    assert upstream.count(PAGE) == 1


async def test_bound_elsewhere__new_source_is_asked_without_the_validators_of_the_old(
    fetcher: Fetcher, upstream: Upstream, private: Upstream
) -> None:
    for source in (upstream, private):
        source.add_project("demo", {WHEEL: b"PK\x03\x04"})
    await fetcher.index()
    await fetcher.index()
    assert upstream.seen(PAGE)[-1].headers["if-none-match"]  # it has some
    await _bind_to_second(fetcher)
    await fetcher.index()
    asked = private.seen(PAGE)[-1].headers
    assert "if-none-match" not in asked and "if-modified-since" not in asked


@pytest.mark.parametrize("in_cache", [True, False])
async def test_bound_elsewhere__rendered_again__old_sources_page_does_not_come_back(
    fetcher: Fetcher, upstream: Upstream, in_cache: bool
) -> None:
    upstream.add_project("demo", {WHEEL: b"PK\x03\x04 a stranger's"})
    await fetcher.index()
    await _bind_to_second(fetcher)
    if not in_cache:
        await fetcher.cache.invalidate(Category.PACKAGE_INDEX, "pypi")
    with pytest.raises(OrchardError):
        await fetcher.render()
    head = await fetcher.head()
    assert head is None or head.source_revision < await fetcher.cache.read_revision("pypi")
