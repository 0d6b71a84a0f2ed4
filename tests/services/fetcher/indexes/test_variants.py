"""Which bodies of a page are finished: those that are waited for, and those that were asked for before."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Sequence

import zstandard

from shared.models import IndexHead
from shared.queue.jobs import IN_USE, FetchIndex, RenderIndex
from tests.services.fetcher.conftest import Fetcher

PAGE = "simple/demo"
MANY = {f"demo-{n}.0-py3-none-any.whl": b"PK\x03\x04 %d" % n for n in range(60)}
FEW = dict(list(MANY.items())[:2])


async def fetched(fetcher: Fetcher, variant: str) -> IndexHead:
    await fetcher.ended(FetchIndex("pypi", PAGE, variant=variant))
    head = await fetcher.head()
    assert head is not None
    return head


async def rendered(fetcher: Fetcher, variants: Sequence[str]) -> IndexHead:
    await asyncio.gather(*(fetcher.ended(RenderIndex("pypi", PAGE, variant=name)) for name in variants))
    head = await fetcher.head()
    assert head is not None
    return head


async def test_fetch_index__one_body_is_waited_for__no_other_is_made(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", MANY)
    head = await fetched(fetcher, "json.zstd")
    assert set(head.variants) == {"json.zstd"}
    plain = zstandard.ZstdDecompressor().decompress(await fetcher.page(variant="json.zstd"))
    assert len(json.loads(plain)["files"]) == len(MANY)


async def test_fetch_index__small_page__all_bodies_at_once(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", FEW)
    head = await fetched(fetcher, "json.gzip")
    assert set(head.variants) == {"json.identity", "json.gzip", "html.identity", "html.gzip"}


async def test_fetch_index__asked_by_a_service_one_version_back__all_that_it_knows(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", MANY)
    head = await fetched(fetcher, "")
    assert set(head.variants) == {"json.identity", "json.gzip", "html.identity", "html.gzip"}


async def test_fetch_index__nobody_waits_for_a_body__none_is_made(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", MANY)
    head = await fetched(fetcher, IN_USE)
    assert (head.status, head.variants) == (200, {})
    head = await rendered(fetcher, ["html.gzip"])
    assert set(head.variants) == {"html.gzip"}


async def test_fetch_index__a_new_document__what_was_asked_for_before_is_made_of_it_too(
    fetcher: Fetcher,
) -> None:
    fetcher.upstream.add_project("demo", MANY)
    await fetched(fetcher, "json.gzip")
    await rendered(fetcher, ["html.identity"])
    fetcher.upstream.add_project("demo", MANY | {"demo-99.0-py3-none-any.whl": b"PK\x03\x04 new"})
    head = await fetched(fetcher, "json.identity")
    assert set(head.variants) == {"json.gzip", "html.identity", "json.identity"}
    pages = [
        gzip.decompress(await fetcher.page(variant="json.gzip")),
        await fetcher.page(variant="html.identity"),
        await fetcher.page(variant="json.identity"),
    ]
    assert all(b"demo-99.0" in page for page in pages)


async def test_render_index__several_at_once__each_is_added_and_none_takes_another_away(
    fetcher: Fetcher,
) -> None:
    fetcher.upstream.add_project("demo", MANY)
    before = await fetched(fetcher, "json.gzip")
    wanted = ["json.zstd", "html.gzip", "html.zstd", "json.identity", "html.identity"]
    head = await rendered(fetcher, wanted)
    assert set(head.variants) == {"json.gzip", *wanted}
    for name in head.variants:
        assert await fetcher.page(variant=name)
    # It is the same page as before: whoever waits for a newer one is not to take it for that.
    assert (head.generation, head.fetched_at) == (before.generation, before.fetched_at)


async def test_render_index__redis_lost_the_page__those_that_are_asked_for_come_back(
    fetcher: Fetcher,
) -> None:
    fetcher.upstream.add_project("demo", MANY)
    await fetched(fetcher, "json.gzip")
    await fetcher.cache_redis.raw.flushall()
    for name in ("json.gzip", "html.gzip"):
        head = await rendered(fetcher, [name])
    assert set(head.variants) == {"json.gzip", "html.gzip"}


async def test_render_index__what_is_in_use__is_made_anew_whole(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", MANY)
    before = await fetched(fetcher, "json.gzip")
    await rendered(fetcher, ["html.gzip"])
    head = await rendered(fetcher, [IN_USE])
    assert set(head.variants) == {"json.gzip", "html.gzip"}
    assert head.bodies_generation > before.bodies_generation
