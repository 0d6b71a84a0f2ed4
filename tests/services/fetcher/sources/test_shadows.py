"""What an operator is told when a pin or an empty page hides what another source has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest
import pytest_asyncio

from services.fetcher.sources import shadows
from shared.errors import UpstreamStrayed
from tests.services.fetcher.conftest import WHEEL, Fetcher, running_fetcher
from tests.support.upstream import Fault, Upstream

PAGE = "/simple/demo/"


@pytest.fixture
def second() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest_asyncio.fixture
async def fetcher(upstream: Upstream, second: Upstream, environ: dict[str, str]) -> AsyncIterator[Fetcher]:
    both = f"{upstream.url}/simple/,{second.url}/simple/"
    async with running_fetcher(upstream, {**environ, "ORCHARD_PYPI_UPSTREAM": both}) as running:
        yield running


async def _told(fetcher: Fetcher, kind: str) -> dict[str, object]:
    """The detail of the one event of a kind, once it is there."""
    async with asyncio.timeout(30):
        while True:
            rows = await fetcher.database.fetch("SELECT detail FROM events WHERE kind = $1", kind)
            if rows:
                assert len(rows) == 1
                return dict(msgspec.json.decode(rows[0]["detail"]))
            await asyncio.sleep(0.02)


async def test_pinned_below__a_higher_source_begins_to_have_it__told_and_still_served_from_the_pin(
    fetcher: Fetcher, upstream: Upstream, second: Upstream
) -> None:
    second.add_project("demo", {WHEEL: b"PK\x03\x04 the squatter's"})
    pinned = await fetcher.index()
    assert upstream.count(PAGE) == 1  # its 404 was just heard: it is not asked once more
    upstream.add_project("demo", {WHEEL: b"PK\x03\x04 the private one"})
    assert (await fetcher.index()).source_id == pinned.source_id
    assert await _told(fetcher, "source_shadowed") == {"source": "pypi", "served_from": ["pypi-2"]}
    await fetcher.index()
    await fetcher.index()
    assert upstream.count(PAGE) == 2  # each ten minutes at most


async def test_pinned_below__long_ago_looked__looked_for_again(
    fetcher: Fetcher, upstream: Upstream, second: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadows, "EVERY_SECONDS", 0.0)
    second.add_project("demo", {WHEEL: b"PK\x03\x04 of the second"})
    await fetcher.index()
    for _ in range(2):
        await fetcher.index()
    assert upstream.count(PAGE) == 3
    assert await fetcher.events("source_shadowed") == 0


async def test_pinned_below__higher_source_fails__served_and_nothing_told(
    fetcher: Fetcher, upstream: Upstream, second: Upstream
) -> None:
    second.add_project("demo", {WHEEL: b"PK\x03\x04 of the second"})
    await fetcher.index()
    upstream.fault(PAGE, Fault(status=503))
    assert not (await fetcher.index()).failing
    assert await fetcher.events("source_shadowed") == 0


async def test_empty_page__pins_nothing__told_when_a_later_source_has_files(
    fetcher: Fetcher, upstream: Upstream, second: Upstream
) -> None:
    upstream.add_project("demo", {})
    second.add_project("demo", {WHEEL: b"PK\x03\x04 of the second"})
    first = await fetcher.index()
    assert await fetcher.artifacts.pinned("pypi", ["demo"]) == frozenset()
    assert second.count(PAGE) == 0
    assert (await fetcher.index()).source_id == first.source_id
    assert await _told(fetcher, "empty_index") == {"source": "pypi-2", "served_from": ["pypi"]}


async def test_page_of_another_host__refused_and_told__unless_the_operator_lets_it(
    fetcher: Fetcher, upstream: Upstream, second: Upstream
) -> None:
    second.add_project("demo", {WHEEL: b"PK\x03\x04 of another registry"})
    upstream.fault(PAGE, Fault(redirect=second.url + PAGE))
    with pytest.raises(UpstreamStrayed):
        await fetcher.index()
    assert await fetcher.events("upstream_strayed") == 1
    assert await fetcher.artifacts.pinned("pypi", ["demo"]) == frozenset()
    before = await fetcher.cache.read_revision("pypi")
    await fetcher.database.execute(
        "UPDATE upstream_sources SET options = '{\"pages_elsewhere\": true}' WHERE name = 'pypi'"
    )
    async with asyncio.timeout(30):
        while await fetcher.cache.read_revision("pypi") <= before:
            await asyncio.sleep(0.02)
    assert (await fetcher.index()).status == 200
