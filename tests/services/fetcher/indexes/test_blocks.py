"""A page never shows what is blocked, however it comes about: fetched, renewed, or kept through an outage."""

from __future__ import annotations

import asyncio
import json

import pytest

from shared.errors import Blocked
from tests.services.fetcher.conftest import Fetcher
from tests.support.upstream import Fault, Upstream

PAGE = "/simple/demo/"
FILES = {f"demo-{version}-py3-none-any.whl": b"PK\x03\x04 " + version.encode() for version in ("1.0", "2.0")}


async def _block(fetcher: Fetcher, version: str = "") -> None:
    """In force here: a rendering reads the rows if they have changed."""
    await fetcher.database.execute(
        "INSERT INTO blocks (protocol, name, version, reason) VALUES ('pypi', 'demo', $1, 'it steals')",
        version,
    )
    async with asyncio.timeout(30):
        while True:
            try:
                await fetcher.render("other")  # of which nothing is known: it fails, after that look
            except Exception:
                return


async def _versions(fetcher: Fetcher) -> list[str]:
    return [each["filename"].split("-")[1] for each in json.loads(await fetcher.page())["files"]]


@pytest.fixture
def published(upstream: Upstream, fetcher: Fetcher) -> Fetcher:
    upstream.add_project("demo", FILES)
    return fetcher


async def test_fetched__without_the_blocked_version(published: Fetcher) -> None:
    await _block(published, "2")
    await published.index()
    assert await _versions(published) == ["1.0"]


async def test_304__page_was_made_before_the_block__made_again(published: Fetcher) -> None:
    await published.index()
    assert await _versions(published) == ["1.0", "2.0"]
    await _block(published, "2")
    await published.index()
    assert published.upstream.seen(PAGE)[-1].headers.get("if-none-match")
    assert await _versions(published) == ["1.0"]


async def test_outage__page_was_made_before_the_block__made_again(published: Fetcher) -> None:
    await published.index()
    await _block(published, "2")
    published.upstream.fault(PAGE, Fault(status=500))
    head = await published.index()
    assert head.failing
    assert await _versions(published) == ["1.0"]


async def test_rendered__blocked_a_moment_ago__heard_of_first(published: Fetcher) -> None:
    await published.index()
    await published.database.execute("ALTER TABLE blocks DISABLE TRIGGER USER")  # nobody is told
    await published.database.execute(
        "INSERT INTO blocks (protocol, name, version, reason) VALUES ('pypi', 'demo', '2', 'it steals')"
    )
    await published.database.execute("UPDATE access_revision SET revision = revision + 1")
    await published.render()
    assert await _versions(published) == ["1.0"]


async def test_blocked_as_a_whole__upstream_is_not_asked(published: Fetcher) -> None:
    await _block(published)
    with pytest.raises(Blocked):
        await published.index()
    with pytest.raises(Blocked):
        await published.artifact(FILES["demo-1.0-py3-none-any.whl"], "demo-1.0-py3-none-any.whl")
    assert published.upstream.count(PAGE) == 0
