"""mvn builds from an empty local repository what an ensure file listed, plugin and libraries, with every
fetcher gone: nobody could ask upstream.

The plugin comes from this machine's own repository, the libraries are scripted (see test_maven.py).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import httpx
import pytest

from shared.default_upstreams import default_upstream
from tests.clients.jvm import GOAL
from tests.support.maven_builders import Dep, Repository, build_pom
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.upstream import Upstream

if shutil.which("mvn") is None:
    message = "mvn is not installed: the Maven client tests need it"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message, allow_module_level=True)

GROUP = "org.orchard.demo"
# Its goal needs the compile class path of the project.
PLUGIN = "org.apache.maven.plugins:maven-compiler-plugin:3.13.0"
PARENT = f"<parent><groupId>{GROUP}</groupId><artifactId>parent</artifactId><version>[1,2)</version></parent>"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        repository = Repository(server)
        folder = GROUP.replace(".", "/")
        for version in ("1", "1.9", "1.10", "2"):  # of the range the newest manages
            managed = Dep(GROUP, "leaf", "2.0" if version == "1.10" else "1.0").xml()
            managed = f"<dependencyManagement><dependencies>{managed}</dependencies></dependencyManagement>"
            pom = build_pom(GROUP, "parent", version, packaging="pom", extra=managed)
            repository.put(f"{folder}/parent/{version}/parent-{version}.pom", pom)
        repository.add_metadata(GROUP, "parent", ["1", "1.9", "1.10", "2"])
        repository.add(GROUP, "leaf", "1.0")
        repository.add(GROUP, "leaf", "2.0")
        repository.add(GROUP, "deep", "1.0", [Dep(GROUP, "leaf", "1.0")])  # loses against the nearer 2.0
        needed = [Dep(GROUP, "leaf"), Dep(GROUP, "deep", "1.0")]
        repository.add(GROUP, "lib", "1.1")
        repository.put(f"{folder}/lib/1.1/lib-1.1.pom", build_pom(GROUP, "lib", "1.1", needed, extra=PARENT))
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    default, _ = default_upstream("maven", os.environ, 0)
    settings = {"ORCHARD_MAVEN_UPSTREAM": f"{Repository(upstream).url},{default}"}
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, **settings) as running:
        yield running


def ensured(orchard: Cluster, text: str | bytes, **query: str) -> dict[str, Any]:
    """The complete lock of an ensure."""
    answer = httpx.post(
        orchard.url("/api/v1/ensure"), content=text, params=query, timeout=30, trust_env=False
    )
    if answer.status_code == 202:
        location = answer.json()["location"]
        wait_until(lambda: orchard.get(location).status_code != 202, seconds=90, what="the ensure")
        answer = orchard.get(location)
    assert answer.status_code == 200 and answer.json()["complete"] is True, answer.text[:2000]
    return dict(answer.json())


def test_a_pom__its_files_are_those_that_mvn_takes_for_the_project(orchard: Cluster, tmp_path: Path) -> None:
    extra = PARENT + "<modules><module>core</module></modules>"
    needed = [Dep(GROUP, "leaf"), Dep(GROUP, "deep", "1.0", scope="test")]
    pom = build_pom("demo", "app", "1", needed, extra=extra, packaging="pom")
    table = ensured(orchard, pom, name="pom.xml")["protocols"]["maven"]
    assert {each["filename"] for each in table["packages"]} == {"leaf-2.0.jar", "deep-1.0.jar"}
    assert {"parent-1.10.pom", "leaf-2.0.pom"} <= {each["filename"] for each in table["documents"]}
    assert [each["name"] for each in table["unresolved"]] == ["core"]

    (tmp_path / "pom.xml").write_bytes(pom.replace(b"<modules><module>core</module></modules>", b""))
    mirror = f"<mirror><id>o</id><mirrorOf>*</mirrorOf><url>{orchard.url('/maven/')}</url></mirror>"
    (tmp_path / "settings.xml").write_text(f"<settings><mirrors>{mirror}</mirrors></settings>")
    local = tmp_path / "repository"
    command = ["mvn", "-B", "-s", "settings.xml", f"-Dmaven.repo.local={local}", GOAL]
    env = {name: os.environ[name] for name in ("PATH", "JAVA_HOME") if name in os.environ}
    env |= {"HOME": str(tmp_path), "LANG": "C.UTF-8"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout[-3000:]
    taken = {path.name: path for path in (local / GROUP.replace(".", "/")).rglob("*.jar")}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in taken.items()} == {
        each["filename"]: each["sha256"] for each in table["packages"]
    }


def test_mvn__fetchers_gone_and_repository_empty__builds(orchard: Cluster, tmp_path: Path) -> None:
    text = f'[maven]\ndependencies = ["{GROUP}:lib:1.1"]\nplugins = ["{PLUGIN}"]\n'
    lock = ensured(orchard, text)
    table = lock["protocols"]["maven"]
    assert {each["filename"] for each in table["packages"]} == {"lib-1.1.jar", "leaf-2.0.jar", "deep-1.0.jar"}
    poms = {each["filename"] for each in table["documents"]}
    assert poms == {"lib-1.1.pom", "parent-1.10.pom", "leaf-2.0.pom", "leaf-1.0.pom", "deep-1.0.pom"}
    (plugin,) = table["plugins"]
    assert plugin["packages"][0]["filename"] == "maven-compiler-plugin-3.13.0.jar"
    for fetcher in orchard.all_of("fetcher"):
        fetcher.stop()

    fragment = orchard.get(f"/api/v1/ensures/{lock['key']}/exports/dependency-management.xml").text
    assert fromstring(fragment).tag == "dependencyManagement"
    pom = build_pom("demo", "app", "1", [Dep(GROUP, "lib")], extra=fragment.partition("?>")[2])
    (tmp_path / "pom.xml").write_bytes(pom)
    mirror = f"<mirror><id>o</id><mirrorOf>*</mirrorOf><url>{orchard.url('/maven/')}</url></mirror>"
    (tmp_path / "settings.xml").write_text(f"<settings><mirrors>{mirror}</mirrors></settings>")
    local = tmp_path / "repository"
    command = ["mvn", "-B", "-C", "-s", "settings.xml", f"-Dmaven.repo.local={local}", f"{PLUGIN}:compile"]
    env = {name: os.environ[name] for name in ("PATH", "JAVA_HOME") if name in os.environ}
    env |= {"HOME": str(tmp_path), "LANG": "C.UTF-8"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout[-3000:]
    assert (local / GROUP.replace(".", "/") / "leaf/2.0/leaf-2.0.jar").exists()
