"""Files through every service: miss, hit, ranges, validators, HEAD, integrity."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

import httpx
import pytest

from tests.support.builders import build_wheel
from tests.support.orchard import Cluster, wait_until
from tests.support.upstream import Fault, Upstream

Names = Callable[[], str]


def _publish(upstream: Upstream, name: str, *, size: int = 4000, **options: object) -> tuple[str, bytes]:
    """One wheel of about `size` bytes; its file name and content."""
    wheel = build_wheel(name, "1.0", size_bytes=size)
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    upstream.add_project(name, {filename: wheel}, **options)  # type: ignore[arg-type]
    return filename, wheel


def test_file__miss_then_hit__same_bytes_one_upstream_get(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, wheel = _publish(upstream, name, size=300_000)
    path = orchard.file_path(name, filename)
    first, second = orchard.get(path), orchard.get(path)
    assert first.status_code == second.status_code == 200
    assert first.content == second.content == wheel
    assert first.headers["x-cache"] in ("LIVE", "MISS")
    assert second.headers["x-cache"] == "HIT"
    assert upstream.count(f"/files/{name}/{filename}", "GET") == 1


def test_file__hit__immutable_identity_and_verifiable(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, wheel = _publish(upstream, name)
    path = orchard.file_path(name, filename)
    orchard.get(path)
    answer = orchard.get(path, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers
    assert answer.headers["content-length"] == str(len(wheel))
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["accept-ranges"] == "bytes"
    assert hashlib.sha256(wheel).hexdigest() in answer.headers["etag"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = orchard.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304 and again.content == b""


@pytest.mark.parametrize(
    ("header", "status", "start", "end"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=100-199", 206, 100, 200),
        ("bytes=100-", 206, 100, None),
        ("bytes=-100", 206, -100, None),
        ("bytes=100-99999999", 206, 100, None),
        ("bytes=99999999-", 416, 0, 0),
        ("bytes=5-1", 200, 0, None),
        ("lines=1-2", 200, 0, None),
        ("bytes=0-1,5-6", 200, 0, None),
    ],
)
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_range__exact_part_or_the_whole(
    orchard: Cluster,
    upstream: Upstream,
    project: Names,
    header: str,
    status: int,
    start: int,
    end: int | None,
    warm: bool,
) -> None:
    name = project()
    filename, wheel = _publish(upstream, name, size=20_000)
    path = orchard.file_path(name, filename)
    if warm:
        orchard.get(path)
    answer = orchard.get(path, headers={"Range": header})
    assert answer.status_code == status
    if status == 416:
        assert answer.headers["content-range"] == f"bytes */{len(wheel)}"
    else:
        assert answer.content == wheel[slice(start, end)]
    if status == 206:
        first = start if start >= 0 else len(wheel) + start
        assert (
            answer.headers["content-range"] == f"bytes {first}-{first + len(answer.content) - 1}/{len(wheel)}"
        )


def test_if_range__matching_etag_206_other_200(orchard: Cluster, upstream: Upstream, project: Names) -> None:
    name = project()
    filename, _wheel = _publish(upstream, name)
    path = orchard.file_path(name, filename)
    etag = orchard.get(path).headers["etag"]
    for validator, status in ((etag, 206), ('"other"', 200), (f"W/{etag}", 200)):
        answer = orchard.get(path, headers={"Range": "bytes=0-9", "If-Range": validator})
        assert answer.status_code == status, validator


@pytest.mark.parametrize("sizes", [True, False], ids=["size in index", "size unknown"])
def test_head__cold_file__length_at_once_without_download(
    orchard: Cluster, upstream: Upstream, project: Names, sizes: bool
) -> None:
    name = project()
    filename, wheel = _publish(upstream, name, size=50_000, sizes=sizes)
    path = orchard.file_path(name, filename)
    head = httpx.head(orchard.url(path), trust_env=False, timeout=20)
    assert head.status_code == 200
    assert head.headers["content-length"] == str(len(wheel))
    assert head.headers["accept-ranges"] == "bytes"
    whole = [r for r in upstream.seen(f"/files/{name}/{filename}", "GET") if "range" not in r.headers]
    assert whole == []


def test_range__small_parts_of_a_cold_file__never_fetch_the_file(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, wheel = _publish(upstream, name, size=600_000)
    path = orchard.file_path(name, filename)
    for start in (len(wheel) - 5000, 100, 200_000):
        answer = orchard.get(path, headers={"Range": f"bytes={start}-{start + 999}"})
        assert (answer.status_code, answer.content) == (206, wheel[start : start + 1000])
        assert answer.headers["cache-control"] == "no-store"
    asked = upstream.seen(f"/files/{name}/{filename}", "GET")
    assert len(asked) == 3 and all("range" in each.headers for each in asked)
    assert orchard.get(path).content == wheel
    assert orchard.get(path).headers["x-cache"] == "HIT"
    assert upstream.count(f"/files/{name}/{filename}", "GET") == 4


def test_unknown_file_of_known_project__404(orchard: Cluster, upstream: Upstream, project: Names) -> None:
    name = project()
    _publish(upstream, name)
    path = f"/pypi/files/{name}/{'0' * 64}/{name.replace('-', '_')}-9.9-py3-none-any.whl"
    answer = orchard.get(path)
    assert answer.status_code == 404
    assert answer.json()["code"] == "file_not_found"


def test_file_of_lock_file__empty_orchard__found_through_the_index(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, wheel = _publish(upstream, name)
    path = f"/pypi/files/{name}/{hashlib.sha256(wheel).hexdigest()}/{filename}"
    answer = orchard.get(path)
    assert answer.status_code == 200 and answer.content == wheel
    assert upstream.count(f"/simple/{name}/") == 1


def _download_fails(orchard: Cluster, path: str) -> bool:
    """True when the client got no complete 200 with a body."""
    try:
        answer = orchard.get(path)
    except httpx.HTTPError:
        return True
    return answer.status_code in (403, 503)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(flip_at=1500),
        Fault(cut_at=1000, ignore_range=True),
        Fault(surplus=b"surplus"),
        Fault(body=b"<html>log in</html>", content_type="text/html"),
        Fault(body=b""),
        Fault(status=503),
        Fault(status=403),
        Fault(not_asked_206=True),
    ],
    ids=["flip", "cut", "surplus", "login page", "empty", "503", "403", "206"],
)
def test_complete_200__never_has_a_wrong_hash__next_request_works(
    orchard: Cluster, upstream: Upstream, project: Names, fault: Fault
) -> None:
    name = project()
    filename, wheel = _publish(upstream, name, size=3000)
    path = orchard.file_path(name, filename)
    upstream.fault(f"/files/{name}/{filename}", fault)
    try:
        answer = orchard.get(path)
        assert answer.status_code in (403, 503) or answer.content == wheel
    except httpx.HTTPError:
        pass  # the transfer was broken off
    upstream.heal()
    deadline = time.monotonic() + 25
    while _download_fails(orchard, path):
        assert time.monotonic() < deadline, "the file stays broken"
        time.sleep(0.3)
    assert orchard.get(path).content == wheel


def test_upstream_cut__resumed_by_range__client_gets_all_bytes(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, wheel = _publish(upstream, name, size=2_000_000)
    path = orchard.file_path(name, filename)
    upstream.fault(f"/files/{name}/{filename}", Fault(cut_at=700_000), times=1)
    answer = orchard.get(path)
    assert answer.content == wheel
    gets = upstream.seen(f"/files/{name}/{filename}", "GET")
    assert len(gets) == 2 and gets[1].headers["range"].startswith("bytes=")


def test_md5_only_upstream__served_and_pinned_by_sha256_under_the_same_url(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, wheel = _publish(upstream, name, hashes=("md5",))
    path = orchard.file_path(name, filename)
    assert orchard.get(path).content == wheel
    digest = hashlib.sha256(wheel).hexdigest()

    def advertised() -> bool:
        return bool(orchard.page(name)["files"][0]["hashes"].get("sha256") == digest)

    wait_until(advertised, what="the pinned SHA256 on the page")
    assert orchard.file_path(name, filename) == path


def test_metadata__upstream_has_none__served_before_the_wheel_and_pinned_by_it(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, _ = _publish(upstream, name)
    path = orchard.file_path(name, filename)
    assert orchard.page(name)["files"][0]["core-metadata"] is True
    before = orchard.get(path + ".metadata")
    assert before.status_code == 200 and f"Name: {name}".encode() in before.content
    assert before.headers["cache-control"] == "max-age=300"
    wheel = list(upstream.seen(f"/files/{name}/{filename}"))
    assert all(each.headers.get("range", "").startswith("bytes=-") for each in wheel) and len(wheel) == 1
    orchard.get(path)

    def pinned() -> bool:
        return orchard.page(name)["files"][0]["core-metadata"] is not True

    wait_until(pinned, what="its digest on the page")
    digest = hashlib.sha256(before.content).hexdigest()
    assert orchard.page(name)["files"][0]["core-metadata"] == {"sha256": digest}
    after = orchard.get(path + ".metadata")
    assert after.content == before.content and after.headers["cache-control"] == "max-age=86400"


def test_back_fill__wheel_without_core_metadata__its_digest_is_told_and_byte_exact(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, _ = _publish(upstream, name)
    path = orchard.file_path(name, filename)
    assert orchard.page(name)["files"][0]["core-metadata"] is True
    orchard.get(path)

    def advertised() -> bool:
        return orchard.page(name)["files"][0]["core-metadata"] is not True

    wait_until(advertised, what="the digest of its metadata on the page")
    promised = orchard.page(name)["files"][0]["core-metadata"]["sha256"]
    metadata = orchard.get(path + ".metadata")
    assert metadata.status_code == 200
    assert hashlib.sha256(metadata.content).hexdigest() == promised
    assert f"Name: {name}".encode() in metadata.content
    assert upstream.count(f"/simple/{name}/") == 1, "back-fill never asks upstream"


@pytest.mark.parametrize("status", [404, 503])
def test_metadata_advertised_but_missing_upstream__served_from_the_wheel(
    orchard: Cluster, upstream: Upstream, project: Names, status: int
) -> None:
    import zipfile
    from io import BytesIO

    name = project()
    wheel = build_wheel(name, "1.0")
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(BytesIO(wheel)) as archive:
        member = next(each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        metadata = archive.read(member)
    upstream.add_project(name, {filename: wheel}, metadata={filename: metadata})
    upstream.fault(f"/files/{name}/{filename}.metadata", Fault(status=status))
    answer = orchard.get(orchard.file_path(name, filename) + ".metadata")
    assert answer.status_code == 200
    assert answer.content == metadata
