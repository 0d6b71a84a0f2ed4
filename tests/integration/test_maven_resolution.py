"""Maven's dependency graphs through every service: cold and kept, of files, conflicts, outages, bombs."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from tests.support.maven_builders import Dep, Repository, build_jar
from tests.support.orchard import Cluster, problem, wait_until
from tests.support.upstream import Fault, Upstream

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def orchard_settings(upstream: Upstream) -> dict[str, str]:
    return {
        "ORCHARD_MAVEN_UPSTREAM": f"{upstream.url}/maven/",
        "ORCHARD_REQUEST_TIMEOUT": "8",
        "ORCHARD_CACHE_TTL_NEGATIVE": "1",
    }


@pytest.fixture
def first(upstream: Upstream) -> Repository:
    return Repository(upstream)


class Names:
    """New artifact ids: tests share an Orchard, never a project."""

    def __call__(self) -> str:
        return f"res{next(_numbers)}"


@pytest.fixture
def new() -> Names:
    return Names()


def post(orchard: Cluster, *requirements: str, **options: Any) -> httpx.Response:
    answer = httpx.Response(202)
    for _ in range(8):  # a loaded machine: ask again while it works
        answer = httpx.post(
            orchard.url("/api/v1/resolve"),
            json={"protocol": "maven", "requirements": list(requirements), **options},
            timeout=30,
            trust_env=False,
        )
        if answer.status_code != 202:
            break
    return answer


def pom_path(group: str, artifact: str, version: str) -> str:
    return f"/maven/{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}.pom"


def versions(graph: dict[str, Any]) -> dict[str, str]:
    return {node["name"].partition(":")[2]: f"{node['version']}:{node['scope']}" for node in graph["nodes"]}


def management(deps: Sequence[Dep]) -> str:
    inner = "".join(each.xml() for each in deps)
    return f"<dependencyManagement><dependencies>{inner}</dependencies></dependencyManagement>"


def test_requirements__cold__from_poms_alone_then_kept_for_ever(
    orchard: Cluster, upstream: Upstream, first: Repository, new: Names
) -> None:
    top, left, right, shared, parent, bom = (new() for _ in range(6))
    above = (
        f"<parent><groupId>org.demo</groupId><artifactId>{parent}</artifactId><version>1</version></parent>"
    )
    first.add("org.demo", parent, "1", pom_extra="<properties><v>2.0</v></properties>")
    first.add("org.demo", bom, "7", pom_extra=management([Dep("org.demo", right, "3.0", scope="runtime")]))
    imported = management([Dep("org.demo", bom, "7", scope="import", extra="<type>pom</type>")])
    first.add(
        "org.demo",
        top,
        "1.0",
        [Dep("org.demo", left, "${v}"), Dep("org.demo", right)],
        pom_extra=above + imported,
    )
    first.add("org.demo", left, "2.0", [Dep("org.demo", shared, "1.0")])
    first.add("org.demo", right, "3.0", [Dep("org.demo", shared, "2.0")])
    first.add("org.demo", shared, "1.0")
    first.add("org.demo", shared, "2.0")

    answer = post(orchard, f"org.demo:{top}:1.0")
    assert answer.status_code == 200, answer.text
    graph = answer.json()
    assert graph["complete"] and not graph["unresolved"]
    assert versions(graph) == {
        top: "1.0:compile", left: "2.0:compile", right: "3.0:runtime", shared: "1.0:compile"
    }  # fmt: skip
    assert graph["nodes"][0]["purl"] == f"pkg:maven/org.demo/{top}@1.0?type=jar"
    assert {each["filename"] for each in graph["documents"]} == {
        f"{top}-1.0.pom", f"{parent}-1.pom", f"{bom}-7.pom", f"{left}-2.0.pom", f"{right}-3.0.pom",
        f"{shared}-1.0.pom", f"{shared}-2.0.pom",
    }  # fmt: skip
    assert not [each for each in upstream.requests if each.path.endswith(f"{top}-1.0.jar")], (
        "no jar is fetched"
    )

    first.add("org.demo", left, "2.0", [])  # what comes later changes nothing
    asked = len(upstream.requests)
    assert post(orchard, f"org.demo:{top}:jar:1.0").content == answer.content
    with orchard.client(orchard.cache) as redis:
        redis.flushall()
    assert post(orchard, f"org.demo:{top}:1.0").content == answer.content
    assert len(upstream.requests) == asked


def test_stored_jar__resolved_with_its_own_management__sizes_of_what_is_stored(
    orchard: Cluster, first: Repository, new: Names
) -> None:
    top, needed, deep = (new() for _ in range(3))
    path = first.add(
        "org.demo",
        top,
        "1.0",
        [Dep("org.demo", needed, "1.0"), Dep("org.demo", new(), "1.0", scope="test")],
        pom_extra=management([Dep("org.demo", deep, "9.0")]),
    )
    needed_path = first.add("org.demo", needed, "1.0", [Dep("org.demo", deep, "1.0")])
    first.add("org.demo", deep, "9.0")
    jar, other = orchard.get(f"/maven/{path}"), orchard.get(f"/maven/{needed_path}")
    sha256 = hashlib.sha256(jar.content).hexdigest()
    answer = httpx.Response(202)

    def answered() -> bool:
        nonlocal answer
        answer = orchard.get(f"/api/v1/artifacts/{sha256}/resolution")
        return answer.status_code != 202

    wait_until(answered, seconds=60, what="the resolution")
    assert answer.status_code == 200, answer.text
    graph = answer.json()
    assert versions(graph) == {top: "1.0:compile", needed: "1.0:compile", deep: "9.0:compile"}
    told = {node["name"]: (node["sha256"], node["size_bytes"]) for node in graph["nodes"]}
    assert told[f"org.demo:{top}"] == (sha256, len(jar.content))
    assert told[f"org.demo:{needed}"] == (hashlib.sha256(other.content).hexdigest(), len(other.content))
    assert told[f"org.demo:{deep}"] == ("", None)
    assert orchard.get(f"/api/v1/artifacts/{sha256}/resolution").headers["x-cache"] == "HIT"


def test_range__from_the_metadata(orchard: Cluster, first: Repository, new: Names) -> None:
    top, ranged = new(), new()
    first.add("org.demo", top, "1.0", [Dep("org.demo", ranged, "[1.0,2.0)")])
    for version in ("1.0", "1.9", "2.0"):
        first.add("org.demo", ranged, version)
    first.add_metadata("org.demo", ranged, ["1.0", "1.9", "2.0"])
    graph = post(orchard, f"org.demo:{top}:1.0").json()
    assert versions(graph)[ranged] == "1.9:compile"


def test_snapshot__its_newest_build(orchard: Cluster, first: Repository, new: Names) -> None:
    top, moving = new(), new()
    first.add("org.demo", top, "1.0", [Dep("org.demo", moving, "1.0-SNAPSHOT")])
    first.add_snapshot("org.demo", moving, "1.0", 3, build_jar(moving))
    graph = post(orchard, f"org.demo:{top}:1.0").json()
    node = next(node for node in graph["nodes"] if node["name"].endswith(moving))
    assert (node["file_id"], graph["unresolved"]) == ("1.0-SNAPSHOT", [])
    assert node["filename"].endswith("-3.jar")
    jar = orchard.get(f"/maven/org/demo/{moving}/{node['file_id']}/{node['filename']}")
    assert jar.status_code == 200, jar.text


def test_hard_versions__422_with_both_chains(orchard: Cluster, first: Repository, new: Names) -> None:
    top, left, right, shared = (new() for _ in range(4))
    first.add("org.demo", top, "1.0", [Dep("org.demo", left, "1.0"), Dep("org.demo", right, "1.0")])
    first.add("org.demo", left, "1.0", [Dep("org.demo", shared, "[1.0]")])
    first.add("org.demo", right, "1.0", [Dep("org.demo", shared, "[2.0]")])
    for version in ("1.0", "2.0"):
        first.add("org.demo", shared, version)
    answer = post(orchard, f"org.demo:{top}:1.0")
    assert (answer.status_code, problem(answer)["code"]) == (422, "resolution_conflict")
    for side, wanted in ((left, "[1.0]"), (right, "[2.0]")):
        chain = f"request -> org.demo:{top}:1.0 -> org.demo:{side}:1.0 -> org.demo:{shared}:{wanted}"
        assert chain in problem(answer)["detail"]


def test_unknown_root__404_with_its_protocol(orchard: Cluster, new: Names) -> None:
    name = new()
    answer = post(orchard, f"org.demo:{name}:1.0")
    assert (answer.status_code, problem(answer)["code"]) == (404, "project_not_found")
    assert f"maven: org.demo:{name}:1.0" in problem(answer)["detail"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"requirements": ["guava"]}, "group:artifact:version"),
        ({"requirements": ["g:a:1"], "as_of": "2024-01-01"}, "as_of"),
        ({"requirements": ["g:a:1"], "environment": "cp311-manylinux_2_36_x86_64"}, "environment"),
    ],
)
def test_bad_request__400_naming_the_fault(orchard: Cluster, body: dict[str, Any], named: str) -> None:
    answer = post(orchard, *body.pop("requirements"), **body)
    assert (answer.status_code, problem(answer)["code"]) == (400, "invalid_parameter")
    assert named in problem(answer)["detail"]


def test_pom_away_for_a_while__incomplete_not_kept_then_whole(
    orchard: Cluster, upstream: Upstream, first: Repository, new: Names
) -> None:
    top, away = new(), new()
    first.add("org.demo", top, "1.0", [Dep("org.demo", away, "1.0")])
    first.add("org.demo", away, "1.0")
    upstream.fault(pom_path("org.demo", away, "1.0"), Fault(status=503))
    graph = post(orchard, f"org.demo:{top}:1.0").json()
    assert graph["complete"] is False
    assert [(each["name"], each["passing"]) for each in graph["unresolved"]] == [(f"org.demo:{away}", True)]
    upstream.heal()

    def whole() -> bool:
        again = post(orchard, f"org.demo:{top}:1.0")
        return again.status_code == 200 and bool(again.json()["complete"])

    wait_until(whole, seconds=60, what="a complete answer after the upstream came back")


def test_hostile_poms__named_and_the_workers_stay(orchard: Cluster, first: Repository, new: Names) -> None:
    """Broken XML, a doctype, a POM that is its own parent, a cycle of imports: an answer all the same."""
    top, broken, bomb, own, cycle = (new() for _ in range(5))
    pids = [service.process.pid for service in orchard.all_of("extractor")]
    first.add("org.demo", top, "1.0", [Dep("org.demo", each, "1.0") for each in (broken, bomb, own, cycle)])
    first.put(pom_path("org.demo", broken, "1.0").removeprefix("/maven/"), b"<project><dep")
    entity = b'<!DOCTYPE p [<!ENTITY a "aa">]><project><artifactId>&a;</artifactId></project>'
    first.put(pom_path("org.demo", bomb, "1.0").removeprefix("/maven/"), entity)
    itself = "<parent><groupId>org.demo</groupId><artifactId>{}</artifactId><version>1.0</version></parent>"
    first.add("org.demo", own, "1.0", pom_extra=itself.format(own))
    again = Dep("org.demo", cycle, "1.0", scope="import", extra="<type>pom</type>")
    first.add("org.demo", cycle, "1.0", [Dep("org.demo", top, "1.0")], pom_extra=management([again]))
    answer = post(orchard, f"org.demo:{top}:1.0")
    assert answer.status_code == 200, answer.text
    graph = answer.json()
    assert set(versions(graph)) == {top, broken, bomb, own, cycle}
    named = {each["name"].partition(":")[2] for each in graph["unresolved"]}
    assert named == {broken, bomb, own, cycle}
    assert graph["complete"] and graph["cycles"] == [], "Maven reads nothing of a POM that imports itself"
    assert [service.process.pid for service in orchard.all_of("extractor")] == pids
