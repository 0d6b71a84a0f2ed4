"""What is counted of object operations, over a real file store."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from shared.errors.passing import ObjectMissing
from shared.objects.files import FileObjectStore
from shared.objects.metrics import MeasuredStore
from shared.objects.port import artifact_key
from shared.process.threads import BoundedThreads
from shared.telemetry.metrics import REGISTRY

DATA = b"orchard" * 100_000
KEY = artifact_key(hashlib.sha256(DATA).hexdigest())


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[MeasuredStore]:
    threads = BoundedThreads(2)
    yield MeasuredStore(FileObjectStore(tmp_path / "objects", threads))
    await threads.aclose()


def _count(operation: str, result: str) -> float:
    labels = {"operation": operation, "result": result}
    return REGISTRY.get_sample_value("orchard_object_operation_duration_seconds_count", labels) or 0.0


def _bytes(direction: str) -> float:
    return REGISTRY.get_sample_value("orchard_object_bytes_total", {"direction": direction}) or 0.0


async def test_measured_store__each_operation__does_it_and_counts_operation_result_and_bytes(
    store: MeasuredStore,
) -> None:
    read, written = _bytes("read"), _bytes("written")
    puts, streams, gone = _count("put", "ok"), _count("stream", "ok"), _count("read", "missing")
    await store.put_bytes(KEY, DATA)
    assert b"".join([chunk async for chunk in store.open_stream(KEY)]) == DATA
    assert await store.read(KEY, 7, 7) == b"orchard"
    with pytest.raises(ObjectMissing):
        await store.read(artifact_key("0" * 64))
    assert (_bytes("written") - written, _bytes("read") - read) == (len(DATA), len(DATA) + 7)
    assert (_count("put", "ok") - puts, _count("stream", "ok") - streams) == (1, 1)
    assert _count("read", "missing") - gone == 1


async def test_measured_store__stream_given_up_early__the_one_below_is_closed(store: MeasuredStore) -> None:
    await store.put_bytes(KEY, DATA)
    stream = store.open_stream(KEY)
    assert await anext(stream)
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
