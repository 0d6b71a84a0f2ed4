"""The one rule for "is it there": size, kind, digest; hashed again when the mark changes or time is up."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.errors.passing import ObjectMissing
from shared.objects import verify
from shared.objects.files import FileObjectStore
from shared.objects.port import artifact_key, document_key
from shared.objects.verify import Verifier, read_whole
from shared.process.threads import BoundedThreads

DATA = b"some bytes" * 1000
KEY = artifact_key(hashlib.sha256(DATA).hexdigest())


@pytest.fixture
async def threads() -> AsyncIterator[BoundedThreads]:
    threads = BoundedThreads(2)
    yield threads
    await threads.aclose()


@pytest.fixture
async def store(tmp_path: Path, threads: BoundedThreads) -> FileObjectStore:
    store = FileObjectStore(tmp_path / "objects", threads)
    await store.check()
    await store.put_bytes(KEY, DATA)
    return store


def path_of(store: FileObjectStore) -> Path:
    path = store.local_path(KEY)
    assert path is not None
    return path


async def test_intact__hashed_once_then_remembered(
    store: FileObjectStore, threads: BoundedThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = Verifier(store, threads, seconds=60)
    assert await verifier.is_intact(KEY, len(DATA))
    monkeypatch.setattr(verify, "_digest_of", lambda path: "read again")
    assert await verifier.is_intact(KEY, len(DATA))
    assert not await verifier.is_intact(KEY, len(DATA), anew=True)


async def test_bytes_changed_and_date_put_back__seen_at_once(
    store: FileObjectStore, threads: BoundedThreads
) -> None:
    verifier = Verifier(store, threads, seconds=3600)
    assert await verifier.is_intact(KEY, len(DATA))
    path = path_of(store)
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"S")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not await verifier.is_intact(KEY, len(DATA))
    await store.put_bytes(KEY, DATA)
    assert await verifier.is_intact(KEY, len(DATA))


async def test_time_is_up__hashed_again(store: FileObjectStore, threads: BoundedThreads) -> None:
    verifier = Verifier(store, threads, seconds=1e-9)
    assert await verifier.is_intact(KEY, len(DATA))
    mark = await verifier.mark(KEY, len(DATA))
    assert mark is not None and verifier.known(KEY, mark) is None


async def test_hashing_off__size_and_kind_still_count(
    store: FileObjectStore, threads: BoundedThreads
) -> None:
    verifier = Verifier(store, threads, seconds=0)
    path_of(store).write_bytes(b"x" * len(DATA))
    assert await verifier.is_intact(KEY, len(DATA))
    assert verifier.standing(KEY, len(DATA))[0] is not None
    assert not await verifier.is_intact(KEY, len(DATA) + 1)
    path_of(store).unlink()
    path_of(store).mkdir()
    assert not await verifier.is_intact(KEY, len(DATA))


async def test_put__whatever_lies_in_its_place__is_set_aside(
    store: FileObjectStore, threads: BoundedThreads, tmp_path: Path
) -> None:
    path = path_of(store)
    path.unlink()
    path.mkdir()
    (path / "kept").write_bytes(b"x")
    await store.put_bytes(KEY, DATA)
    assert await store.read(KEY) == DATA
    assert [each.name for each in (tmp_path / "objects" / ".damaged").rglob("kept")] == ["kept"]


async def test_read_whole__other_bytes_than_the_name_says__missing_and_set_aside(
    store: FileObjectStore, threads: BoundedThreads
) -> None:
    key = document_key(hashlib.sha256(b"page").hexdigest())
    await store.put_bytes(key, b"page")
    assert await read_whole(store, key, threads) == b"page"
    path = store.local_path(key)
    assert path is not None
    path.write_bytes(b"pagf")
    with pytest.raises(ObjectMissing):
        await read_whole(store, key, threads)
    assert not path.exists()
