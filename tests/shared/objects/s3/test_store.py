"""S3ObjectStore where an S3 server is more, or worse, than a folder: parts, faults, silence, refusals."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path

import httpx
import msgspec
import pytest

from shared.errors import ConfigurationError
from shared.errors.passing import ObjectMissing, StoreUnavailable
from shared.objects.port import artifact_key
from shared.objects.s3.config import S3Config
from shared.objects.s3.multipart import begin_upload, incomplete_uploads
from shared.objects.s3.store import S3ObjectStore
from shared.objects.s3.upload import PART_BYTES
from shared.process.threads import BoundedThreads
from tests.support.s3_proxy import Fault, S3Proxy, s3_proxy
from tests.support.seaweedfs import SeaweedFS, new_prefix, own_seaweedfs

ANSWERED_WITHIN_SECONDS = 15.0  # pip gives up then


@pytest.fixture
async def threads() -> AsyncIterator[BoundedThreads]:
    threads = BoundedThreads(4)
    yield threads
    await threads.aclose()


@asynccontextmanager
async def store_at(
    config: S3Config, threads: BoundedThreads, *, single_bytes: int = 1024 * 1024
) -> AsyncIterator[S3ObjectStore]:
    store = S3ObjectStore(config, threads, single_bytes=single_bytes)
    await store.open()
    try:
        yield store
    finally:
        await store.aclose()


@pytest.fixture
async def proxy(seaweedfs: SeaweedFS) -> AsyncIterator[S3Proxy]:
    async with s3_proxy(seaweedfs.endpoint) as proxy:
        yield proxy


@pytest.fixture
async def store(
    seaweedfs: SeaweedFS, proxy: S3Proxy, threads: BoundedThreads
) -> AsyncIterator[S3ObjectStore]:
    """Through the proxy."""
    config = msgspec.structs.replace(seaweedfs.config(new_prefix()), endpoint=proxy.endpoint)
    async with store_at(config, threads) as store:
        await store.check()
        proxy.seen.clear()
        yield store


def made(folder: Path, size: int) -> tuple[str, Path, bytes, str]:
    """A spool file: its key, path, bytes and digest."""
    data = os.urandom(size)
    sha256 = hashlib.sha256(data).hexdigest()
    path = folder / f"spool-{sha256[:8]}"
    path.write_bytes(data)
    return artifact_key(sha256), path, data, sha256


async def uploads_left(store: S3ObjectStore) -> int:
    return len(await incomplete_uploads(store._http))


# --- uploads in parts ---------------------------------------------------------------------------------


async def test_put_file__large__in_parts_and_whole(
    store: S3ObjectStore, proxy: S3Proxy, tmp_path: Path
) -> None:
    key, path, data, sha256 = made(tmp_path, PART_BYTES + 1_000_000)
    await store.put_file(key, path, sha256=sha256)
    assert proxy.count("PUT", "partNumber=") == 2
    assert await store.read(key) == data
    assert await store.read(key, PART_BYTES - 5, 10) == data[PART_BYTES - 5 : PART_BYTES + 5]
    found = await store.stat(key)
    assert found is not None and found.size_bytes == len(data)
    assert await uploads_left(store) == 0


async def test_put_file__a_part_is_refused__aborted_and_no_object(
    store: S3ObjectStore, proxy: S3Proxy, tmp_path: Path
) -> None:
    key, path, _, sha256 = made(tmp_path, PART_BYTES + 1_000_000)
    proxy.fault(Fault("PUT", "partNumber=2", status=507, code="InsufficientStorage"))
    with pytest.raises(StoreUnavailable, match="full"):
        await store.put_file(key, path, sha256=sha256)
    assert await store.stat(key) is None
    assert await uploads_left(store) == 0


async def test_put_file__joining_fails_in_an_answer_of_200__aborted_and_no_object(
    store: S3ObjectStore, proxy: S3Proxy, tmp_path: Path
) -> None:
    key, path, _, sha256 = made(tmp_path, PART_BYTES + 1_000_000)
    proxy.fault(Fault("POST", "uploadId=", status=200, code="InternalError"))
    with pytest.raises(StoreUnavailable, match="InternalError"):
        await store.put_file(key, path, sha256=sha256)
    assert await store.stat(key) is None
    assert await uploads_left(store) == 0


async def test_put_file__cancelled_between_parts__aborted(
    store: S3ObjectStore, proxy: S3Proxy, tmp_path: Path
) -> None:
    key, path, _, sha256 = made(tmp_path, PART_BYTES + 1_000_000)
    proxy.fault(Fault("PUT", "partNumber=2", status=503, code="SlowDown"))
    putting = asyncio.create_task(store.put_file(key, path, sha256=sha256))
    async with asyncio.timeout(30):
        while not proxy.count("PUT", "partNumber=2"):
            await asyncio.sleep(0.01)
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert proxy.count("DELETE", "uploadId=") == 1
    assert await store.stat(key) is None


async def until_sent(proxy: S3Proxy, parts: int) -> None:
    async with asyncio.timeout(20):
        while proxy.count("PUT", "partNumber=") < parts:
            await asyncio.sleep(0.01)


async def test_growing_put__parts_go_while_the_file_grows__visible_only_at_the_end(
    store: S3ObjectStore, proxy: S3Proxy, tmp_path: Path
) -> None:
    size = 2 * PART_BYTES + 1000
    key, path, data, sha256 = made(tmp_path, size)
    put = store.begin_put(key, path)
    put.grown(500_000)
    assert not proxy.seen, "small so far: nothing is begun"
    put.grown(PART_BYTES + 5)
    await until_sent(proxy, 1)
    assert await store.stat(key) is None
    await store.finish_put(put, key, path, sha256=sha256)
    assert proxy.count("PUT", "partNumber=") == 3 and proxy.count("POST", "uploads=") == 1
    assert await store.read(key) == data
    assert await uploads_left(store) == 0
    await put.abort()
    assert await store.read(key, 0, 10) == data[:10], "after the end there is nothing to abort"


async def test_growing_put__a_part_fails_on_the_way__put_as_a_whole(
    store: S3ObjectStore, proxy: S3Proxy, tmp_path: Path
) -> None:
    key, path, data, sha256 = made(tmp_path, PART_BYTES + 1000)
    proxy.fault(Fault("PUT", "partNumber=1", status=507, code="InsufficientStorage", times=1))
    put = store.begin_put(key, path)
    put.grown(len(data))
    await store.finish_put(put, key, path, sha256=sha256)
    assert await store.read(key) == data
    assert await uploads_left(store) == 0


async def test_growing_put__download_failed__aborted_and_nothing_is_there(
    store: S3ObjectStore, proxy: S3Proxy, tmp_path: Path
) -> None:
    key, path, _, _ = made(tmp_path, PART_BYTES + 1000)
    put = store.begin_put(key, path)
    put.grown(PART_BYTES)
    await until_sent(proxy, 1)
    await put.abort()
    assert await store.stat(key) is None
    assert await uploads_left(store) == 0


async def test_abort_leftovers__only_what_is_old(store: S3ObjectStore) -> None:
    await begin_upload(store._http, artifact_key("1" * 64))
    assert await store.abort_leftovers(3600) == 0
    assert await uploads_left(store) == 1
    assert await store.abort_leftovers(-60) == 1
    assert await uploads_left(store) == 0


# --- refusals -----------------------------------------------------------------------------------------


async def test_put__store_is_full__503_nothing_kept_and_recovers(
    store: S3ObjectStore, proxy: S3Proxy, tmp_path: Path
) -> None:
    key, path, data, sha256 = made(tmp_path, 100_000)
    proxy.fault(Fault("PUT", status=507, code="InsufficientStorage"))
    for put in (store.put_file(key, path, sha256=sha256), store.put_bytes(key, data)):
        with pytest.raises(StoreUnavailable, match="full") as caught:
            await put
        assert caught.value.status == 503 and caught.value.retry_after_seconds > 0
    assert await store.stat(key) is None
    proxy.faults.clear()
    await store.put_file(key, path, sha256=sha256)
    assert await store.read(key) == data


async def test_check__store_is_full__may_start(store: S3ObjectStore, proxy: S3Proxy) -> None:
    proxy.fault(Fault("PUT", status=507, code="InsufficientStorage"))
    await store.check()


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "RequestTimeTooSkewed", "clocks"),
        (403, "InvalidAccessKeyId", "ORCHARD_S3_ACCESS_KEY"),
        (403, "SignatureDoesNotMatch", "ORCHARD_S3_SECRET_KEY"),
        (404, "NoSuchBucket", "ORCHARD_S3_BUCKET"),
    ],
)
async def test_refused_later__503_naming_the_cause_and_recovers(
    store: S3ObjectStore, proxy: S3Proxy, status: int, code: str, said: str
) -> None:
    data = b"kept"
    key = artifact_key(hashlib.sha256(data).hexdigest())
    await store.put_bytes(key, data)
    for method in ("GET", "PUT"):
        proxy.fault(Fault(method, status=status, code=code))
    for call in (store.read(key), store.put_bytes(key, data)):
        with pytest.raises(StoreUnavailable, match=said) as caught:
            await call
        assert not isinstance(caught.value, ObjectMissing)
        assert caught.value.retry_after_seconds > 0
    proxy.faults.clear()
    assert await store.read(key) == data


@pytest.mark.parametrize("code", ["RequestTimeTooSkewed", "AccessDenied"])  # not every store says why
@pytest.mark.parametrize("call", ["check", "read", "put"])
async def test_clocks_differ__says_by_how_much(
    store: S3ObjectStore, proxy: S3Proxy, code: str, call: str
) -> None:
    key = artifact_key("ab" * 32)
    for method in ("GET", "PUT"):
        date = formatdate(time.time() - 7200, usegmt=True)
        proxy.fault(Fault(method, status=403, code=code, date=date))
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "check": store.check,
        "read": lambda: store.read(key),
        "put": lambda: store.put_bytes(key, b"data"),
    }
    kind = ConfigurationError if call == "check" else StoreUnavailable  # a start does not wait for it
    with pytest.raises(kind, match=r"clocks .* differ by (7199|720\d) s .*behind"):
        await calls[call]()
    proxy.faults.clear()
    await store.put_bytes(key, b"data")


async def test_passing_failures__tried_again(store: S3ObjectStore, proxy: S3Proxy) -> None:
    data = b"tried again"
    key = artifact_key(hashlib.sha256(data).hexdigest())
    proxy.fault(Fault("PUT", status=503, code="SlowDown", times=2))
    await store.put_bytes(key, data)
    proxy.fault(Fault("GET", status=500, code="InternalError", times=2))
    assert await store.read(key) == data
    assert (proxy.count("PUT"), proxy.count("GET")) == (3, 3)


async def test_put__changed_on_its_way__refused_by_the_store(store: S3ObjectStore, proxy: S3Proxy) -> None:
    data = b"as it was" * 100
    key = artifact_key(hashlib.sha256(data).hexdigest())
    proxy.fault(Fault("PUT", spoil=True))
    with pytest.raises(StoreUnavailable):
        await store.put_bytes(key, data)
    assert await store.stat(key) is None


async def test_stream__broken_off_in_its_middle__goes_on_where_it_was(
    store: S3ObjectStore, proxy: S3Proxy, tmp_path: Path
) -> None:
    key, path, data, sha256 = made(tmp_path, 900_000)
    await store.put_file(key, path, sha256=sha256)
    proxy.fault(Fault("GET", cut_after=300_000, times=2))
    assert await store.read(key) == data
    assert await store.read(key, 100, 700_000) == data[100:700_100]
    proxy.faults.clear()
    proxy.fault(Fault("GET", cut_after=0))
    with pytest.raises(StoreUnavailable, match="broke off"):
        await store.read(key)


# --- the start ----------------------------------------------------------------------------------------


async def test_check__bucket_missing__one_line_or_made(seaweedfs: SeaweedFS, threads: BoundedThreads) -> None:
    bucket = f"orchard-new-{os.getpid()}"
    config = seaweedfs.config("", bucket=bucket)
    strict = msgspec.structs.replace(config, create_bucket=False)
    async with store_at(strict, threads) as store:
        with pytest.raises(ConfigurationError, match="ORCHARD_S3_BUCKET") as caught:
            await store.check()
        assert "\n" not in caught.value.message
    async with store_at(config, threads) as store:
        await store.check()
    async with store_at(strict, threads) as store:
        await store.check()


@pytest.mark.parametrize("field", ["access_key", "secret_key"])
async def test_check__wrong_credentials__one_line_without_them(
    seaweedfs: SeaweedFS, threads: BoundedThreads, field: str
) -> None:
    config = msgspec.structs.replace(seaweedfs.config(new_prefix()), **{field: "nobody-knows-this"})
    async with store_at(config, threads) as store:
        with pytest.raises(ConfigurationError, match="ORCHARD_S3_ACCESS_KEY") as caught:
            await store.check()
    assert "\n" not in caught.value.message
    for secret in ("nobody-knows-this", config.secret_key):
        assert secret not in caught.value.message and secret not in repr(store)


# --- a store that stops -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with own_seaweedfs(tmp_path_factory.mktemp("seaweedfs-own")) as server:
        yield server


async def test_frozen_store__every_call_ends_and_recovers(
    own: SeaweedFS, threads: BoundedThreads, tmp_path: Path
) -> None:
    key, path, data, sha256 = made(tmp_path, 500_000)
    async with store_at(own.config(new_prefix()), threads) as store:
        await store.check()
        await store.put_file(key, path, sha256=sha256)
        own.send(signal.SIGSTOP)
        try:
            calls = [store.read(key), store.stat(key), store.put_bytes(key, data), store.delete(key)]
            began = time.monotonic()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert time.monotonic() - began < ANSWERED_WITHIN_SECONDS
            with pytest.raises(StoreUnavailable, match="lately"):  # told at once, not after the time limit
                await store.read(key)
        finally:
            own.send(signal.SIGCONT)
        assert [type(each) for each in outcomes] == [StoreUnavailable] * 4
        async with asyncio.timeout(30):
            while True:
                try:
                    await store.put_bytes(key, data)
                    break
                except StoreUnavailable:
                    await asyncio.sleep(0.2)
        assert await store.read(key) == data


async def test_killed_store__unavailable_then_back_without_a_restart_of_ours(
    own: SeaweedFS, threads: BoundedThreads, tmp_path: Path
) -> None:
    key, path, data, sha256 = made(tmp_path, 300_000)
    async with store_at(own.config(new_prefix()), threads) as store:
        await store.check()
        await store.put_file(key, path, sha256=sha256)
        own.stop(signal.SIGTERM)
        with pytest.raises(StoreUnavailable):
            await store.read(key)
        with pytest.raises(StoreUnavailable):
            await store.stat(key)
        await asyncio.to_thread(own.start)
        async with asyncio.timeout(30):
            while True:
                try:
                    assert await store.read(key) == data
                    break
                except StoreUnavailable:
                    await asyncio.sleep(0.2)


# --- presigned URLs -----------------------------------------------------------------------------------


async def test_presign__anyone_gets_the_object_by_its_name(store: S3ObjectStore, tmp_path: Path) -> None:
    key, path, data, sha256 = made(tmp_path, 50_000)
    await store.put_file(key, path, sha256=sha256)
    url = store.presign(key, expires_seconds=60, filename="demo-1.0.whl", content_type="application/zip")
    head = store.presign(key, expires_seconds=60, method="HEAD")
    async with httpx.AsyncClient(trust_env=False) as client:
        whole = await client.get(url)
        part = await client.get(url, headers={"Range": "bytes=10-19"})
        size = await client.head(head)
        changed = await client.get(url.replace(sha256, "0" * 64))
    assert whole.content == data
    assert whole.headers["content-type"] == "application/zip"
    assert "demo-1.0.whl" in whole.headers["content-disposition"]
    assert (part.status_code, part.content) == (206, data[10:20])
    assert (size.status_code, size.headers["content-length"]) == (200, "50000")
    assert changed.status_code == 403
