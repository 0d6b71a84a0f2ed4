"""Downloads whose clients have all left: they go on for a while, then stop and leave nothing over."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from services.fetcher.files.abandoned import SMALL_BYTES, Audience, Bounds
from services.fetcher.files.spool import Spool
from shared.queue.events import Event
from shared.queue.jobs import FetchArtifact
from tests.services.fetcher.conftest import WHEEL, Fetcher, sha256
from tests.support.upstream import Fault

FILE = f"/files/demo/{WHEEL}"
LARGE = b"PK\x03\x04" + random.Random(5).randbytes(SMALL_BYTES + 2_000_000)


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, "ORCHARD_ABANDONED_SECONDS": "0.5"}


@pytest_asyncio.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def slow(fetcher: Fetcher) -> Fetcher:
    fetcher.upstream.add_project("demo", {WHEEL: LARGE})
    fetcher.upstream.fault(FILE, Fault(bytes_per_second=1_000_000))
    return fetcher


def _job(fetcher: Fetcher, content: bytes = LARGE) -> FetchArtifact:
    return msgspec.structs.replace(fetcher.artifact_job(content), abandonable=True)


async def _read_a_little(fetcher: Fetcher, client: aiohttp.ClientSession, event: Event) -> None:
    async with client.get(fetcher.live_url(event), headers={"x-orchard-token": event.token}) as response:
        assert await response.content.readany()
        response.close()


async def test_abandoned__the_last_reader_left__stops_leaves_nothing_and_starts_anew(
    slow: Fetcher, client: aiohttp.ClientSession
) -> None:
    job = _job(slow)
    event = await slow.live(job)
    await _read_a_little(slow, client, event)
    await slow.idle(job)
    assert await slow.nothing_stored()
    assert (await slow.queue.read_state(job.id)) == (None, None)  # nobody takes it for a failure
    slow.upstream.heal()
    assert (await slow.artifact(LARGE)).sha256 == sha256(LARGE)
    assert slow.upstream.count(FILE) == 2


async def test_abandoned__nobody_ever_read__stops(slow: Fetcher) -> None:
    job = _job(slow)
    await slow.live(job)
    await slow.idle(job)
    assert await slow.nothing_stored()


async def test_abandoned__a_client_reads_again__it_finds_it_running(
    slow: Fetcher, client: aiohttp.ClientSession
) -> None:
    event = await slow.live(_job(slow))
    await _read_a_little(slow, client, event)
    async with client.get(slow.live_url(event), headers={"x-orchard-token": event.token}) as response:
        assert await response.read() == LARGE
    assert slow.upstream.count(FILE) == 1


@pytest.mark.parametrize("comes", ["first", "later"])
async def test_abandoned__a_job_needs_it__fetched_to_its_end(slow: Fetcher, comes: str) -> None:
    jobs = [slow.artifact_job(LARGE), _job(slow)]
    if comes == "later":
        jobs.reverse()
    await slow.queue.enqueue(jobs[0])
    await slow.ended(jobs[1])
    assert await slow.facts(jobs[0]) is not None
    assert slow.upstream.count(FILE) == 1


async def test_abandoned__a_small_file__fetched_to_its_end(fetcher: Fetcher) -> None:
    small = LARGE[:1_500_000]
    fetcher.upstream.add_project("demo", {WHEEL: small})
    fetcher.upstream.fault(FILE, Fault(bytes_per_second=1_000_000))
    job = _job(fetcher, small)
    await fetcher.live(job)
    await fetcher.idle(job)
    assert await fetcher.facts(job) is not None


def test_is_gone__either_bound__only_once_readers_could_come(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("services.fetcher.files.abandoned.time.monotonic", lambda: now)
    spool = Spool.__new__(Spool)
    spool.size, spool.total = 0, None
    audience, bounds = Audience(spool), Bounds(1000, 60.0)
    now = 900.0
    assert not audience.is_gone(bounds)  # no head yet
    audience.admit()
    spool.size = 2000
    assert not audience.is_gone(bounds)  # a reader may be connecting
    now += 4
    assert audience.is_gone(bounds)
    with audience.reading():
        now += 1000
        assert not audience.is_gone(bounds)
    assert not audience.is_gone(bounds)  # came back: counted anew
    now += 61
    assert audience.is_gone(bounds)
    spool.total = SMALL_BYTES
    assert not audience.is_gone(bounds)
