"""A whole Orchard that keeps its objects in S3: streamed and by redirect, with a store that goes away."""

from __future__ import annotations

import hashlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from shared.objects.port import artifact_key
from shared.objects.s3.store import S3ObjectStore
from tests.support.builders import build_wheel
from tests.support.orchard import Cluster, problem, wait_until
from tests.support.seaweedfs import SeaweedFS, in_bucket, own_seaweedfs
from tests.support.upstream import Upstream

Names = Callable[[], str]
PREFIX = "whole"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """Of this module alone: it is frozen."""
    with own_seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="module")
def orchard_settings(store: SeaweedFS) -> dict[str, str]:
    return store.settings(PREFIX)


@pytest.fixture(scope="module")
def redirecting(orchard: Cluster) -> Iterator[httpx.Client]:
    """A second gateway of the same Orchard that sends clients to the store."""
    gateway = orchard.start("gateway", ORCHARD_ARTIFACT_DELIVERY="redirect")
    with httpx.Client(base_url=gateway.base, timeout=30, trust_env=False) as client:
        yield client


def publish(upstream: Upstream, name: str, *, size: int = 300_000) -> tuple[str, bytes]:
    """One wheel of about `size` bytes; its file name and content."""
    wheel = build_wheel(name, "1.0", size_bytes=size)
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    upstream.add_project(name, {filename: wheel})
    return filename, wheel


def key_of(data: bytes) -> str:
    return artifact_key(hashlib.sha256(data).hexdigest())


def test_file__cold_then_hit__one_upstream_get_and_the_object_is_in_the_bucket(
    orchard: Cluster, upstream: Upstream, project: Names, store: SeaweedFS
) -> None:
    name = project()
    filename, wheel = publish(upstream, name)
    path = orchard.file_path(name, filename)
    cold, warm = orchard.get(path), orchard.get(path)
    assert cold.content == warm.content == wheel
    assert warm.headers["x-cache"] == "HIT"
    assert warm.headers["content-length"] == str(len(wheel))
    assert upstream.count(f"/files/{name}/{filename}", "GET") == 1
    assert in_bucket(store, PREFIX, lambda objects: objects.read(key_of(wheel))) == wheel
    assert not list((orchard.folder / "data").glob("objects/**/*")), "nothing is kept in files"


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=100-199999", 100, 200_000), ("bytes=-100", -100, None)],
)
def test_file__range_of_a_hit__those_bytes(
    orchard: Cluster, upstream: Upstream, project: Names, header: str, start: int, end: int | None
) -> None:
    name = project()
    filename, wheel = publish(upstream, name)
    path = orchard.file_path(name, filename)
    orchard.get(path)
    answer = orchard.get(path, headers={"Range": header})
    assert (answer.status_code, answer.content) == (206, wheel[start:end])


def test_metadata__back_filled_by_ranges_from_the_bucket(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, _ = publish(upstream, name, size=5_000_000)
    path = orchard.file_path(name, filename)
    orchard.get(path)

    def told() -> bool:
        return isinstance(orchard.page(name)["files"][0].get("core-metadata"), dict)

    wait_until(told, what="the metadata's digest on the page")
    metadata = orchard.get(path + ".metadata")
    assert metadata.status_code == 200 and f"Name: {name}" in metadata.text
    read = orchard.metric(orchard.all_of("extractor")[0], "orchard_extraction_bytes_read_total")
    assert 0 < read < 2_000_000, "a few blocks, not the file"


def test_large_page__kept_in_the_bucket__served(
    orchard: Cluster, upstream: Upstream, project: Names, store: SeaweedFS
) -> None:
    name = project()
    wheel = build_wheel(name, "1.0")
    files = {f"{name.replace('-', '_')}-1.{n}-py3-none-any.whl": wheel for n in range(2500)}
    upstream.add_project(name, files)
    for _ in range(2):  # compressed it would be small enough for Redis
        assert len(orchard.page(name, **{"Accept-Encoding": "identity"})["files"]) == 2500

    async def variants(objects: S3ObjectStore) -> int:
        return len([found async for found in objects.list("variants/")])

    assert in_bucket(store, PREFIX, variants) > 0


def test_redis_comes_back_empty__files_and_pages_without_the_upstream_s_files(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, wheel = publish(upstream, name)
    path = orchard.file_path(name, filename)
    orchard.get(path)
    with orchard.client(orchard.cache) as cache:
        cache.flushall()
    again = orchard.get(path)
    assert again.content == wheel
    assert upstream.count(f"/files/{name}/{filename}", "GET") == 1
    assert orchard.page(name)["files"][0]["filename"] == filename


@pytest.mark.parametrize("by", ["stream", "redirect"])
def test_object_deleted_behind_its_row__fetched_again(
    orchard: Cluster,
    redirecting: httpx.Client,
    upstream: Upstream,
    project: Names,
    store: SeaweedFS,
    by: str,
) -> None:
    name = project()
    filename, wheel = publish(upstream, name)
    path = orchard.file_path(name, filename)
    orchard.get(path)
    in_bucket(store, PREFIX, lambda objects: objects.delete(key_of(wheel)))
    if by == "stream":
        answer = orchard.get(path)
    else:
        answer = redirecting.get(path, follow_redirects=True)
    assert (answer.status_code, answer.content) == (200, wheel)
    assert upstream.count(f"/files/{name}/{filename}", "GET") == 2
    wait_until(
        lambda: in_bucket(store, PREFIX, lambda objects: objects.stat(key_of(wheel))) is not None,
        what="the repair",
    )


def test_redirect__sealed_files_only_and_all_ways_of_asking(
    orchard: Cluster, redirecting: httpx.Client, upstream: Upstream, project: Names, store: SeaweedFS
) -> None:
    name = project()
    filename, wheel = publish(upstream, name)
    path = orchard.file_path(name, filename)
    orchard.get(path)
    sent = redirecting.get(path)
    assert sent.status_code == 307 and sent.headers["cache-control"] == "no-store"
    assert sent.headers["location"].startswith(store.endpoint)
    assert sent.headers["x-cache"] == "HIT"
    whole = redirecting.get(path, follow_redirects=True)
    assert whole.content == wheel and filename in whole.headers["content-disposition"]
    part = redirecting.get(path, headers={"Range": "bytes=5-14"}, follow_redirects=True)
    assert (part.status_code, part.content) == (206, wheel[5:15])
    head = redirecting.head(path, follow_redirects=True)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(wheel)))
    etag = orchard.get(path).headers["etag"]
    assert redirecting.get(path, headers={"If-None-Match": etag}).status_code == 304
    assert redirecting.get(f"/pypi/simple/{name}/").status_code == 200, "pages are never redirected"
    secret = store.settings("")["ORCHARD_S3_SECRET_KEY"]
    assert secret not in orchard.logs() and "X-Amz-Signature" not in orchard.logs()


def test_slow_client__constant_memory(orchard: Cluster, upstream: Upstream, project: Names) -> None:
    name = project()
    filename, wheel = publish(upstream, name, size=64 * 1024 * 1024)
    path = orchard.file_path(name, filename)
    assert orchard.get(path, timeout=60).content == wheel
    before = resident_mib(orchard)
    with (
        httpx.Client(trust_env=False, timeout=30) as client,
        client.stream("GET", orchard.url(path)) as answer,
    ):
        pieces = answer.iter_raw(65536)
        received = [next(pieces)]
        time.sleep(1.0)  # the store could send all of it meanwhile
        assert resident_mib(orchard) - before < 32
        received.extend(pieces)
    assert b"".join(received) == wheel


def resident_mib(orchard: Cluster) -> float:
    """Resident memory of the gateway's processes, in MiB."""
    parent = orchard.gateway.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    total = 0.0
    for pid in [str(parent), *children]:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) / 1024
    return total


def test_store_frozen__hits_503_with_retry_after_and_back_without_restart(
    orchard: Cluster, upstream: Upstream, project: Names, store: SeaweedFS
) -> None:
    name, other = project(), project()
    filename, wheel = publish(upstream, name)
    cold_name, cold_wheel = publish(upstream, other)
    path, cold_path = orchard.file_path(name, filename), orchard.file_path(other, cold_name)
    orchard.get(path)
    store.send(signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = orchard.get(path)
        assert time.monotonic() - began < 15
        assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
        assert problem(answer)["code"] == "store_unavailable"
        with pytest.raises(httpx.RemoteProtocolError):  # relayed, and broken off: it could not be kept
            orchard.get(cold_path, timeout=60)
        assert orchard.page(name)["files"], "pages do not need the store"
    finally:
        store.send(signal.SIGCONT)
    wait_until(lambda: orchard.get(path).content == wheel, what="the hit after the freeze", seconds=30)
    wait_until(
        lambda: orchard.get(cold_path).content == cold_wheel, what="the miss after the freeze", seconds=30
    )


def test_wrong_credentials__fetcher_ends_with_one_line(orchard: Cluster, store: SeaweedFS) -> None:
    fetcher = orchard.start("fetcher", wait=False, ORCHARD_S3_SECRET_KEY="wrong-and-secret")
    assert fetcher.process.wait(30) == 2
    said = fetcher.log.read_text().strip().splitlines()
    assert len(said) == 1 and "ORCHARD_S3_ACCESS_KEY" in said[0]
    assert "wrong-and-secret" not in said[0]


def test_store_away_at_start__a_gateway_starts_all_the_same(
    tmp_path: Path, upstream: Upstream, orchard: Cluster
) -> None:
    gateway = orchard.start("gateway", ORCHARD_S3_ENDPOINT="http://127.0.0.1:9")
    assert urlsplit(gateway.base).port == gateway.port
    gateway.stop()
