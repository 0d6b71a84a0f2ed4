"""npm's dependency graphs through every service: cold and kept, of a tarball, conflicts, bombs."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.npm_builders import packument_path, publish
from tests.support.orchard import Cluster, problem, wait_until
from tests.support.upstream import Fault, Upstream

Names = Callable[[], str]


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {"ORCHARD_REQUEST_TIMEOUT": "5"}


def post(orchard: Cluster, *requirements: str, **options: Any) -> httpx.Response:
    """The answer once it is there."""
    answer = httpx.post(
        orchard.url("/api/v1/resolve"),
        json={"protocol": "npm", "requirements": list(requirements), **options},
        timeout=30,
        trust_env=False,
    )
    deadline = time.monotonic() + 60
    while answer.status_code == 202 and time.monotonic() < deadline:
        time.sleep(0.1)
        answer = orchard.get(answer.headers["location"])
    return answer


def test_requirements__cold__a_tree_from_packuments_alone_then_kept(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top, left, shared, extra = (project() for _ in range(4))
    scoped = f"@orchard/{project()}"
    publish(upstream, top, {"1.0.0": {"dependencies": {left: "^1", scoped: "*", "old": f"npm:{shared}@^1"}}})
    publish(upstream, left, {"1.0.0": {"dependencies": {shared: "^2"}, "peerDependencies": {scoped: "^1"}}})
    publish(upstream, scoped, {"1.0.0": {"optionalDependencies": {extra: "1.0.0"}}, "2.0.0": {}})
    publish(upstream, shared, {"1.0.0": {}, "2.0.0": {}})
    publish(upstream, extra, {"1.0.0": {"os": ["darwin"]}})

    answer = post(orchard, f"{top}@^1")
    assert answer.status_code == 200, answer.text
    graph = answer.json()
    assert {place: node["purl"] for node in graph["nodes"] for place in node["locations"]} == {
        f"node_modules/{top}": f"pkg:npm/{top}@1.0.0",
        f"node_modules/{left}": f"pkg:npm/{left}@1.0.0",
        f"node_modules/{scoped}": f"pkg:npm/{scoped.replace('@', '%40')}@1.0.0",
        "node_modules/old": f"pkg:npm/{shared}@1.0.0",
        f"node_modules/{shared}": f"pkg:npm/{shared}@2.0.0",
        f"node_modules/{extra}": f"pkg:npm/{extra}@1.0.0",
    }
    assert graph["complete"] is True
    assert [node["name"] for node in graph["nodes"] if node["optional"] and node["inert"]] == [extra]
    assert not [each for each in upstream.requests if each.path.endswith(".tgz") and top in each.path]

    for node in graph["nodes"]:  # where each file is, and that it is the one
        file = orchard.get(f"/npm/{node['name']}/-/{node['filename']}")
        assert file.status_code == 200
        assert node["integrity"].startswith("sha512-")
    asked = len(upstream.requests)
    publish(upstream, shared, {"1.0.0": {}, "2.0.0": {}, "2.1.0": {}})  # what comes later changes nothing
    assert post(orchard, f"{top}@^1").content == answer.content
    with orchard.client(orchard.cache) as redis:
        redis.flushall()
    assert post(orchard, f"{top}@^1").content == answer.content  # out of the database
    assert len(upstream.requests) == asked


def test_artifact__a_stored_tarball_is_the_root(orchard: Cluster, upstream: Upstream, project: Names) -> None:
    top, needed = project(), project()
    tarballs = publish(upstream, top, {"1.0.0": {"dependencies": {needed: "*"}}, "2.0.0": {}})
    publish(upstream, needed, {"1.0.0": {"dependencies": {top: "^1"}}})
    sha256 = hashlib.sha256(tarballs["1.0.0"]).hexdigest()
    assert orchard.get(f"/npm/{top}/-/{top}-1.0.0.tgz").status_code == 200
    path = f"/api/v1/artifacts/{sha256}/resolution"
    cold = orchard.get(path)
    assert cold.status_code == 200, cold.text
    graph = cold.json()
    assert [(node["name"], node["version"], node["sha256"]) for node in graph["nodes"]] == [
        (top, "1.0.0", sha256),
        (needed, "1.0.0", ""),
    ]
    assert graph["nodes"][0]["size_bytes"] == len(tarballs["1.0.0"])
    assert graph["cycles"] == [sorted([f"pkg:npm/{needed}@1.0.0", f"pkg:npm/{top}@1.0.0"])]
    warm = orchard.get(path)
    assert warm.headers["x-cache"] == "HIT"
    assert warm.content == cold.content


def test_conflict__422_with_the_chain(orchard: Cluster, upstream: Upstream, project: Names) -> None:
    plugin, core = project(), project()
    publish(upstream, plugin, {"1.0.0": {"peerDependencies": {core: "^1"}}})
    publish(upstream, core, {"1.0.0": {}, "2.0.0": {}})
    answer = post(orchard, plugin, f"{core}@^2")
    assert (answer.status_code, problem(answer)["code"]) == (422, "resolution_conflict")
    assert f"request -> {plugin} 1.0.0 -> {core}@^1 (peer)" in problem(answer)["detail"]
    assert f"request -> {core}@^2" in problem(answer)["detail"]
    again = post(orchard, plugin, f"{core}@^2")
    assert (again.status_code, problem(again)["detail"]) == (422, problem(answer)["detail"])
    publish(upstream, plugin, {"1.0.0": {"peerDependencies": {core: "^1"}}, "1.1.0": {}})
    orchard.get(f"/npm/{plugin}", headers={"cache-control": "no-cache"})
    wait_until(
        lambda: post(orchard, plugin, f"{core}@^2").status_code == 200, seconds=60, what="another page"
    )


def test_unknown_package__404_with_its_protocol(orchard: Cluster, project: Names) -> None:
    name = project()
    answer = post(orchard, name)
    assert (answer.status_code, problem(answer)["code"]) == (404, "project_not_found")
    assert f"npm: {name}" in problem(answer)["detail"]


@pytest.mark.parametrize("bad", ["", "@scope", "a@git+https://git.example.com/a.git", "a b"])
def test_bad_requirement__400_naming_the_parameter(orchard: Cluster, bad: str) -> None:
    answer = post(orchard, bad)
    assert (answer.status_code, problem(answer)["code"]) == (400, "invalid_parameter")
    assert "requirements" in problem(answer)["detail"]


def test_package_away_for_a_passing_cause__incomplete_and_not_kept(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top, away = project(), project()
    publish(upstream, top, {"1.0.0": {"dependencies": {away: "^1"}}})
    publish(upstream, away, {"1.0.0": {}})
    upstream.fault(packument_path(away), Fault(status=503))
    answer = post(orchard, top)
    assert answer.status_code == 200, answer.text
    assert answer.json()["complete"] is False
    assert [(each["name"], each["passing"]) for each in answer.json()["unresolved"]] == [(away, True)]
    upstream.heal()
    wait_until(lambda: bool(post(orchard, top).json()["complete"]), seconds=30, what="a complete answer")


def test_bomb__peers_that_push_each_other_out_for_ever__typed_error_and_the_worker_stays(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    """npm itself never comes to an end with these."""
    top, middle, inner, wary, pushed = (project() for _ in range(5))
    publish(upstream, top, {"1.0.0": {"dependencies": {middle: "^1"}}})
    publish(upstream, middle, {"1.0.0": {"dependencies": {inner: "^1"}}})
    publish(upstream, inner, {"1.0.0": {"peerDependencies": {pushed: "^1"}}})
    optional = {"peerDependencies": {pushed: "^2"}, "peerDependenciesMeta": {pushed: {"optional": True}}}
    publish(upstream, wary, {"1.0.0": optional})
    publish(upstream, pushed, {"1.0.0": {"optionalDependencies": {wary: "^2"}}, "2.0.0": {}})
    pids = [service.process.pid for service in orchard.all_of("extractor")]
    answer = post(orchard, top, wary)
    assert (answer.status_code, problem(answer)["code"]) == (422, "resolution_too_large"), answer.text
    assert [service.process.pid for service in orchard.all_of("extractor")] == pids
    plain = project()
    publish(upstream, plain, {"1.0.0": {}})
    assert post(orchard, plain).status_code == 200
