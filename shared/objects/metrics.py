"""Metrics of an object store: counts and durations of its operations."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from functools import lru_cache
from pathlib import Path

from shared.errors.passing import ObjectMissing
from shared.objects.port import GrowingPut, ObjectStat, ObjectStore
from shared.telemetry.metrics import OBJECT_BYTES, OBJECT_DURATION

_count_read = OBJECT_BYTES.labels("read").inc
_count_written = OBJECT_BYTES.labels("written").inc


@lru_cache(maxsize=64)
def _observer(operation: str, result: str) -> Callable[[float], None]:
    return OBJECT_DURATION.labels(operation, result).observe


@contextlib.contextmanager
def _measured(operation: str) -> Iterator[None]:
    started, result = time.perf_counter(), "failed"
    try:
        yield
        result = "ok"
    except ObjectMissing:
        result = "missing"
        raise
    finally:
        _observer(operation, result)(time.perf_counter() - started)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # the store itself says what is wrong with the file


class MeasuredStore:
    """An `ObjectStore` that does what another one does, and counts it."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def put_file(self, key: str, path: Path, *, sha256: str) -> None:
        """See `ObjectStore`."""
        size = _size_of(path)
        with _measured("put"):
            await self._store.put_file(key, path, sha256=sha256)
        _count_written(size)

    def begin_put(self, key: str, path: Path) -> GrowingPut | None:
        """See `ObjectStore`."""
        return self._store.begin_put(key, path)

    async def finish_put(self, put: GrowingPut, key: str, path: Path, *, sha256: str) -> None:
        """See `ObjectStore`. Timed is what is left to do at the end."""
        size = _size_of(path)
        with _measured("put"):
            await self._store.finish_put(put, key, path, sha256=sha256)
        _count_written(size)

    async def put_bytes(self, key: str, data: bytes) -> None:
        """See `ObjectStore`."""
        with _measured("put"):
            await self._store.put_bytes(key, data)
        _count_written(len(data))

    async def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """See `ObjectStore`."""
        with _measured("read"):
            data = await self._store.read(key, start, length)
        _count_read(len(data))
        return data

    async def open_stream(
        self, key: str, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """See `ObjectStore`."""
        chunks = self._store.open_stream(key, start, end)
        try:
            with _measured("stream"):
                chunk = await anext(chunks, b"")
            while chunk:
                _count_read(len(chunk))
                yield chunk
                chunk = await anext(chunks, b"")
        finally:
            await chunks.aclose()

    async def stat(self, key: str) -> ObjectStat | None:
        """See `ObjectStore`."""
        with _measured("stat"):
            return await self._store.stat(key)

    async def delete(self, key: str) -> None:
        """See `ObjectStore`."""
        with _measured("delete"):
            await self._store.delete(key)

    async def set_aside(self, key: str) -> None:
        """See `ObjectStore`."""
        with _measured("set_aside"):
            await self._store.set_aside(key)

    def local_path(self, key: str) -> Path | None:
        """See `ObjectStore`."""
        return self._store.local_path(key)

    def list(self, prefix: str, after: str = "") -> AsyncIterator[ObjectStat]:
        """See `ObjectStore`."""
        return self._store.list(prefix, after)

    async def check(self) -> None:
        """See `ObjectStore`."""
        await self._store.check()
