"""Object, then row, then cache, then event: whoever sees a later one may rely on the earlier ones."""

from __future__ import annotations

import asyncio
import random

import asyncpg

from shared.objects.port import artifact_key
from shared.queue.events import Event
from tests.services.fetcher.conftest import WHEEL, Fetcher, sha256

CONTENT = b"PK\x03\x04" + random.Random(7).randbytes(200_000)


async def _someone_waits_for(fetcher: Fetcher, table: str) -> None:
    """Return when a statement waits for the lock on `table`."""
    waiting = f"SELECT 1 FROM pg_locks WHERE relation = '{table}'::regclass AND NOT granted"
    async with asyncio.timeout(20):
        while not await fetcher.database.fetch(waiting):
            await asyncio.sleep(0.01)


async def test_file__its_row_cannot_be_written_yet__object_is_there_and_nobody_was_told(
    fetcher: Fetcher,
) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: CONTENT})
    await fetcher.index()
    job = fetcher.artifact_job(CONTENT)
    events: list[Event] = []
    done = asyncio.Event()

    def on_event(event: Event) -> None:
        events.append(event)
        if event.kind == "done":
            done.set()

    fetcher.listener.register(job.id, on_event)
    holder = await asyncpg.connect(fetcher.settings.database_url)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE cached_urls IN EXCLUSIVE MODE")  # rows are read, none is written
            await fetcher.queue.enqueue(job)
            await _someone_waits_for(fetcher, "cached_urls")
            assert await fetcher.objects.read(artifact_key(sha256(CONTENT))) == CONTENT
            assert await fetcher.facts(job) is None
            assert "done" not in [event.kind for event in events]
        await asyncio.wait_for(done.wait(), 20)
    finally:
        await holder.close()
        fetcher.listener.unregister(job.id, on_event)
    assert await fetcher.facts(job) is not None  # at the latest when the event comes
    row = await fetcher.artifacts.get_cached_url_with_artifact(job.file)
    assert row is not None


async def test_page__its_row_cannot_be_written_yet__no_page_is_shown(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: CONTENT})
    holder = await asyncpg.connect(fetcher.settings.database_url)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE index_documents IN EXCLUSIVE MODE")
            fetching = asyncio.create_task(fetcher.index())
            await _someone_waits_for(fetcher, "index_documents")
            assert await fetcher.head() is None
        head = await fetching
    finally:
        await holder.close()
    stored = await fetcher.artifacts.stored_document("pypi", "simple/demo")
    assert stored is not None and stored.document_key == head.document_key
    assert await fetcher.objects.read(stored.document_key)
