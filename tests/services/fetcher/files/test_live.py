"""GET /live: bytes of a download in progress, for any number of readers, never mistaken for a whole."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from services.fetcher.files.live import LiveDownloads
from shared.errors import DigestMismatch
from shared.queue.events import Event
from tests.services.fetcher.conftest import WHEEL, Fetcher, sha256
from tests.support.upstream import Fault

FILE = f"/files/demo/{WHEEL}"
CONTENT = b"PK\x03\x04" + random.Random(2).randbytes(2_000_000)


@pytest_asyncio.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def slow(fetcher: Fetcher) -> Fetcher:
    fetcher.upstream.add_project("demo", {WHEEL: CONTENT})
    fetcher.upstream.fault(FILE, Fault(bytes_per_second=2_000_000))
    return fetcher


def _token(event: Event, **more: str) -> dict[str, str]:
    return {"x-orchard-token": event.token, **more}


async def test_live__while_it_downloads__all_readers_get_all_bytes(
    slow: Fetcher, client: aiohttp.ClientSession
) -> None:
    event = await slow.live(slow.artifact_job(CONTENT))
    assert event.size_bytes == len(CONTENT)

    async def read() -> bytes:
        async with client.get(slow.live_url(event), headers=_token(event)) as response:
            assert response.status == 200
            assert response.headers["x-orchard-size"] == str(len(CONTENT))
            assert response.headers["x-orchard-generation"] == str(event.generation)
            told = json.loads(response.headers["x-orchard-standing"])
            assert told == [event.published, event.judged, event.sha256, 0.0]  # it was never stored
            return await response.read()

    bodies = await asyncio.gather(*(read() for _ in range(5)))
    assert all(body == CONTENT for body in bodies)
    assert slow.upstream.count(FILE) == 1
    facts = await slow.facts(slow.artifact_job(CONTENT))
    assert facts is not None  # the end came after the facts


async def test_live__from_an_offset__the_rest(slow: Fetcher, client: aiohttp.ClientSession) -> None:
    event = await slow.live(slow.artifact_job(CONTENT))
    async with client.get(slow.live_url(event, 1_234_567), headers=_token(event)) as response:
        assert await response.read() == CONTENT[1_234_567:]


async def test_live__first_byte__long_before_the_last(slow: Fetcher, client: aiohttp.ClientSession) -> None:
    event = await slow.live(slow.artifact_job(CONTENT))
    async with client.get(slow.live_url(event), headers=_token(event)) as response:
        first = await response.content.readany()
        assert CONTENT.startswith(first)
        assert await slow.facts(slow.artifact_job(CONTENT)) is None


async def test_live__wrong_token__403(slow: Fetcher, client: aiohttp.ClientSession) -> None:
    event = await slow.live(slow.artifact_job(CONTENT))
    for headers in ({}, {"x-orchard-token": "wrong"}):
        async with client.get(slow.live_url(event), headers=headers) as response:
            assert response.status == 403


async def test_live__unknown_download__404(
    slow: Fetcher, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.fetcher.files.live.BEGIN_SECONDS", 0.1)
    event = await slow.live(slow.artifact_job(CONTENT))
    async with client.get(f"http://{event.address}/live/other", headers=_token(event)) as response:
        assert response.status == 404


async def _raw(event: Event, url: str) -> bytes:
    """Everything a raw socket gets, headers included."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"GET {parts.path}?{parts.query} HTTP/1.1\r\nhost: fetcher\r\nx-orchard-token: {event.token}\r\n"
    writer.write(f"{head}\r\n".encode())
    received = b""
    try:
        while chunk := await asyncio.wait_for(reader.read(65536), 10):
            received += chunk
            if received.endswith(b"\r\n0\r\n\r\n"):
                break
    except ConnectionError:
        pass
    writer.close()
    return received


async def test_live__reader_goes_before_the_answer__no_error_is_logged(
    slow: Fetcher, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = await slow.live(slow.artifact_job(CONTENT))
    send_all = LiveDownloads._send_all

    async def send_late(live: LiveDownloads, request: web.Request, *more: Any) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()  # as a reset does that came in this turn of the loop: nobody is told yet
        return await send_all(live, request, *more)

    monkeypatch.setattr(LiveDownloads, "_send_all", send_late)
    assert await _raw(event, slow.live_url(event)) == b""
    assert "Error handling request" not in caplog.text


async def test_live__sealed__ends_with_the_final_chunk(slow: Fetcher) -> None:
    event = await slow.live(slow.artifact_job(CONTENT))
    assert (await _raw(event, slow.live_url(event))).endswith(b"\r\n0\r\n\r\n")


@pytest.mark.parametrize("fault", [Fault(flip_at=1_500_000), Fault(cut_at=900_000)])
async def test_live__download_fails__aborted_without_a_final_chunk(fetcher: Fetcher, fault: Fault) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: CONTENT})
    await fetcher.index()
    fetcher.upstream.fault(FILE, replace(fault, bytes_per_second=4_000_000), times=1)
    fetcher.upstream.fault(FILE, Fault(status=403) if fault.cut_at > 0 else Fault(flip_at=1_500_000))
    job = fetcher.artifact_job(CONTENT)
    event = await fetcher.live(job)
    received = await _raw(event, fetcher.live_url(event))
    assert received.startswith(b"HTTP/1.1 200")
    assert len(received) > 100_000
    assert not received.endswith(b"0\r\n\r\n")
    await fetcher.idle(job)
    assert await fetcher.nothing_stored()


async def test_live__slow_reader__the_job_does_not_wait_and_the_reader_gets_all(
    slow: Fetcher, client: aiohttp.ClientSession
) -> None:
    job = slow.artifact_job(CONTENT)
    event = await slow.live(job)
    async with client.get(slow.live_url(event), headers=_token(event)) as response:
        first = await response.content.readany()
        await slow.idle(job)
        assert await slow.facts(job) is not None
        assert first + await response.read() == CONTENT


async def test_live__range_not_there_yet__by_an_upstream_request_of_its_own(
    slow: Fetcher, client: aiohttp.ClientSession
) -> None:
    event = await slow.live(slow.artifact_job(CONTENT))
    headers = _token(event, range="bytes=1999000-1999999")
    slow.upstream.heal()
    async with client.get(slow.live_url(event), headers=headers) as response:
        assert response.status == 206
        assert response.headers["content-range"] == f"bytes 1999000-1999999/{len(CONTENT)}"
        assert response.headers["content-length"] == "1000"
        assert await response.read() == CONTENT[1_999_000:2_000_000]
    assert [r.headers.get("range") for r in slow.upstream.seen(FILE)] == [None, "bytes=1999000-1999999"]


async def test_live__range_refused_upstream__the_whole(slow: Fetcher, client: aiohttp.ClientSession) -> None:
    event = await slow.live(slow.artifact_job(CONTENT))
    slow.upstream.heal()
    slow.upstream.fault(FILE, Fault(ignore_range=True))
    headers = _token(event, range="bytes=1999000-")
    async with client.get(slow.live_url(event), headers=headers) as response:
        assert response.status == 200
        assert await response.read() == CONTENT


def _told(content_range: str) -> Fault:
    return Fault(headers={"content-range": content_range})


LIES = {
    "another total": _told(f"bytes 1999000-1999999/{len(CONTENT) + 1}"),
    "no total": _told("bytes 1999000-1999999/*"),
    "another part": _told(f"bytes 1999001-2000000/{len(CONTENT)}"),
    "no range": _told(""),
    "nonsense": _told("of course"),
    "coded": Fault(headers={"content-encoding": "gzip"}),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_live__range_that_the_upstream_lies_about__the_whole(
    slow: Fetcher, client: aiohttp.ClientSession, lie: Fault
) -> None:
    event = await slow.live(slow.artifact_job(CONTENT))
    slow.upstream.heal()
    slow.upstream.fault(FILE, lie)
    headers = _token(event, range="bytes=1999000-1999999")
    async with client.get(slow.live_url(event), headers=headers) as response:
        assert response.status == 200
        assert await response.read() == CONTENT


@pytest.mark.parametrize(
    "lie",
    [Fault(cut_at=500), Fault(chunked=True, body=CONTENT[:1001]), Fault(chunked=True, body=CONTENT[:999])],
    ids=["cut", "more bytes", "fewer bytes"],
)
async def test_live__range_of_another_length_than_told__broken_off(
    slow: Fetcher, client: aiohttp.ClientSession, lie: Fault
) -> None:
    event = await slow.live(slow.artifact_job(CONTENT))
    slow.upstream.heal()
    slow.upstream.fault(FILE, lie, times=1)
    headers = _token(event, range="bytes=1999000-1999999")
    with pytest.raises(aiohttp.ClientPayloadError):
        async with client.get(slow.live_url(event), headers=headers) as response:
            assert response.status == 206
            await response.read()


async def test_live__range_already_in_the_spool__no_request(
    slow: Fetcher, client: aiohttp.ClientSession
) -> None:
    event = await slow.live(slow.artifact_job(CONTENT))
    await asyncio.sleep(0.1)
    async with client.get(slow.live_url(event), headers=_token(event, range="bytes=0-99")) as response:
        assert response.status == 206
        assert await response.read() == CONTENT[:100]
    assert slow.upstream.count(FILE) == 1


async def test_live__failed_job__waiters_hear_the_error(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: CONTENT})
    await fetcher.index()
    fetcher.upstream.fault(FILE, Fault(flip_at=100))
    with pytest.raises(DigestMismatch):
        await fetcher.ended(fetcher.artifact_job(CONTENT))
    assert await fetcher.events("digest_mismatch") == 1
    (row,) = await fetcher.database.fetch("SELECT detail ->> 'because' AS because FROM events")
    assert sha256(CONTENT) in row["because"] and "have the sha256 " in row["because"]
    assert sha256(CONTENT) not in str(await fetcher.cache_redis.raw.keys("*artifact_metadata*"))
