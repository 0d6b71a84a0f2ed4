"""S3 over TLS with a certificate authority of one's own (ORCHARD_CA_FILE)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from shared.errors import ConfigurationError
from shared.errors.passing import StoreUnavailable
from shared.objects.port import artifact_key
from shared.objects.s3.config import S3Config
from shared.objects.s3.store import S3ObjectStore
from shared.process.threads import BoundedThreads
from tests.support.certificates import authority
from tests.support.s3_proxy import s3_proxy
from tests.support.seaweedfs import SeaweedFS, new_prefix


@pytest.fixture
async def threads() -> AsyncIterator[BoundedThreads]:
    threads = BoundedThreads(4)
    yield threads
    await threads.aclose()


@pytest.fixture
async def config(seaweedfs: SeaweedFS, tmp_path: Path) -> AsyncIterator[S3Config]:
    """Behind a proxy that speaks TLS."""
    ca, context = authority(tmp_path / "tls")
    async with s3_proxy(seaweedfs.endpoint, tls=context) as proxy:
        yield msgspec.structs.replace(
            seaweedfs.config(new_prefix()), endpoint=proxy.endpoint, ca_file=str(ca)
        )


async def test_https__own_authority__everything_works(
    config: S3Config, threads: BoundedThreads, tmp_path: Path
) -> None:
    store = S3ObjectStore(config, threads, single_bytes=500_000)
    await store.open()
    try:
        await store.check()
        data = os.urandom(1_000_000)
        sha256 = hashlib.sha256(data).hexdigest()
        key, spool = artifact_key(sha256), tmp_path / "spool"
        spool.write_bytes(data)
        await store.put_file(key, spool, sha256=sha256)  # in parts
        assert await store.read(key) == data
        assert await store.read(key, 10, 20) == data[10:30]
        assert [found.key async for found in store.list("artifacts/")] == [key]
        await store.delete(key)
        assert await store.stat(key) is None
    finally:
        await store.aclose()


async def test_https__authority_not_trusted__one_line_naming_the_variable(
    config: S3Config, threads: BoundedThreads
) -> None:
    store = S3ObjectStore(msgspec.structs.replace(config, ca_file=""), threads)
    await store.open()
    try:
        with pytest.raises(StoreUnavailable, match="ORCHARD_CA_FILE"):
            await store.check()
    finally:
        await store.aclose()


@pytest.mark.parametrize("content", [None, "this is no certificate"])
async def test_https__authority_s_file_is_no_good__one_line_at_start(
    config: S3Config, threads: BoundedThreads, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match="ORCHARD_CA_FILE"):
        S3ObjectStore(msgspec.structs.replace(config, ca_file=str(path)), threads)
