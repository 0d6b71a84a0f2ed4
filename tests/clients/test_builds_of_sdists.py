"""What source archives are built with, in the lock: pip and uv build one in the lock's view with the upstream
away, and by the exported constraints without a view."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import Tools, installed
from tests.support.backend import backend_sdist, helped_sdist, helper_wheel
from tests.support.orchard import Cluster, cluster
from tests.support.upstream import Fault, Upstream
from tests.views.test_lock import ensured

SOURCE, BACKEND, HELPER = "orchard-source", "orchard-backend", "orchard-helper"
PIPS = ("pip-23.2", "pip-newest")
TOOLS = (*PIPS, "uv")


def publish_helper(server: Upstream, *versions: str) -> None:
    wheels = {f"orchard_helper-{each}-py3-none-any.whl": helper_wheel(HELPER, each) for each in versions}
    server.add_project(HELPER, wheels)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        source = helped_sdist(SOURCE, "1.0", BACKEND, requires=[f"{HELPER}<2"])
        server.add_project(SOURCE, {"orchard_source-1.0.tar.gz": source})
        server.add_project(BACKEND, {"orchard_backend-1.0.tar.gz": backend_sdist(BACKEND, "1.0", HELPER)})
        publish_helper(server, "1.0", "2.0")
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("orchard")
    with cluster(
        folder, upstream, ORCHARD_CACHE_TTL_INDEX="1", ORCHARD_ADMIN_TOKEN="operators-token-of-tests"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def lock(orchard: Cluster) -> dict[str, Any]:
    return ensured(orchard, f'[pypi]\nrequirements = ["{SOURCE}"]\n')


def install(tools: Tools, tool: str, index: str, target: Path, *words: str) -> Path:
    """The folder of the installed package, built from its source archive."""
    command = [*tools.command(tool), *(["pip"] if tool == "uv" else []), "install", "--target", str(target)]
    if tool == "uv":
        command += ["--no-config", "--no-cache", "--python", tools.command("pip-newest")[0]]
        command += ["--default-index", index]
    else:
        command += ["--no-cache-dir", "--index-url", index]
    done = tools.run([*command, "--no-binary", SOURCE, *words, SOURCE])
    assert done.returncode == 0, done.stdout + done.stderr
    assert installed(target) == {"orchard_source-1.0", "orchard_helper-1.0"}
    return target / "orchard_source"


def test_lock__names_the_environments_apart_from_what_is_installed(lock: dict[str, Any]) -> None:
    table = lock["protocols"]["pypi"]
    assert {each["purl"] for each in table["packages"]} == {
        "pkg:pypi/orchard-source@1.0",
        "pkg:pypi/orchard-helper@1.0",
    }
    in_tree, built = sorted(table["builds"], key=lambda build: build["requirements"])
    assert (in_tree["requirements"], in_tree["packages"]) == ([], [])
    assert in_tree["builds"] == ["pkg:pypi/orchard-backend@1.0"]
    assert (built["requirements"], built["builds"]) == (
        ["orchard-backend>=1"],
        ["pkg:pypi/orchard-source@1.0"],
    )
    found = {each["purl"]: each for each in built["packages"]}
    assert found.keys() == {"pkg:pypi/orchard-backend@1.0", "pkg:pypi/orchard-helper@2.0"}
    assert all(len(each["sha256"]) == 64 for each in found.values())
    assert lock["files"] == 4
    assert "unresolved" not in built and "unresolved" not in in_tree


@pytest.mark.parametrize("tool", TOOLS)
def test_view_of_the_lock__upstream_away__built_with_exactly_that(
    orchard: Cluster, upstream: Upstream, lock: dict[str, Any], tools: Tools, tool: str, tmp_path: Path
) -> None:
    asked = upstream.count()
    upstream.fault("*", Fault(reset=True, cut_at=0))
    try:
        index = orchard.url(f"/v/lock-{lock['key']}/pypi/simple/")
        package = install(tools, tool, index, tmp_path / "target")
    finally:
        upstream.heal()
    assert (package / "built_with.txt").read_text() == "2.0"
    assert upstream.count() == asked


@pytest.mark.parametrize("tool", ["pip-newest", "uv"])
def test_exported_constraints__newer_release_since_then__built_with_what_is_locked(
    orchard: Cluster, upstream: Upstream, lock: dict[str, Any], tools: Tools, tool: str, tmp_path: Path
) -> None:
    exported = orchard.get(f"/api/v1/ensures/{lock['key']}/exports/build-constraints.txt")
    assert exported.text.splitlines()[1:] == ["orchard-backend==1.0", "orchard-helper==2.0"]
    constraints = tmp_path / "build-constraints.txt"
    constraints.write_bytes(exported.content)
    publish_helper(upstream, "1.0", "2.0", "3.0")
    orchard.get(f"/pypi/simple/{HELPER}/", headers={"cache-control": "no-cache"})
    index = orchard.url("/pypi/simple/")
    free = install(tools, tool, index, tmp_path / "free")
    assert (free / "built_with.txt").read_text() == "3.0"
    option = "--build-constraints" if tool == "uv" else "--build-constraint"
    held = install(tools, tool, index, tmp_path / "held", option, str(constraints))
    assert (held / "built_with.txt").read_text() == "2.0"
