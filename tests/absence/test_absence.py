"""Absence is a fact: a true 404 stays one in an outage and offline; a doubtful one wipes nothing."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support import npm_builders
from tests.support.builders import wheel_file
from tests.support.maven_builders import Repository
from tests.support.orchard import Cluster, cluster
from tests.support.upstream import Fault, Upstream

WHEEL = wheel_file("some", "1.0")
LISTED = wheel_file("some", "2.0")
ABSENT = {
    "pypi page": "/pypi/simple/never-was/",
    "pypi file of no project": f"/pypi/files/never-was/{'1' * 64}/never_was-1.0.tar.gz",
    "pypi file, not listed": f"/pypi/files/some/{'0' * 64}/some-9.0-py3-none-any.whl",
    "pypi file, listed": f"/pypi/files/some/{LISTED.sha256}/{LISTED.filename}",
    "npm packument": "/npm/never-was",
    "npm version": "/npm/some/9.9.9",
    "npm tarball": "/npm/some/-/some-9.9.9.tgz",
    "npm attestations": "/npm/-/npm/v1/attestations/some@1.0.0",
    "maven metadata": "/maven/org/demo/never/maven-metadata.xml",
    "maven jar beside its pom": "/maven/org/demo/parent/1.0/parent-1.0.jar",
    "maven sidecar": "/maven/org/demo/parent/1.0/parent-1.0.jar.sha1",
    "maven signature": "/maven/org/demo/parent/1.0/parent-1.0.pom.asc",
    "maven build of a snapshot": "/maven/org/demo/snap/1.0-SNAPSHOT/snap-1.0-20240101.120007-7.jar",
    "maven snapshot": "/maven/org/demo/snap/1.0-SNAPSHOT/snap-1.0-SNAPSHOT-sources.jar",
}
DURING_MAINTENANCE = (
    "/pypi/simple/some-other/",
    "/npm/some-other",
    "/maven/org/demo/some/2.0/some-2.0.jar",
)
WAYS = [(name, "GET") for name in ABSENT] + [(name, "HEAD") for name in ABSENT if "maven" in name]


def ask(orchard: Cluster, path: str, method: str = "GET") -> httpx.Response:
    return httpx.request(method, orchard.url(path), timeout=30, trust_env=False)


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    settings = {
        "ORCHARD_CACHE_TTL_NEGATIVE": "1",
        "ORCHARD_CACHE_TTL_INDEX": "1",
        "ORCHARD_ADMIN_TOKEN": "operators-token-of-tests",
        "ORCHARD_ABSENCE_DOUBT": "3600",
    }
    upstream.add_project("some", {WHEEL.filename: WHEEL.content, LISTED.filename: LISTED.content})
    upstream.remove(f"/files/some/{LISTED.filename}")
    npm_builders.publish(upstream, "some", {"1.0.0": {}})
    maven = Repository(upstream)
    upstream.remove("/maven/" + maven.add("org.demo", "parent", "1.0"))
    maven.add_snapshot("org.demo", "snap", "1.0", 1, b"PK\x03\x04" + b"x" * 100)
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, **settings) as running:
        for path in ("/pypi/simple/some/", "/npm/some", "/maven/org/demo/parent/1.0/parent-1.0.pom"):
            assert running.get(path).status_code == 200
        yield running


@pytest.mark.parametrize(("name", "method"), WAYS)
def test_absent__online__404(orchard: Cluster, name: str, method: str) -> None:
    answer = ask(orchard, ABSENT[name], method)
    assert (answer.status_code, answer.headers["x-cache"] != "STALE") == (404, True), answer.text


def test_never_had__while_all_is_404__is_not_kept(orchard: Cluster, upstream: Upstream) -> None:
    """A registry under maintenance makes no name absent for the outage that may follow."""
    fetcher = orchard.fetcher  # a new one does not know that the source had something a moment ago
    fetcher.stop()
    orchard.services.remove(fetcher)
    orchard.start("fetcher")
    upstream.fault("*", Fault(status=404))
    try:
        for path in DURING_MAINTENANCE:
            assert ask(orchard, path).status_code == 404
    finally:
        upstream.heal()


@pytest.fixture(scope="module")
def outage(orchard: Cluster, upstream: Upstream) -> Cluster:
    """The upstream is away, and the cache has forgotten all."""
    upstream.stop()
    with orchard.client(orchard.cache) as redis:
        redis.flushall()
    return orchard


@pytest.mark.parametrize(("name", "method"), WAYS)
def test_absent__outage__still_404_and_marked(outage: Cluster, name: str, method: str) -> None:
    answer = ask(outage, ABSENT[name], method)
    assert (answer.status_code, answer.headers["x-cache"]) == (404, "STALE"), answer.text


@pytest.mark.parametrize("path", DURING_MAINTENANCE)
def test_asked_while_all_was_404__outage__is_no_404(outage: Cluster, path: str) -> None:
    assert ask(outage, path).status_code == 503


@pytest.mark.parametrize(
    "path",
    [
        "/pypi/simple/not-asked-yet/",
        f"/pypi/files/some/{'2' * 64}/some-8.0-py3-none-any.whl",
        "/npm/not-asked-yet",
        "/npm/some/-/some-8.0.0.tgz",
        "/maven/org/demo/parent/1.0/parent-1.0-sources.jar",
        "/maven/org/demo/snap/1.0-SNAPSHOT/snap-1.0-20240101.120008-8.jar",
    ],
)
def test_never_asked__outage__is_no_404(outage: Cluster, path: str) -> None:
    answer = ask(outage, path)
    assert answer.status_code == 503, answer.text


@pytest.fixture(scope="module")
def offline(outage: Cluster) -> Cluster:
    """A fetcher that asks nobody, and once more a cache that has forgotten all."""
    fetcher = outage.fetcher
    fetcher.stop()
    outage.services.remove(fetcher)
    with outage.client(outage.cache) as redis:
        redis.flushall()
    outage.start("fetcher", ORCHARD_OFFLINE="true")
    return outage


@pytest.mark.parametrize(("name", "method"), WAYS)
def test_absent__offline__still_404_and_marked(offline: Cluster, name: str, method: str) -> None:
    answer = ask(offline, ABSENT[name], method)
    assert (answer.status_code, answer.headers["x-cache"]) == (404, "STALE"), answer.text


@pytest.mark.parametrize("path", ["/pypi/simple/not-asked-yet/", "/maven/org/demo/other/1.0/other-1.0.jar"])
def test_never_asked__offline__is_no_404(offline: Cluster, path: str) -> None:
    assert ask(offline, path).status_code not in (200, 404)
