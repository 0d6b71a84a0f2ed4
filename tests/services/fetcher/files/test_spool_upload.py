"""Uploads beside downloads: large files with a promised SHA256 begin early, everything else at the end."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from services.fetcher.files import spool as uploads
from services.fetcher.files.spool import Spool, spool_upload
from shared.objects.port import artifact_key
from shared.objects.s3.multipart import incomplete_uploads
from shared.objects.s3.store import S3ObjectStore
from shared.process.threads import BoundedThreads
from tests.support.s3_proxy import S3Proxy, s3_proxy
from tests.support.seaweedfs import SeaweedFS, new_prefix

MIB = 1024 * 1024


@pytest.fixture
async def threads() -> AsyncIterator[BoundedThreads]:
    threads = BoundedThreads(4)
    yield threads
    await threads.aclose()


@pytest.fixture
async def proxy(seaweedfs: SeaweedFS) -> AsyncIterator[S3Proxy]:
    async with s3_proxy(seaweedfs.endpoint) as proxy:
        yield proxy


@pytest.fixture
async def store(
    seaweedfs: SeaweedFS, proxy: S3Proxy, threads: BoundedThreads, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[S3ObjectStore]:
    monkeypatch.setattr(uploads, "LEAST_BYTES", MIB)
    config = msgspec.structs.replace(seaweedfs.config(new_prefix()), endpoint=proxy.endpoint)
    store = S3ObjectStore(config, threads, single_bytes=MIB)
    await store.open()
    await store.check()
    proxy.seen.clear()
    yield store
    await store.aclose()


@pytest.mark.parametrize("promised", [True, False])
async def test_large_file__uploaded_while_it_comes_if_its_name_is_known(
    store: S3ObjectStore, proxy: S3Proxy, threads: BoundedThreads, tmp_path: Path, promised: bool
) -> None:
    data = os.urandom(18 * MIB)
    sha256 = hashlib.sha256(data).hexdigest()
    spool = Spool(tmp_path / "spool", threads)
    async with spool_upload(store, spool, sha256 if promised else "") as upload:
        for start in range(0, 17 * MIB, MIB):
            spool.append(data[start : start + MIB])
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            while promised and not proxy.count("PUT", "partNumber=1"):
                await asyncio.sleep(0.01)
        assert promised or not proxy.seen
        spool.append(data[17 * MIB :])
        assert await store.stat(artifact_key(sha256)) is None
        await upload.store(sha256)
    assert await store.read(artifact_key(sha256)) == data
    spool.release()


async def test_download_breaks_off__upload_aborted_and_nothing_is_there(
    store: S3ObjectStore, proxy: S3Proxy, threads: BoundedThreads, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool", threads)
    with pytest.raises(RuntimeError):
        async with spool_upload(store, spool, "ab" * 32):
            spool.append(os.urandom(17 * MIB))
            async with asyncio.timeout(20):
                while not proxy.count("PUT", "partNumber=1"):
                    await asyncio.sleep(0.01)
            raise RuntimeError
    spool.release()
    assert await store.stat(artifact_key("ab" * 32)) is None
    assert not await incomplete_uploads(store._http)


async def test_other_bytes_came_than_promised__stored_under_their_own_name(
    store: S3ObjectStore, threads: BoundedThreads, tmp_path: Path
) -> None:
    data = os.urandom(2 * MIB)
    sha256 = hashlib.sha256(data).hexdigest()
    spool = Spool(tmp_path / "spool", threads)
    async with spool_upload(store, spool, "cd" * 32) as upload:
        spool.append(data)
        await asyncio.sleep(0.05)
        await upload.store(sha256)
    spool.release()
    assert await store.read(artifact_key(sha256)) == data
    assert await store.stat(artifact_key("cd" * 32)) is None
