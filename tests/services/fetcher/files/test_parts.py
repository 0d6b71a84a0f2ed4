"""A file of which clients want small parts: each part is relayed, and the file is not downloaded."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from services.fetcher.files.run import SMALL_BYTES
from shared.queue.events import Event
from shared.queue.jobs import FetchArtifact
from tests.services.fetcher.conftest import WHEEL, Fetcher
from tests.support.upstream import Reply

FILE = f"/files/demo/{WHEEL}"
CONTENT = b"PK\x03\x04" + random.Random(3).randbytes(600_000)


@pytest_asyncio.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def job(fetcher: Fetcher) -> FetchArtifact:
    """Of a client that wants a small part of a file."""
    fetcher.upstream.add_project("demo", {WHEEL: CONTENT})
    return msgspec.structs.replace(fetcher.artifact_job(CONTENT), abandonable=True, part=True)


async def read(
    client: aiohttp.ClientSession, fetcher: Fetcher, event: Event, part: str = ""
) -> tuple[int, bytes]:
    headers = {"x-orchard-token": event.token, **({"range": part} if part else {})}
    async with client.get(fetcher.live_url(event), headers=headers) as response:
        return response.status, await response.read()


def asked(fetcher: Fetcher) -> list[str]:
    """The ranges that were asked of the file, in order; "" for the whole."""
    return [request.headers.get("range", "") for request in fetcher.upstream.seen(FILE)]


async def test_part__of_a_cold_file__is_all_that_the_upstream_is_asked_for(
    fetcher: Fetcher, client: aiohttp.ClientSession, job: FetchArtifact
) -> None:
    event = await fetcher.live(job)
    assert (event.size_bytes, asked(fetcher)) == (len(CONTENT), [])
    assert await read(client, fetcher, event, "bytes=-1000") == (206, CONTENT[-1000:])
    assert await read(client, fetcher, event, "bytes=10-19") == (206, CONTENT[10:20])
    await fetcher.idle(job)  # its readers have gone
    end = len(CONTENT)
    assert asked(fetcher) == [f"bytes={end - 1000}-{end - 1}", "bytes=10-19"]
    assert await fetcher.nothing_stored()


async def test_part__then_a_reader_of_the_whole__is_downloaded_once_and_stored(
    fetcher: Fetcher, client: aiohttp.ClientSession, job: FetchArtifact
) -> None:
    event = await fetcher.live(job)
    assert (await read(client, fetcher, event, "bytes=0-9"))[1] == CONTENT[:10]
    bodies = await asyncio.gather(*(read(client, fetcher, event) for _ in range(3)))
    assert bodies == [(200, CONTENT)] * 3
    await fetcher.idle(job)
    assert await fetcher.facts(job) is not None
    assert asked(fetcher) == ["bytes=0-9", ""]


async def test_part__then_another_job_needs_the_whole__is_stored(
    fetcher: Fetcher, client: aiohttp.ClientSession, job: FetchArtifact
) -> None:
    event = await fetcher.live(job)
    assert (await read(client, fetcher, event, "bytes=0-9"))[1] == CONTENT[:10]
    assert (await fetcher.artifact(CONTENT)).size_bytes == len(CONTENT)
    assert asked(fetcher) == ["bytes=0-9", ""]


async def test_part__upstream_gives_no_ranges__the_whole_is_sent_and_stored(
    fetcher: Fetcher, client: aiohttp.ClientSession, job: FetchArtifact
) -> None:
    fetcher.upstream.put(FILE, replace(Reply(CONTENT), ranges=False))
    event = await fetcher.live(job)
    assert await read(client, fetcher, event, "bytes=0-9") == (200, CONTENT)
    await fetcher.idle(job)
    assert await fetcher.facts(job) is not None


async def test_part__of_a_small_file__is_fetched_whole(fetcher: Fetcher, job: FetchArtifact) -> None:
    content = b"PK\x03\x04" + bytes(SMALL_BYTES - 4)
    fetcher.upstream.add_project("demo", {WHEEL: content})
    small = msgspec.structs.replace(fetcher.artifact_job(content), abandonable=True, part=True)
    await fetcher.ended(small)
    assert await fetcher.facts(small) is not None
    assert asked(fetcher) == [""]


async def test_part__size_in_the_index_is_wrong__the_whole_is_stored_by_its_digest(
    fetcher: Fetcher, client: aiohttp.ClientSession, job: FetchArtifact
) -> None:
    fetcher.upstream.put(FILE, CONTENT)
    page = fetcher.upstream.reply("/simple/demo/")
    size = b'"size": %d' % len(CONTENT)
    assert size in page.body
    fetcher.upstream.put("/simple/demo/", replace(page, body=page.body.replace(size, b'"size": 700000')))
    event = await fetcher.live(job)
    assert event.size_bytes == 700_000
    assert (await fetcher.artifact(CONTENT)).size_bytes == len(CONTENT)
