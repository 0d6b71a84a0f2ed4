"""A source whose operator says that 403 means "not here" (some object stores and CDNs): `#absent=403`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.builders import build_wheel
from tests.support.maven_builders import Repository, build_jar
from tests.support.orchard import Cluster, cluster
from tests.support.upstream import Fault, Upstream


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    settings = {
        "ORCHARD_REQUEST_TIMEOUT": "5",
        "ORCHARD_MAVEN_UPSTREAM": f"{upstream.url}/bucket/#absent=403,{upstream.url}/second/",
        "ORCHARD_PYPI_UPSTREAM": f"{upstream.url}/simple/#absent=403",
    }
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, extractors=0, **settings) as running:
        yield running


@pytest.fixture
def bucket(upstream: Upstream) -> Repository:
    return Repository(upstream, "/bucket")


def test_absent__the_next_source_is_asked(orchard: Cluster, upstream: Upstream) -> None:
    path = Repository(upstream, "/second").add("org.demo", "elsewhere", "1.0")
    upstream.fault(f"/bucket/{path}", Fault(status=403, body=b"AccessDenied"))
    metadata = "/bucket/org/demo/elsewhere/maven-metadata.xml"
    upstream.fault(metadata, Fault(status=403, body=b"AccessDenied"))
    answer = orchard.get(f"/maven/{path}")
    assert answer.status_code == 200, answer.text
    assert answer.content == build_jar("elsewhere", size_bytes=2000)


def test_absent__nowhere__404(orchard: Cluster, upstream: Upstream) -> None:
    path = "org/demo/nowhere/1.0/nowhere-1.0.jar"
    upstream.fault(f"/bucket/{path}", Fault(status=403, body=b"AccessDenied"))
    answer = orchard.get(f"/maven/{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "file_not_found")


def test_absent__checksum_file__does_not_fail_the_file(
    orchard: Cluster, upstream: Upstream, bucket: Repository
) -> None:
    path = bucket.add("org.demo", "bare", "1.0", checksums=())
    for algorithm in ("sha512", "sha256", "sha1", "md5"):
        upstream.fault(f"/bucket/{path}.{algorithm}", Fault(status=403, body=b"AccessDenied"))
    assert orchard.get(f"/maven/{path}").status_code == 200


def test_absent__a_page__404(orchard: Cluster, upstream: Upstream) -> None:
    upstream.add_project("hidden", {"hidden-1.0-py3-none-any.whl": build_wheel("hidden", "1.0")})
    upstream.fault("/simple/hidden/", Fault(status=403))
    assert orchard.get("/pypi/simple/hidden/").status_code == 404


def test_not_absent__another_refusal_of_the_same_source__is_still_one(
    orchard: Cluster, upstream: Upstream
) -> None:
    path = Repository(upstream, "/second").add("org.demo", "refused", "1.0")
    upstream.fault(f"/bucket/{path}", Fault(status=401))
    assert orchard.get(f"/maven/{path}").status_code == 403
    assert upstream.count(f"/second/{path}") == 0
