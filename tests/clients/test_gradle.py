"""Gradle through Orchard. Its own plugins come with it, so the upstream is a scripted one alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import forget_breakers
from tests.clients.jvm import GROUP, Gradle, asked, require
from tests.support.maven_builders import Dep, Repository, build_jar, build_pom
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.upstream import Fault, Upstream

require("gradle")


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture(scope="module")
def repository(upstream: Upstream) -> Repository:
    found = Repository(upstream)
    found.add(GROUP, "leaf", "2.0", size_bytes=300_000)
    found.add(GROUP, "lib", "1.0", [Dep(GROUP, "leaf", "2.0")])
    found.add(GROUP, "lib", "1.10", [Dep(GROUP, "leaf", "2.0")])
    found.add_metadata(GROUP, "lib", ["1.0", "1.10"])
    return found


@pytest.fixture(scope="module")
def orchard(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, repository: Repository
) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, ORCHARD_CACHE_TTL_INDEX="2") as running:
        yield running


@pytest.fixture
def gradle(tmp_path: Path, orchard: Cluster, upstream: Upstream) -> Iterator[Gradle]:
    yield Gradle(tmp_path, orchard)
    upstream.heal()
    forget_breakers(orchard)


def test_range_and_snapshot__cold_then_refreshed_then_upstream_gone(
    gradle: Gradle, repository: Repository, orchard: Cluster, upstream: Upstream
) -> None:
    wanted = ("lib:[1.0,2.0)", "moving:1.0-SNAPSHOT")
    releases = {
        "lib-1.10.jar": build_jar("lib", size_bytes=2000),
        "leaf-2.0.jar": build_jar("leaf", size_bytes=300_000),
    }
    repository.add_snapshot(GROUP, "moving", "1.0", 1, build_jar("first"))
    found = gradle.libs(*wanted)
    assert [found.pop(name) for name in list(found) if name.startswith("moving")] == [build_jar("first")]
    assert found == releases
    # A refresh asks for all again, by HEAD for files that it has.
    repository.add_snapshot(GROUP, "moving", "1.0", 2, build_jar("second"))
    path = f"/maven/{GROUP.replace('.', '/')}/moving/1.0-SNAPSHOT/maven-metadata.xml"
    wait_until(lambda: b"-2</value>" in orchard.get(path).content, what="the newer metadata")
    found = gradle.libs(*wanted, options=("--refresh-dependencies",))
    assert build_jar("second") in found.values()
    wait_until(lambda: asked(orchard, "leaf-2.0.jar", "HEAD") >= 1, what="a HEAD of a file")
    upstream.fault("*", Fault(status=503))
    gradle.forget()
    assert gradle.libs(*wanted) == found


def test_wrong_bytes_upstream__build_fails_and_the_next_succeeds(
    gradle: Gradle, repository: Repository, orchard: Cluster, upstream: Upstream
) -> None:
    path = repository.add(GROUP, "broken", "1.0", [Dep(GROUP, "leaf", "2.0")])
    upstream.fault(f"/maven/{path}", Fault(flip_at=500))
    assert gradle.build("broken:1.0").returncode != 0
    upstream.heal()
    forget_breakers(orchard)
    assert set(gradle.libs("broken:1.0")) == {"broken-1.0.jar", "leaf-2.0.jar"}


def test_packaging_pom_without_a_jar__warmed__offline_with_an_empty_home_it_builds(
    gradle: Gradle, repository: Repository, orchard: Cluster
) -> None:
    """Gradle looks for the jar of a packaging pom by HEAD: that it is absent must still be known."""
    stem = f"{GROUP.replace('.', '/')}/bundle/1.0/bundle-1.0.pom"
    repository.put(stem, build_pom(GROUP, "bundle", "1.0", [Dep(GROUP, "leaf", "2.0")], packaging="pom"))
    warmed = gradle.libs("bundle:1.0")
    assert set(warmed) == {"leaf-2.0.jar"}
    assert asked(orchard, "bundle-1.0.jar", "HEAD") >= 1
    with orchard.client(orchard.cache) as redis:
        redis.flushall()
    fetcher = orchard.fetcher
    fetcher.stop()
    orchard.services.remove(fetcher)
    orchard.start("fetcher", ORCHARD_OFFLINE="true")
    gradle.forget()
    assert gradle.libs("bundle:1.0") == warmed
