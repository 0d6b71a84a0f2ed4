"""What an ensure file exports, taken by real clients with empty caches while the upstream is away and Redis
was emptied; npm's own lock as the oracle of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients import node
from tests.clients.conftest import EXPECTED, Tools, installed, publish_tree
from tests.support.npm_builders import publish
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.upstream import Fault, Upstream

FILE = """
[pypi]
requirements = ["orchard-app[more]"]

[npm]
dependencies = {orchard-app = "^1.0.0", orchard-tool = "*"}
"""
TOOL = {
    "1.0.0": {
        "bin": "./index.js",
        "license": {"type": "MIT"},
        "funding": "https://example.com/give",
        "engines": {"node": ">=4"},
        "peerDependencies": {"orchard-leaf": "^2.0.0", "orchard-absent": "1"},
        "peerDependenciesMeta": {"orchard-absent": {"optional": True}},
        "optionalDependencies": {"orchard-alien": "1.0.0"},
        "deprecated": "use another",
    }
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        publish_tree(server)
        node.publish_tree(server)
        publish(server, "orchard-tool", TOOL, size_bytes=1000)
        publish(server, "orchard-alien", {"1.0.0": {"os": ["win32"], "cpu": ["x64"]}})
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, ORCHARD_CACHE_TTL_INDEX="1") as running:
        yield running


@pytest.fixture(scope="module")
def exports(
    tmp_path_factory: pytest.TempPathFactory, orchard: Cluster, upstream: Upstream
) -> dict[str, bytes]:
    """All exports; afterwards the upstream is away and the cache empty."""
    answer = httpx.post(orchard.url("/api/v1/ensure"), content=FILE, timeout=30, trust_env=False)
    if answer.status_code == 202:
        location = answer.json()["location"]
        wait_until(lambda: orchard.get(location).status_code != 202, seconds=60, what="the ensure")
        answer = orchard.get(location)
    lock: dict[str, Any] = answer.json()
    assert lock["complete"] is True, lock["missing"]
    names = ("requirements.txt", "pylock.toml", "package.json", "package-lock.json")
    found = {name: orchard.get(f"/api/v1/ensures/{lock['key']}/exports/{name}").content for name in names}
    upstream.fault("*", Fault(reset=True, cut_at=0))
    with orchard.client(orchard.cache) as redis:
        redis.flushall()
    return found


@pytest.mark.parametrize("tool", ["pip-23.2", "pip-newest"])
def test_pip__require_hashes__upstream_away(
    orchard: Cluster, tools: Tools, exports: dict[str, bytes], tool: str, tmp_path: Path
) -> None:
    pins = tmp_path / "requirements.txt"
    pins.write_bytes(exports["requirements.txt"])
    target = tmp_path / "target"
    command = [*tools.command(tool), "install", "--require-hashes", "-r", str(pins), "--target", str(target)]
    done = tools.run([*command, "--index-url", orchard.url("/pypi/simple/")])
    assert done.returncode == 0, done.stdout + done.stderr
    assert installed(target) == EXPECTED


def test_uv__pylock__upstream_away(
    orchard: Cluster, tools: Tools, exports: dict[str, bytes], tmp_path: Path
) -> None:
    lock, target = tmp_path / "pylock.toml", tmp_path / "target"
    lock.write_bytes(exports["pylock.toml"])
    python = tools.command("pip-newest")[0]
    command = [*tools.command("uv"), "pip", "install", "--no-config", "--python", python]
    command += ["--default-index", orchard.url("/pypi/simple/"), "--target", str(target), "-r", str(lock)]
    done = tools.run(command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert installed(target) == EXPECTED


def test_pnpm_import__its_own_lock_of_the_exported_one(
    orchard: Cluster, tools: Tools, exports: dict[str, bytes], tmp_path: Path
) -> None:
    for name in ("package.json", "package-lock.json"):
        (tmp_path / name).write_bytes(exports[name])
    env = node.environment(tools, orchard.url("/npm/"))
    done = tools.run([*node.command("pnpm-10"), "import"], cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    lock = (tmp_path / "pnpm-lock.yaml").read_text()
    assert all(f"{each}:" in lock or f"'{each}':" in lock for each in node.EXPECTED)


def test_uv__require_hashes__upstream_away(
    orchard: Cluster, tools: Tools, exports: dict[str, bytes], tmp_path: Path
) -> None:
    pins = tmp_path / "requirements.txt"
    pins.write_bytes(exports["requirements.txt"])
    target = tmp_path / "target"
    python = tools.command("pip-newest")[0]
    command = [*tools.command("uv"), "pip", "install", "--no-config", "--python", python, "--require-hashes"]
    command += ["--default-index", orchard.url("/pypi/simple/"), "--target", str(target), "-r", str(pins)]
    done = tools.run(command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert installed(target) == EXPECTED


@pytest.mark.parametrize("tool", node.NPMS)
def test_npm_ci__upstream_away__whole_tree_and_nothing_to_complain_of(
    orchard: Cluster, tools: Tools, exports: dict[str, bytes], tool: str, tmp_path: Path
) -> None:
    words = node.command(tool)
    for name in ("package.json", "package-lock.json"):
        (tmp_path / name).write_bytes(exports[name])
    environment = node.environment(tools, orchard.url("/npm/"))
    done = tools.run([*words, "ci"], cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert node.installed(tmp_path) == node.EXPECTED | {"orchard-tool@1.0.0"}
    assert (tmp_path / "node_modules/.bin/orchard-tool").exists()
    listed = tools.run([*words, "ls", "--all"], cwd=tmp_path, env=environment)
    assert listed.returncode == 0, listed.stdout + listed.stderr


@pytest.mark.parametrize("tool", node.NPMS)
def test_package_lock__what_npm_itself_writes(
    orchard: Cluster, tools: Tools, exports: dict[str, bytes], tool: str, tmp_path: Path
) -> None:
    words = node.command(tool)
    (tmp_path / "package.json").write_bytes(exports["package.json"])
    environment = node.environment(tools, orchard.url("/npm/"))
    done = tools.run([*words, "install", "--package-lock-only"], cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads((tmp_path / "package-lock.json").read_text())
    ours = json.loads(exports["package-lock.json"])
    assert ours["packages"].keys() == written["packages"].keys()
    for place, entry in written["packages"].items():
        assert ours["packages"][place] == entry, place
    assert ours == written
