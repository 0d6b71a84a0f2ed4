"""Clients that are sent to the object store for large files (ORCHARD_ARTIFACT_DELIVERY=redirect)."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.default_upstreams import default_upstream
from tests.clients import node
from tests.clients.conftest import EXPECTED, Tools, installed
from tests.clients.jvm import GROUP, MAVENS, Maven
from tests.support.maven_builders import Dep, Repository
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.seaweedfs import SeaweedFS, new_prefix
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def orchard(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, seaweedfs: SeaweedFS
) -> Iterator[Cluster]:
    node.publish_tree(upstream)
    repository = Repository(upstream)
    repository.add(GROUP, "leaf", "2.0", size_bytes=300_000)
    repository.add(GROUP, "lib", "1.0", [Dep(GROUP, "leaf", "2.0")])
    repository.add_metadata(GROUP, "lib", ["1.0"])
    plugins, _ = default_upstream("maven", os.environ, 0)
    settings: dict[str, Any] = {
        **seaweedfs.settings(new_prefix()),
        "ORCHARD_ARTIFACT_DELIVERY": "redirect",
        "ORCHARD_MAVEN_UPSTREAM": f"{repository.url},{plugins}",
    }
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, **settings) as running:
        yield running


def redirects(orchard: Cluster) -> int:
    """How many clients were sent to the store so far."""
    lines = orchard.gateway.log.read_text().splitlines()
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    return sum(entry.get("status") == 307 for entry in entries)


@pytest.mark.parametrize("tool", ["pip-23.2", "pip-newest", "uv"])
def test_install__sent_to_the_store__installed_and_verified(
    orchard: Cluster, tools: Tools, tool: str
) -> None:
    index = orchard.url("/pypi/simple/")
    orchard.get(orchard.file_path("orchard-leaf", "orchard_leaf-2.0-py3-none-any.whl"))  # sealed from now on
    before = redirects(orchard)
    target = tools.folder / tool
    if tool == "uv":
        command = [*Tools.command(tool), "pip", "install", "--target", str(target), "--index-url", index]
    else:
        command = [*Tools.command(tool), "install", "--target", str(target), "--index-url", index]
    done = tools.run([*command, "orchard-app[more]"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert installed(target) == EXPECTED
    assert redirects(orchard) > before


@pytest.mark.parametrize("tool", node.INSTALLERS)
def test_npm_install__sent_to_the_store__installed_and_verified(
    orchard: Cluster, tools: Tools, tool: str, tmp_path: Path
) -> None:
    node.command(tool)
    for name in ("first", "second"):  # after the first all tarballs are sealed
        tools.forget()
        before = redirects(orchard)
        folder = node.project(tmp_path / name)
        # As root, yarn 1 keeps its cache outside of the home folder.
        options = ["--cache-folder", str(folder / "cache")] if tool == "yarn-1" else []
        node.install(tools, tool, orchard.url("/npm/"), folder, *options)
        assert node.installed(folder) == node.EXPECTED
    wait_until(lambda: redirects(orchard) > before, what="the access log")


@pytest.mark.timeout(300)  # mvn brings its plugins first
@pytest.mark.parametrize("tool", [MAVENS[0], MAVENS[-1]])  # two ways of transport
def test_mvn__sent_to_the_store__jar_with_right_checksum(orchard: Cluster, tmp_path: Path, tool: str) -> None:
    if shutil.which("mvn") is None:
        pytest.fail("mvn is not installed (Debian's package maven)")
    maven = Maven(tmp_path, orchard)
    done = maven.resolve("1.0", tool=tool)  # seals what it asks for
    assert done.returncode == 0, done.stdout[-3000:]
    shutil.rmtree(maven.local.joinpath(*GROUP.split(".")))
    before = redirects(orchard)
    done = maven.resolve("1.0", "-C", tool=tool)  # strict checksums
    assert done.returncode == 0, done.stdout[-3000:]
    assert maven.has("lib", "1.0") and maven.has("leaf", "2.0")
    wait_until(lambda: redirects(orchard) > before, what="the access log")
