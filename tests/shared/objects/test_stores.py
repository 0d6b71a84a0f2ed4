"""What every object store must do. A further store is one more parameter of the fixture `store`."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.errors import InvalidData
from shared.errors.passing import ObjectMissing, StoreUnavailable
from shared.objects.files import FileObjectStore
from shared.objects.port import STREAM_CHUNK_BYTES, ObjectStore, artifact_key, document_key
from shared.objects.s3.store import S3ObjectStore
from shared.process.threads import BoundedThreads
from tests.support.minio import Minio
from tests.support.seaweedfs import SeaweedFS, new_prefix


@pytest.fixture
async def threads() -> AsyncIterator[BoundedThreads]:
    threads = BoundedThreads(4)
    yield threads
    await threads.aclose()


@pytest.fixture(params=["file", "seaweedfs", "minio"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, threads: BoundedThreads
) -> AsyncIterator[ObjectStore]:
    if request.param == "file":
        store = FileObjectStore(tmp_path / "objects", threads)
        await store.check()
        yield store
        return
    server: SeaweedFS | Minio = request.getfixturevalue(request.param)
    async with opened(S3ObjectStore(server.config(new_prefix()), threads, single_bytes=100_000)) as remote:
        await remote.check()
        yield remote


@asynccontextmanager
async def opened(store: S3ObjectStore) -> AsyncIterator[S3ObjectStore]:
    await store.open()
    try:
        yield store
    finally:
        await store.aclose()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def collect(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def test_put_bytes__then_read__same_bytes(store: ObjectStore) -> None:
    data = os.urandom(10_000)
    key = artifact_key(digest(data))
    await store.put_bytes(key, data)
    assert await store.read(key) == data
    assert await store.read(key, 9_990) == data[9_990:]
    assert await store.read(key, 5, 10) == data[5:15]
    assert await store.read(key, 9_995, 100) == data[9_995:]
    assert await store.read(key, 20_000, 5) == b""


async def test_put_bytes__large__same_bytes(store: ObjectStore) -> None:
    data = os.urandom(3 * 1024 * 1024 + 1)
    key = document_key(digest(data))
    await store.put_bytes(key, data)
    assert await store.read(key) == data


async def test_put_bytes__empty_object__is_kept(store: ObjectStore) -> None:
    key = document_key(digest(b""))
    await store.put_bytes(key, b"")
    assert await store.read(key) == b""
    assert await collect(store.open_stream(key)) == b""


async def test_put_file__then_stream__same_bytes_in_bounded_chunks(
    store: ObjectStore, tmp_path: Path
) -> None:
    data = os.urandom(3 * STREAM_CHUNK_BYTES + 17)
    key = artifact_key(digest(data))
    spool = tmp_path / "spool"
    spool.write_bytes(data)
    await store.put_file(key, spool, sha256=digest(data))
    chunks = [chunk async for chunk in store.open_stream(key)]
    assert b"".join(chunks) == data
    assert max(map(len, chunks)) <= STREAM_CHUNK_BYTES
    assert await collect(store.open_stream(key, 100, 200)) == data[100:200]
    assert await collect(store.open_stream(key, len(data) - 5)) == data[-5:]


async def test_put_file__caller_removes_its_spool__object_stays(store: ObjectStore, tmp_path: Path) -> None:
    data = b"wheel" * 1000
    key = artifact_key(digest(data))
    spool = tmp_path / "spool"
    spool.write_bytes(data)
    await store.put_file(key, spool, sha256=digest(data))
    assert spool.exists(), "the spool file is its caller's to remove"
    spool.unlink()
    assert await store.read(key) == data


async def test_put__repeated__harmless(store: ObjectStore, tmp_path: Path) -> None:
    data = b"same" * 100
    key = artifact_key(digest(data))
    for number in range(3):
        spool = tmp_path / f"spool-{number}"
        spool.write_bytes(data)
        await store.put_file(key, spool, sha256=digest(data))
        await store.put_bytes(key, data)
    await store.put_file(key, spool, sha256=digest(data))  # the very same file again
    assert await store.read(key) == data


async def test_put__concurrent_same_key__one_whole_object(store: ObjectStore, tmp_path: Path) -> None:
    data = os.urandom(200_000)
    key = artifact_key(digest(data))
    spools = [tmp_path / f"spool-{number}" for number in range(8)]
    for spool in spools:
        spool.write_bytes(data)
    await asyncio.gather(
        *(store.put_file(key, spool, sha256=digest(data)) for spool in spools),
        *(store.put_bytes(key, data) for _ in range(8)),
    )
    assert await store.read(key) == data
    assert [found.key async for found in store.list("artifacts/")] == [key]


async def test_put__object_decayed_in_the_store__healed(store: ObjectStore, tmp_path: Path) -> None:
    data = os.urandom(1000)
    key = artifact_key(digest(data))
    await store.put_bytes(key, data)
    for put in ("bytes", "file"):
        await damage(store, key, b"x" * 1000)
        assert await store.read(key) != data
        if put == "bytes":
            await store.put_bytes(key, data)
        else:
            spool = tmp_path / "spool"
            spool.write_bytes(data)
            await store.put_file(key, spool, sha256=digest(data))
        assert await store.read(key) == data


async def damage(store: ObjectStore, key: str, data: bytes) -> None:
    """Other bytes under a key, as a failing disk or a hand leaves them."""
    if isinstance(store, S3ObjectStore):
        await store._put(key, data, digest(data))
    else:
        path = store.local_path(key)
        assert path is not None
        path.write_bytes(data)


async def test_read__missing_object__object_missing(store: ObjectStore) -> None:
    key = artifact_key("0" * 64)
    assert await store.stat(key) is None
    with pytest.raises(ObjectMissing):
        await store.read(key)
    with pytest.raises(ObjectMissing):
        await store.read(key, 0, 10)
    with pytest.raises(ObjectMissing):
        await collect(store.open_stream(key))
    assert issubclass(ObjectMissing, StoreUnavailable)


async def test_stat__says_size_and_when_last_put(store: ObjectStore) -> None:
    data = b"x" * 123
    key = artifact_key(digest(data))
    before = time.time() - 2
    await store.put_bytes(key, data)
    found = await store.stat(key)
    assert found is not None
    assert (found.key, found.size_bytes) == (key, 123)
    assert before <= found.modified_at <= time.time() + 2


async def test_put__again_after_long__young_again_for_the_sweeper(store: ObjectStore) -> None:
    data = b"wanted again"
    key = document_key(digest(data))
    await store.put_bytes(key, data)
    path = store.local_path(key)
    if path is None:
        pytest.skip("only a local store's clock can be set from here")
    os.utime(path, (1, 1))
    await store.put_bytes(key, data)
    found = await store.stat(key)
    assert found is not None and found.modified_at > time.time() - 60


async def test_delete__object_gone_and_repeatable(store: ObjectStore) -> None:
    data = b"short-lived"
    key = artifact_key(digest(data))
    await store.put_bytes(key, data)
    await store.delete(key)
    await store.delete(key)
    assert await store.stat(key) is None


async def test_list__one_folder_only(store: ObjectStore) -> None:
    wanted = {artifact_key(digest(bytes([number]))) for number in range(20)}
    for number in range(20):
        await store.put_bytes(artifact_key(digest(bytes([number]))), bytes([number]))
    await store.put_bytes(document_key(digest(b"d")), b"d")
    assert [found.key async for found in store.list("artifacts/")] == sorted(wanted)
    assert len([found async for found in store.list("")]) == 21


async def test_list__after_a_key__the_rest_in_order(store: ObjectStore) -> None:
    wanted = sorted(artifact_key(digest(bytes([number]))) for number in range(20))
    for number in range(20):
        await store.put_bytes(artifact_key(digest(bytes([number]))), bytes([number]))
    await store.put_bytes(document_key(digest(b"d")), b"d")
    for place in (0, 7, 19):
        after = wanted[place]
        assert [found.key async for found in store.list("artifacts/", after)] == wanted[place + 1 :]
    assert [found async for found in store.list("artifacts/", "artifacts0")] == []


@pytest.mark.parametrize(
    "key",
    [
        "",
        "artifacts",
        "artifacts/../../etc/passwd",
        "../artifacts/" + "a" * 64,
        "artifacts/" + "a" * 63,
        "artifacts/" + "A" * 64,
        "artifacts/" + "a" * 64 + "/x",
        "/etc/" + "a" * 64,
        "artifacts/" + "a" * 64 + "\n",
        ".incoming/" + "a" * 64,
        "artifacts/" + "a" * 63 + "\x00",
    ],
)
async def test_any_call__key_that_is_none__invalid_data(store: ObjectStore, key: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidData):
        await store.put_bytes(key, b"x")
    with pytest.raises(InvalidData):
        await store.read(key)
    with pytest.raises(InvalidData):
        await store.delete(key)
