"""mvn through Orchard: plugins from this machine's own repository, the project's libraries scripted.

mvn cannot resolve anything without its plugins, so Orchard's upstreams here are the scripted one and
this machine's default one, in that order. Local repositories are warmed with the plugins; each test
starts from one, without anything of the scripted libraries.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.default_upstreams import default_upstream
from tests.clients.conftest import forget_breakers
from tests.clients.jvm import GOAL, GROUP, MAVENS, Maven, asked, require
from tests.support.maven_builders import Dep, Repository, build_jar, build_pom
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.upstream import Fault, Upstream

require("mvn")


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
    default, _ = default_upstream("maven", os.environ, 0)
    upstreams = f"{repository.url},{default}"
    folder = tmp_path_factory.mktemp("orchard")
    settings = {
        "ORCHARD_MAVEN_UPSTREAM": upstreams,
        "ORCHARD_CACHE_TTL_NEGATIVE": "1",
        "ORCHARD_CACHE_TTL_INDEX": "2",
    }
    with cluster(folder, upstream, **settings) as running:
        yield running


class Warmed:
    """A local repository for each Maven with its plugins alone, made when it is first asked for."""

    def __init__(self, folder: Path, orchard: Cluster) -> None:
        self._folder = folder
        self._orchard = orchard
        self._made: dict[str, Path] = {}

    def of(self, tool: str) -> Path:
        if tool not in self._made:
            folder = self._folder / tool
            folder.mkdir()
            maven = Maven(folder, self._orchard)
            for other in self._made.values():  # most of their plugins are the same
                shutil.copytree(other, maven.local, dirs_exist_ok=True)
            done = maven.resolve("1.0", tool=tool)
            assert done.returncode == 0, done.stdout[-3000:]
            assert maven.has("leaf", "2.0")
            shutil.rmtree(maven.local.joinpath(*GROUP.split(".")))
            self._made[tool] = maven.local
        return self._made[tool]


@pytest.fixture(scope="module")
def warmed(tmp_path_factory: pytest.TempPathFactory, orchard: Cluster) -> Warmed:
    return Warmed(tmp_path_factory.mktemp("warm"), orchard)


@pytest.fixture
def tool() -> str:
    """The Maven that a test runs, unless it says otherwise."""
    return "mvn"


@pytest.fixture
def maven(tmp_path: Path, orchard: Cluster, warmed: Warmed, upstream: Upstream, tool: str) -> Iterator[Maven]:
    found = Maven(tmp_path, orchard)
    shutil.copytree(warmed.of(tool), found.local)
    yield found
    upstream.heal()
    forget_breakers(orchard)


@pytest.mark.parametrize("tool", MAVENS)
def test_resolve__strict_checksums_and_a_range__newest_in_mavens_order(
    maven: Maven, upstream: Upstream, tool: str
) -> None:
    done = maven.resolve("[1.0,2.0)", "-C", tool=tool)
    assert done.returncode == 0, done.stdout[-3000:]
    assert maven.has("lib", "1.10") and maven.has("leaf", "2.0")
    warnings = [line for line in done.stdout.splitlines() if "WARN" in line]
    assert not any("checksum" in line.lower() for line in warnings)


@pytest.mark.parametrize("tool", MAVENS)
def test_resolve__upstream_gone__from_orchard(
    maven: Maven, upstream: Upstream, orchard: Cluster, tool: str
) -> None:
    upstream.fault("*", Fault(status=503))
    before = asked(orchard, "leaf-2.0.jar.sha1")
    done = maven.resolve("1.0", "-C", "-U", tool=tool)
    assert done.returncode == 0, done.stdout[-3000:]
    assert maven.has("lib", "1.0") and maven.has("leaf", "2.0")
    # From 3.9 on X-Checksum-* headers take the place of checksum files.
    wait_until(lambda: asked(orchard, "leaf-2.0.jar.sha1") == before + (tool == "mvn"), what="the requests")


@pytest.mark.parametrize("tool", [MAVENS[0], MAVENS[-1]])
def test_snapshot__published_anew__update_brings_it(
    maven: Maven, repository: Repository, orchard: Cluster, tool: str
) -> None:
    artifact = f"moving-{tool.replace('.', '-')}"
    repository.add_snapshot(GROUP, artifact, "1.0", 1, build_jar("first"))
    done = maven.resolve("1.0-SNAPSHOT", "-C", artifact=artifact, tool=tool)
    assert done.returncode == 0, done.stdout[-3000:]
    repository.add_snapshot(GROUP, artifact, "1.0", 2, build_jar("second"))
    jar = maven.local.joinpath(*GROUP.split("."), artifact, "1.0-SNAPSHOT", f"{artifact}-1.0-SNAPSHOT.jar")
    assert jar.read_bytes() == build_jar("first")
    path = f"/maven/{GROUP.replace('.', '/')}/{artifact}/1.0-SNAPSHOT/maven-metadata.xml"
    wait_until(lambda: b"-2</value>" in orchard.get(path).content, what="the newer metadata")
    done = maven.resolve("1.0-SNAPSHOT", "-C", "-U", artifact=artifact, tool=tool)
    assert done.returncode == 0, done.stdout[-3000:]
    assert jar.read_bytes() == build_jar("second")


def test_resolve__wrong_bytes_upstream__build_fails_and_the_next_succeeds(
    maven: Maven, repository: Repository, upstream: Upstream, orchard: Cluster
) -> None:
    path = repository.add(GROUP, "broken", "1.0")
    upstream.fault(f"/maven/{path}", Fault(flip_at=500))
    assert maven.resolve("1.0", artifact="broken").returncode != 0
    assert not maven.has("broken", "1.0")
    upstream.heal()
    forget_breakers(orchard)
    done = maven.resolve("1.0", "-U", "-C", artifact="broken")
    assert done.returncode == 0, done.stdout[-3000:]


def test_resolve__pom_503_upstream__build_fails_instead_of_losing_dependencies(
    maven: Maven, repository: Repository, upstream: Upstream, orchard: Cluster
) -> None:
    path = repository.add(GROUP, "shaky", "1.0", [Dep(GROUP, "leaf", "2.0")])
    upstream.fault(f"/maven/{path.replace('.jar', '.pom')}", Fault(status=503))
    assert maven.resolve("1.0", artifact="shaky").returncode != 0
    upstream.heal()
    forget_breakers(orchard)
    done = maven.resolve("1.0", "-U", artifact="shaky")
    assert done.returncode == 0, done.stdout[-3000:]
    assert maven.has("leaf", "2.0")


@pytest.mark.parametrize("tool", MAVENS)
def test_resolve__pom_truly_absent__a_warning_as_from_the_registry(
    maven: Maven, repository: Repository, upstream: Upstream, tool: str
) -> None:
    path = repository.add(GROUP, "bare", "1.0")
    upstream.remove(f"/maven/{path.replace('.jar', '.pom')}")
    done = maven.resolve("1.0", artifact="bare", tool=tool)
    assert done.returncode == 0 and maven.has("bare", "1.0"), done.stdout[-3000:]
    assert "no dependency information available" in done.stdout


def test_resolve__missing_jar__fails_naming_it(maven: Maven) -> None:
    done = maven.resolve("9.9")
    assert done.returncode != 0 and "lib:jar:9.9" in done.stdout


def test_resolve__programs_and_reports_beside_the_jar__as_from_the_registry(
    maven: Maven, repository: Repository
) -> None:
    wanted = {
        ("exe", "linux-x86_64"): b"\x7fELF\x02\x01\x01" + bytes(600_000),
        ("html", "report"): b"<!DOCTYPE html><html>covered</html>",
        ("txt", "page"): b"<html>a page that is named otherwise</html>",
    }
    stem = f"{GROUP.replace('.', '/')}/tool/1.0/tool-1.0"
    repository.put(f"{stem}.pom", build_pom(GROUP, "tool", "1.0", packaging="pom"))
    deps = []
    for (ending, classifier), body in wanted.items():
        repository.put(f"{stem}-{classifier}.{ending}", body)
        extra = f"<type>{ending}</type><classifier>{classifier}</classifier>"
        deps.append(Dep(GROUP, "tool", "1.0", extra=extra))
    (maven.folder / "pom.xml").write_bytes(build_pom("demo", "app", "1", deps, packaging="pom"))
    done = maven.run("mvn", "-C", GOAL)
    assert done.returncode == 0, done.stdout[-3000:]
    folder = maven.local.joinpath(*GROUP.split("."), "tool", "1.0")
    for (ending, classifier), body in wanted.items():
        assert (folder / f"tool-1.0-{classifier}.{ending}").read_bytes() == body
