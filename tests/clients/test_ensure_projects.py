"""Ensure files that say more than requirements: npm's own lock of the exported package.json as the oracle of
ours, and `npm ci` on both while the upstream is away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients import node
from tests.clients.conftest import Tools
from tests.support.npm_builders import publish
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.upstream import Fault, Upstream

FILE = """
[npm]
dependencies = {orchard-app = "^1.0.0", orchard-leaf = "^2.0.0", orchard-tool = "*"}

[npm.overrides]
orchard-leaf = "$orchard-leaf"
"orchard-deep@^1" = "2.0.0"
orchard-tool = {orchard-deep = "3.0.0"}
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        node.publish_tree(server)
        publish(server, "orchard-deep", {"1.0.0": {}, "2.0.0": {}, "3.0.0": {}})
        publish(server, "orchard-mid", {"1.0.0": {"dependencies": {"orchard-deep": "^1"}}})
        needs = {"orchard-deep": "^1", "orchard-leaf": "1"}
        publish(server, "orchard-tool", {"1.0.0": {"dependencies": needs}})
        app = node.TREE["orchard-app"]["1.0.0"]["dependencies"]
        more = {"1.1.0": {"dependencies": {**app, "orchard-mid": "1", "orchard-deep": "^1"}}}
        publish(server, "orchard-app", node.TREE["orchard-app"] | more)
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, ORCHARD_CACHE_TTL_INDEX="1") as running:
        yield running


@pytest.fixture(scope="module")
def exports(orchard: Cluster, upstream: Upstream) -> dict[str, bytes]:
    """Both; afterwards the upstream is away."""
    answer = httpx.post(orchard.url("/api/v1/ensure"), content=FILE, timeout=30, trust_env=False)
    if answer.status_code == 202:
        location = answer.json()["location"]
        wait_until(lambda: orchard.get(location).status_code != 202, seconds=60, what="the ensure")
        answer = orchard.get(location)
    lock = answer.json()
    assert lock["complete"] is True, lock
    names = ("package.json", "package-lock.json")
    found = {name: orchard.get(f"/api/v1/ensures/{lock['key']}/exports/{name}").content for name in names}
    upstream.fault("*", Fault(reset=True, cut_at=0))
    return found


@pytest.mark.parametrize("tool", ["npm-11", "npm-12"])  # npm 10 refuses its own lock of a rule inside another
def test_overrides__npm_ci__upstream_away__the_tree_that_they_ask_for(
    orchard: Cluster, tools: Tools, exports: dict[str, bytes], tool: str, tmp_path: Path
) -> None:
    for name, body in exports.items():
        (tmp_path / name).write_bytes(body)
    environment = node.environment(tools, orchard.url("/npm/"))
    done = tools.run([*node.command(tool), "ci"], cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    places = json.loads(exports["package-lock.json"])["packages"]
    deep = [entry["version"] for place, entry in places.items() if place.endswith("/orchard-deep")]
    assert set(deep) == {"2.0.0", "3.0.0"}
    for place, entry in places.items():
        assert json.loads((tmp_path / place / "package.json").read_text())["version"] == entry["version"]
    listed = tools.run([*node.command(tool), "ls", "--all"], cwd=tmp_path, env=environment)
    assert listed.returncode == 0, listed.stdout + listed.stderr


@pytest.mark.parametrize("tool", node.NPMS)
def test_overrides__package_lock__what_npm_itself_writes(
    orchard: Cluster, tools: Tools, exports: dict[str, bytes], tool: str, tmp_path: Path
) -> None:
    (tmp_path / "package.json").write_bytes(exports["package.json"])
    environment = node.environment(tools, orchard.url("/npm/"))
    command = [*node.command(tool), "install", "--package-lock-only"]
    done = tools.run(command, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads((tmp_path / "package-lock.json").read_text())
    assert json.loads(exports["package-lock.json"]) == written
