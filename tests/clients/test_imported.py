"""What was imported is installed by real clients while no upstream can be reached."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients import node
from tests.clients.conftest import Tools
from tests.support.builders import build_sdist, build_wheel
from tests.support.cargo_builders import build_crate, index_path
from tests.support.maven_builders import Dep, build_jar, build_pom
from tests.support.npm_builders import build_tarball
from tests.support.orchard import Cluster, cluster
from tests.support.stores import ROOT
from tests.support.upstream import Upstream

OWN = ("pypi/acme-*", "npm/@acme/*", "maven/com.acme", "cargo/acme-*")
PLUGIN_FOLDER = "org/apache/maven/plugins/maven-dependency-plugin/3.6.1"
JAR = "com/acme/lib/1.0/lib-1.0.jar"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder with what devpi, Verdaccio, a Maven repository and a folder of crates keep."""
    root = tmp_path_factory.mktemp("stores")
    for name, content in {
        "acme_app-1.0-py3-none-any.whl": build_wheel("acme-app", "1.0", requires=["acme-lib"]),
        "acme_lib-2.0-py3-none-any.whl": build_wheel("acme-lib", "2.0", size_bytes=300_000),
    }.items():
        digest = hashlib.sha256(content).hexdigest()
        _put(root / "devpi" / "+files" / "acme" / "prod" / "+f" / digest[:3] / digest[3:16] / name, content)
    _put(root / "sdists" / "acme_source-1.0.tar.gz", build_sdist("acme-source", "1.0"))
    _verdaccio(root / "verdaccio" / "@acme" / "app", "@acme/app", {"1.0.0": {"@acme/lib": "^2.0.0"}})
    _verdaccio(root / "verdaccio" / "@acme" / "lib", "@acme/lib", {"2.0.0": {}, "2.1.0": {}})
    for artifact, deps in (("app", [Dep("com.acme", "lib", "1.0")]), ("lib", [])):
        stem = root / "m2" / "com" / "acme" / artifact / "1.0" / f"{artifact}-1.0"
        for ending, content in (
            ("pom", build_pom("com.acme", artifact, "1.0", deps)),
            ("jar", build_jar(artifact, size_bytes=50_000)),
        ):
            _put(stem.with_name(f"{stem.name}.{ending}"), content)
            digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
            _put(stem.with_name(f"{stem.name}.{ending}.sha1"), digest.encode())
    _put(root / "crates" / "acme-core-0.3.0.crate", build_crate("acme-core", "0.3.0"))
    return root


@pytest.fixture(scope="module", params=["away", "offline"])
def orchard(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, store: Path
) -> Iterator[Cluster]:
    """Its upstream is gone before anything was asked; or nobody is asked at all."""
    with Upstream() as upstream:
        pass
    settings = {"ORCHARD_OFFLINE": "true"} if request.param == "offline" else {}
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, **settings) as running:
        done = import_files(running, store, *(f"--own={each}" for each in OWN), "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        yield running


def import_files(orchard: Cluster, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`orchard import-files` beside a running Orchard."""
    return subprocess.run(
        [sys.executable, "-m", "services.standalone.imports", str(folder), *words],
        cwd=ROOT,
        env=orchard.environment(),
        capture_output=True,
        text=True,
        timeout=110,
    )


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _verdaccio(folder: Path, name: str, versions: dict[str, dict[str, str]]) -> None:
    listed = {}
    for version, dependencies in versions.items():
        tarball = build_tarball(name, version, manifest={"dependencies": dependencies}, size_bytes=100_000)
        _put(folder / f"{name.rpartition('/')[2]}-{version}.tgz", tarball)
        shasum = hashlib.sha1(tarball, usedforsecurity=False).hexdigest()
        listed[version] = {"name": name, "version": version, "dist": {"shasum": shasum}}
    packument = {"name": name, "versions": listed, "dist-tags": {"latest": max(versions)}}
    _put(folder / "package.json", json.dumps(packument).encode())


@pytest.mark.parametrize("tool", ["pip-newest", "uv"])
def test_python__installs_what_was_imported(
    orchard: Cluster, tools: Tools, tmp_path: Path, tool: str
) -> None:
    index, target = orchard.url("/pypi/simple/"), tmp_path / "target"
    words = [*tools.command(tool), *(["pip"] if tool == "uv" else []), "install", "--target", str(target)]
    options = ["--index-url", index, "acme-app"]
    done = tools.run([*words, *options])
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in target.glob("*.dist-info")} == {
        "acme_app-1.0.dist-info",
        "acme_lib-2.0.dist-info",
    }


def test_sdist__is_listed_and_given(orchard: Cluster) -> None:
    path = orchard.file_path("acme-source", "acme_source-1.0.tar.gz")
    assert orchard.get(path).content == build_sdist("acme-source", "1.0")


def test_npm__installs_what_was_imported(orchard: Cluster, tools: Tools, tmp_path: Path) -> None:
    folder = node.project(tmp_path / "app", {"@acme/app": "*"})
    node.install(tools, "npm-11", orchard.url("/npm/"), folder)
    assert node.installed(folder) == {"@acme/app@1.0.0", "@acme/lib@2.1.0"}


def test_maven__gives_pom_jar_and_metadata(orchard: Cluster) -> None:
    """As mvn asks for them; its plugins come from where this Orchard cannot reach."""
    jar = orchard.get(f"/maven/{JAR}")
    assert jar.content == build_jar("lib", size_bytes=50_000)
    assert orchard.get(f"/maven/{JAR}.sha1").text == hashlib.sha1(jar.content).hexdigest()
    assert "<version>1.0</version>" in orchard.get("/maven/com/acme/lib/maven-metadata.xml").text


def test_mvn__copies_what_was_imported(orchard: Cluster, tmp_path: Path) -> None:
    """By the plugin in this machine's own repository, with all else from this Orchard."""
    machine = Path.home() / ".m2" / "repository"
    if shutil.which("mvn") is None or not [*machine.glob(f"{PLUGIN_FOLDER}/*.jar")]:
        pytest.skip("no mvn here, or not its plugin")
    local = tmp_path / "repository"
    shutil.copytree(machine, local)
    settings = tmp_path / "settings.xml"
    mirror = f"<mirror><id>o</id><mirrorOf>*</mirrorOf><url>{orchard.url('/maven/')}</url></mirror>"
    settings.write_text(f"<settings><mirrors>{mirror}</mirrors></settings>")
    plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:get"
    done = subprocess.run(
        [
            *("mvn", "-B", "-s", str(settings), f"-Dmaven.repo.local={local}", plugin),
            *("-Dartifact=com.acme:app:1.0", "-Dmaven.legacyLocalRepo=true"),
        ],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=110,
    )
    if "PluginResolutionException" in done.stdout:
        pytest.skip("this machine has the plugin without all that it needs")
    assert done.returncode == 0, done.stdout[-3000:]
    assert (local / JAR).read_bytes() == build_jar("lib", size_bytes=50_000)


def test_cargo__finds_crate_and_index(orchard: Cluster) -> None:
    line = orchard.get(f"/cargo/{index_path('acme-core')}").json()
    crate = build_crate("acme-core", "0.3.0")
    assert line["cksum"] == hashlib.sha256(crate).hexdigest()
    dl = orchard.get("/cargo/config.json").json()["dl"]
    given = httpx.get(_download(dl), timeout=30, trust_env=False, follow_redirects=True)
    assert given.content == crate


def _download(dl: str) -> str:
    known = dl.replace("{crate}", "acme-core").replace("{version}", "0.3.0")
    return known if known != dl else f"{dl}/acme-core/0.3.0/download"


def test_name_that_is_nobodys__is_no_404(orchard: Cluster) -> None:
    """It may be an upstream's, which is away, or not asked."""
    for path in ("/pypi/simple/flask/", "/maven/org/else/lib/1.0/lib-1.0.jar"):
        answer = orchard.get(path)
        assert answer.headers["x-orchard-error"] in ("offline", "upstream_unavailable"), path
        assert answer.status_code != 404, path


def test_again__nothing_is_new(orchard: Cluster, store: Path) -> None:
    done = import_files(orchard, store, "--yes", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["imported"], report["here_already"]) == (0, {}, 11)
