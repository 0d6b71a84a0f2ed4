"""The scrubber: everything is hashed in turn, whatever is large on the way, and what decayed is healed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.extractor.housekeeping import scrubber as module
from services.extractor.housekeeping.scrubber import CURSOR, Scrubber
from shared.models import StoredDocument
from shared.objects.port import artifact_key, document_key
from shared.objects.verify import Verifier
from shared.process.threads import BoundedThreads
from tests.services.extractor.conftest import House
from tests.services.extractor.housekeeping.test_sweeper import digest


@pytest.fixture
async def threads() -> AsyncIterator[BoundedThreads]:
    threads = BoundedThreads(1)
    yield threads
    await threads.aclose()


def scrubber(house: House, threads: BoundedThreads) -> Scrubber:
    """A process that has just started."""
    return Scrubber(
        house.stores,
        Verifier(house.store, threads, seconds=1),
        days=30,
        interval_seconds=3600,
    )


def path_of(house: House, key: str) -> Path:
    path = house.store.local_path(key)
    assert path is not None
    return path


async def document(house: House, body: bytes) -> str:
    key = document_key(digest(body))
    await house.store.put_bytes(key, body)
    await house.artifacts.store_document(
        StoredDocument(
            protocol="pypi", identity="simple/demo", source_id=1, generation=1, document_key=key,
            fetched_at=1.0, upstream_etag="", upstream_last_modified="",
        ),
        project="demo",
    )  # fmt: skip
    return key


async def test_decayed_file__set_aside_told_and_asked_for_again(
    house: House, threads: BoundedThreads
) -> None:
    job = await house.keep("demo-1.0.whl", b"file")
    path = path_of(house, artifact_key(job.sha256))
    found = await scrubber(house, threads).run()
    assert (found.scrubbed, found.decayed) == (1, 0)
    for damage in (b"fild", b"fil", b"file and more", b""):
        path.write_bytes(damage)
        assert (await scrubber(house, threads).run()).decayed == 1, damage
        assert not path.exists()
    path.mkdir()
    assert (await scrubber(house, threads).run()).decayed == 1
    assert not path.exists()
    events = await house.database.fetch("SELECT kind, filename FROM events")
    assert {(row["kind"], row["filename"]) for row in events} == {("object_decayed", "demo-1.0.whl")}
    assert await house.queue_redis.raw.keys("arq:job:artifact:*")


async def test_decayed_document__set_aside(house: House, threads: BoundedThreads) -> None:
    key = await document(house, b"a page of files")
    path = path_of(house, key)
    path.write_bytes(b"a page of filez")
    assert (await scrubber(house, threads).run()).decayed == 1
    assert not path.exists()


async def test_evicted_file__is_no_decay(house: House, threads: BoundedThreads) -> None:
    job = await house.keep("demo-1.0.whl", b"file")
    await house.store.delete(artifact_key(job.sha256))
    assert await scrubber(house, threads).run() == module.ScrubReport(looked=1)


async def test_runs__each_goes_on_where_the_last_ended__a_large_file_blinds_none(
    house: House, threads: BoundedThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        module, "LEAST_BYTES", 100
    )  # each file but the smallest is larger than a run's budget
    sizes = [10, 20, 5000, 40, 300, 120, 7]
    jobs = [await house.keep(f"demo-{size}.whl", b"x" * size) for size in sizes]
    await document(house, b"page")
    decayed = max(jobs, key=lambda job: job.sha256)
    path = path_of(house, artifact_key(decayed.sha256))
    path.write_bytes(b"y" * path.stat().st_size)
    reports = []
    for _ in range(20):
        reports.append(await scrubber(house, threads).run())
        if not reports[-1].at:
            break
    assert sum(each.scrubbed for each in reports) == len(sizes) + 1
    assert sum(each.decayed for each in reports) == 1
    assert len(reports) > 3


async def test_cursor__of_a_stranger__begins_a_round(house: House, threads: BoundedThreads) -> None:
    await house.keep("demo-1.0.whl", b"file")
    await house.queue_redis.raw.set(CURSOR, b"\xff no key")
    assert (await asyncio.wait_for(scrubber(house, threads).run(), 10)).scrubbed == 1
