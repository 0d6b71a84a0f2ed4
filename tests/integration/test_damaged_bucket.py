"""Objects in a bucket that are damaged by hand: never a complete wrong answer, and the next request heals."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

import httpx
import pytest

from shared.objects.port import artifact_key
from shared.objects.s3.store import S3ObjectStore
from shared.process.threads import BoundedThreads
from tests.support.builders import build_wheel
from tests.support.orchard import Cluster, wait_until
from tests.support.seaweedfs import SeaweedFS, new_prefix
from tests.support.upstream import Upstream

Names = Callable[[], str]
Damage = Callable[[bytes], bytes]


def _cut(data: bytes) -> bytes:
    return data[:-1]


def _longer(data: bytes) -> bytes:
    return data + b"x"


def _empty(data: bytes) -> bytes:
    return b""


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.fixture(scope="module")
def prefix() -> str:
    return new_prefix()


@pytest.fixture(scope="module")
def orchard_settings(seaweedfs: SeaweedFS, prefix: str) -> dict[str, str]:
    return {**seaweedfs.settings(prefix), "ORCHARD_HOT_OBJECTS_BYTES": "0"}


def _content(server: SeaweedFS, prefix: str, key: str, put: bytes | None = None) -> bytes:
    async def run() -> bytes:
        threads = BoundedThreads(1)
        store = S3ObjectStore(server.config(prefix), threads)
        await store.open()
        try:
            if put is not None:
                await store.put_bytes(key, put)
            return await store.read(key)
        finally:
            await store.aclose()
            await threads.aclose()

    return asyncio.run(run())


def _get(orchard: Cluster, path: str) -> httpx.Response | None:
    try:
        return orchard.get(path)
    except httpx.HTTPError:
        return None  # broken off


@pytest.mark.parametrize("damage", [_cut, _longer, _empty, _flip], ids=lambda each: each.__name__[1:])
@pytest.mark.parametrize("size", [4_000, 300_000])
def test_damaged_object__first_gateway_to_read_it__never_wrong_and_healed(
    orchard: Cluster,
    upstream: Upstream,
    project: Names,
    seaweedfs: SeaweedFS,
    prefix: str,
    size: int,
    damage: Damage,
) -> None:
    name = project()
    wheel = build_wheel(name, "1.0", size_bytes=size)
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    upstream.add_project(name, {filename: wheel})
    path = orchard.file_path(name, filename)
    wait_until(lambda: getattr(_get(orchard, path), "content", b"") == wheel, what="the file")
    key = artifact_key(hashlib.sha256(wheel).hexdigest())
    _content(seaweedfs, prefix, key, damage(wheel))
    gateway = orchard.start("gateway")  # has read nothing yet
    try:
        for _ in range(3):
            try:
                answer = httpx.get(gateway.base + path, trust_env=False, timeout=30)
            except httpx.HTTPError:
                continue  # broken off
            assert answer.status_code in (200, 503)
            assert answer.status_code == 503 or answer.content == wheel
        assert httpx.get(gateway.base + path, trust_env=False, timeout=30).content == wheel
    finally:
        gateway.stop()
    assert _content(seaweedfs, prefix, key) == wheel
