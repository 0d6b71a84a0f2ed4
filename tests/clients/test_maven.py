"""mvn through Orchard: plugins from this machine's own repository, the project's libraries scripted.

mvn cannot resolve anything without its plugins, so Orchard's upstreams here are the scripted one and
this machine's default one, in that order. One local repository is warmed with the plugins; each test
starts from it, without anything of the scripted libraries.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.defaults import default_upstream
from tests.support.maven_builders import Dep, Repository, build_pom
from tests.support.orchard import Cluster, cluster
from tests.support.stores import ROOT
from tests.support.upstream import Fault, Upstream

if shutil.which("mvn") is None:
    message = "mvn is not installed: the Maven client tests need it"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message, allow_module_level=True)

GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:resolve"
GROUP = "org.orchard.demo"


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
    settings = {"ORCHARD_MAVEN_UPSTREAM": upstreams, "ORCHARD_CACHE_TTL_NEGATIVE": "1"}
    with cluster(folder, upstream, **settings) as running:
        yield running


class Maven:
    """mvn with settings of its own: Orchard as the mirror of everything, an own local repository."""

    def __init__(self, folder: Path, orchard: Cluster) -> None:
        self.folder = folder
        self.local = folder / "repository"
        self.settings = folder / "settings.xml"
        documented = re.search(r"<mirrors>.*?</mirrors>", (ROOT / "README.md").read_text())
        assert documented, "the README no longer says how to set mvn up"
        mirrors = documented[0].replace("http://127.0.0.1:8080", orchard.url("").rstrip("/"))
        self.settings.write_text(f"<settings>{mirrors}</settings>")

    def resolve(self, version: str, *options: str, artifact: str = "lib") -> subprocess.CompletedProcess[str]:
        """`dependency:resolve` of a project with one dependency."""
        pom = build_pom("demo", "app", "1", [Dep(GROUP, artifact, version)], packaging="pom")
        (self.folder / "pom.xml").write_bytes(pom)
        command = ["mvn", "-B", "-s", str(self.settings), f"-Dmaven.repo.local={self.local}", *options, GOAL]
        env = {name: os.environ[name] for name in ("PATH", "JAVA_HOME") if name in os.environ}
        env |= {"HOME": str(self.folder), "LANG": "C.UTF-8"}
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=110)

    def has(self, artifact: str, version: str) -> bool:
        """Whether the jar is in the local repository."""
        folder = self.local.joinpath(*GROUP.split("."), artifact, version)
        return (folder / f"{artifact}-{version}.jar").exists()


@pytest.fixture(scope="module")
def warmed(tmp_path_factory: pytest.TempPathFactory, orchard: Cluster) -> Path:
    """A local repository with the plugins alone."""
    maven = Maven(tmp_path_factory.mktemp("warm"), orchard)
    done = maven.resolve("1.0")
    assert done.returncode == 0, done.stdout[-3000:]
    assert maven.has("leaf", "2.0")
    shutil.rmtree(maven.local.joinpath(*GROUP.split(".")))
    return maven.local


@pytest.fixture
def maven(tmp_path: Path, orchard: Cluster, warmed: Path, upstream: Upstream) -> Iterator[Maven]:
    found = Maven(tmp_path, orchard)
    shutil.copytree(warmed, found.local)
    yield found
    upstream.heal()
    _forget_breakers(orchard)


def test_resolve__strict_checksums_and_a_range__newest_in_mavens_order(
    maven: Maven, upstream: Upstream
) -> None:
    done = maven.resolve("[1.0,2.0)", "-C")
    assert done.returncode == 0, done.stdout[-3000:]
    assert maven.has("lib", "1.10") and maven.has("leaf", "2.0")
    assert "checksum" not in done.stdout.lower()


def test_resolve__upstream_gone__from_orchard(maven: Maven, upstream: Upstream) -> None:
    upstream.fault("*", Fault(status=503))
    done = maven.resolve("1.0", "-C", "-U")
    assert done.returncode == 0, done.stdout[-3000:]
    assert maven.has("lib", "1.0") and maven.has("leaf", "2.0")


def test_resolve__wrong_bytes_upstream__build_fails_and_the_next_succeeds(
    maven: Maven, repository: Repository, upstream: Upstream, orchard: Cluster
) -> None:
    path = repository.add(GROUP, "broken", "1.0")
    upstream.fault(f"/maven/{path}", Fault(flip_at=500))
    assert maven.resolve("1.0", artifact="broken").returncode != 0
    assert not maven.has("broken", "1.0")
    upstream.heal()
    _forget_breakers(orchard)
    done = maven.resolve("1.0", "-U", "-C", artifact="broken")
    assert done.returncode == 0, done.stdout[-3000:]


def test_resolve__pom_503_upstream__build_fails_instead_of_losing_dependencies(
    maven: Maven, repository: Repository, upstream: Upstream, orchard: Cluster
) -> None:
    path = repository.add(GROUP, "shaky", "1.0", [Dep(GROUP, "leaf", "2.0")])
    upstream.fault(f"/maven/{path.replace('.jar', '.pom')}", Fault(status=503))
    assert maven.resolve("1.0", artifact="shaky").returncode != 0
    upstream.heal()
    _forget_breakers(orchard)
    done = maven.resolve("1.0", "-U", artifact="shaky")
    assert done.returncode == 0, done.stdout[-3000:]
    assert maven.has("leaf", "2.0")


def test_resolve__pom_truly_absent__a_warning_as_from_the_registry(
    maven: Maven, repository: Repository, upstream: Upstream
) -> None:
    path = repository.add(GROUP, "bare", "1.0")
    upstream.remove(f"/maven/{path.replace('.jar', '.pom')}")
    done = maven.resolve("1.0", artifact="bare")
    assert done.returncode == 0 and maven.has("bare", "1.0"), done.stdout[-3000:]
    assert "no dependency information available" in done.stdout


def test_resolve__missing_jar__fails_naming_it(maven: Maven) -> None:
    done = maven.resolve("9.9")
    assert done.returncode != 0 and "lib:jar:9.9" in done.stdout


def _forget_breakers(orchard: Cluster) -> None:
    with orchard.client(orchard.cache) as client:
        for key in client.scan_iter(match="orchard:upstream_sources:maven:breaker:*"):
            client.delete(key)
