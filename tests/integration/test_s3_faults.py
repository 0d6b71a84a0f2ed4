"""A whole Orchard whose S3 store refuses: full, keys taken back, clocks apart; and back again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate

import httpx
import pytest

from tests.support.builders import build_wheel
from tests.support.orchard import Cluster, problem, wait_until
from tests.support.s3_proxy import Fault, S3Proxy, running_s3_proxy
from tests.support.seaweedfs import SeaweedFS, new_prefix
from tests.support.upstream import Upstream

Names = Callable[[], str]


@pytest.fixture(scope="module")
def store(seaweedfs: SeaweedFS) -> Iterator[S3Proxy]:
    with running_s3_proxy(seaweedfs.endpoint) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def orchard_settings(seaweedfs: SeaweedFS, store: S3Proxy) -> dict[str, str]:
    return {**seaweedfs.settings(new_prefix()), "ORCHARD_S3_ENDPOINT": store.endpoint}


@pytest.fixture(autouse=True)
def _store_healed(store: S3Proxy) -> Iterator[None]:
    yield
    store.faults.clear()


def published(orchard: Cluster, upstream: Upstream, name: str, *, size: int) -> tuple[str, bytes]:
    """The path of a wheel that nobody has asked for yet, and its content."""
    wheel = build_wheel(name, "1.0", size_bytes=size)
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    upstream.add_project(name, {filename: wheel})
    return orchard.file_path(name, filename), wheel


def refused(answer: httpx.Response, word: str) -> None:
    """503 of the store, with Retry-After and the cause in words."""
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
    assert problem(answer)["code"] == "store_unavailable" and word in problem(answer)["detail"]
    assert answer.headers["cache-control"] == "no-store"


def test_store_full__new_files_503_or_broken_off__hits_go_on__recovers(
    orchard: Cluster, upstream: Upstream, project: Names, store: S3Proxy
) -> None:
    known, known_wheel = published(orchard, upstream, project(), size=200_000)
    assert orchard.get(known).content == known_wheel
    small, small_wheel = published(orchard, upstream, project(), size=1_000)
    large, large_wheel = published(orchard, upstream, project(), size=900_000)
    store.fault(Fault("PUT", status=507, code="InsufficientStorage"))
    refused(orchard.get(small), "full")
    with contextlib.suppress(httpx.RemoteProtocolError):  # it was being relayed already: broken off
        refused(orchard.get(large), "full")
    assert orchard.get(known).content == known_wheel
    with httpx.Client(trust_env=False) as client:
        for path in (small, large):  # nothing was half-stored: no row says that they are there
            head = client.head(orchard.url(path))
            assert head.headers.get("x-cache") != "HIT", head.headers
    store.faults.clear()
    wait_until(lambda: orchard.get(small).content == small_wheel, what="the small file")
    assert orchard.get(large).content == large_wheel


@pytest.mark.parametrize(
    ("code", "ahead_seconds", "word"),
    [
        ("InvalidAccessKeyId", 0, "ORCHARD_S3_ACCESS_KEY"),
        ("NoSuchBucket", 0, "ORCHARD_S3_BUCKET"),
        ("RequestTimeTooSkewed", 7200, "ahead"),
    ],
)
def test_store_refuses_later__hits_503_naming_the_cause__recovers_without_restart(
    orchard: Cluster,
    upstream: Upstream,
    project: Names,
    store: S3Proxy,
    code: str,
    ahead_seconds: int,
    word: str,
) -> None:
    path, wheel = published(orchard, upstream, project(), size=200_000)
    assert orchard.get(path).content == wheel
    date = formatdate(time.time() + ahead_seconds, usegmt=True) if ahead_seconds else ""
    status = 404 if code == "NoSuchBucket" else 403
    store.fault(Fault("GET", "artifacts/", status=status, code=code, date=date))
    refused(orchard.get(path), word)
    assert "orchard-test-secret" not in orchard.logs()
    store.faults.clear()
    assert orchard.get(path).content == wheel


def test_clock_apart_at_start__fetcher_ends_with_one_line(orchard: Cluster, store: S3Proxy) -> None:
    date = formatdate(time.time() - 7200, usegmt=True)
    for method in ("GET", "PUT"):
        store.fault(Fault(method, status=403, code="RequestTimeTooSkewed", date=date))
    fetcher = orchard.start("fetcher", wait=False)
    assert fetcher.process.wait(40) == 2
    said = fetcher.log.read_text().strip().splitlines()
    assert len(said) == 1 and "clocks" in said[0] and "behind" in said[0]


def test_bucket_missing_at_start__fetcher_ends_with_one_line(orchard: Cluster) -> None:
    fetcher = orchard.start(
        "fetcher", wait=False, ORCHARD_S3_BUCKET="nobody-has-made-it", ORCHARD_S3_CREATE_BUCKET="false"
    )
    assert fetcher.process.wait(40) == 2
    said = fetcher.log.read_text().strip().splitlines()
    assert len(said) == 1 and "ORCHARD_S3_BUCKET" in said[0]


def test_hot_file__store_gone__still_served_from_its_copy(
    orchard: Cluster, upstream: Upstream, project: Names, store: S3Proxy
) -> None:
    path, wheel = published(orchard, upstream, project(), size=200_000)
    for _ in range(3):
        assert orchard.get(path).content == wheel
    wait_until(lambda: list((orchard.folder / "data" / "hot").glob("?" * 64)), what="the copy")
    wait_until(
        lambda: orchard.metric(orchard.gateway, "orchard_hot_object_fills_total") >= 1,
        what="the copy's check",
    )
    store.fault(Fault("GET", "artifacts/", status=403, code="InvalidAccessKeyId"))
    answer = orchard.get(path)
    assert (answer.status_code, answer.content, answer.headers["x-cache"]) == (200, wheel, "HIT")
    part = orchard.get(path, headers={"Range": "bytes=5-104"})
    assert (part.status_code, part.content) == (206, wheel[5:105])
