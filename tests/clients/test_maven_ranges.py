"""Parents and BOMs named by a range: mvn's own list as the oracle of ours, Maven 3.8 and 3.9."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.default_upstreams import default_upstream
from tests.clients.jvm import GROUP, Maven, require
from tests.support.maven_builders import Dep, Repository, build_pom
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.upstream import Upstream

require("mvn")

LIST = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:list"
RANGES = {
    "half": "[1,2)",
    "closed": "[1,2]",
    "open": "[1,)",
    "single": "[1.5]",
    "empty": "[8,9]",
    "backwards": "[2,1]",
    "plain": "1.5",
}
"""By the name of a case: how a parent, or a BOM, is named that there is of 1, 1.5 and 2."""
CASES = [f"{kind}-{name}" for kind in ("parent", "bom") for name in RANGES]


def _managed(*dependencies: Dep) -> str:
    inner = "".join(each.xml() for each in dependencies)
    return f"<dependencyManagement><dependencies>{inner}</dependencies></dependencyManagement>"


def publish(repository: Repository) -> None:
    """A library for each case; which version of `leaf` it gets tells which parent, or BOM, was taken."""
    for version in ("1", "2", "3"):
        repository.add(GROUP, "leaf", version)
    for version, leaf in (("1", "1"), ("1.5", "2"), ("2", "3")):
        extra = _managed(Dep(GROUP, "leaf", leaf))
        pom = build_pom(GROUP, "above", version, packaging="pom", extra=extra)
        repository.put(f"{GROUP.replace('.', '/')}/above/{version}/above-{version}.pom", pom)
    repository.add_metadata(GROUP, "above", ["1", "1.5", "2"])
    for name, text in RANGES.items():
        above = f"<groupId>{GROUP}</groupId><artifactId>above</artifactId><version>{text}</version>"
        bom = _managed(Dep(GROUP, "above", text, scope="import", extra="<type>pom</type>"))
        for kind, extra in (("parent", f"<parent>{above}</parent>"), ("bom", bom)):
            repository.add(GROUP, f"{kind}-{name}", "1", [Dep(GROUP, "leaf")], pom_extra=extra)


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Upstream() as upstream:
        repository = Repository(upstream)
        publish(repository)
        default, _ = default_upstream("maven", os.environ, 0)
        folder = tmp_path_factory.mktemp("orchard")
        with cluster(folder, upstream, ORCHARD_MAVEN_UPSTREAM=f"{repository.url},{default}") as running:
            yield running


def _resolved(orchard: Cluster, requirement: str) -> dict[str, Any]:
    graph: dict[str, Any] = {}

    def ready() -> bool:
        body = {"protocol": "maven", "requirements": [requirement]}
        answer = httpx.post(orchard.url("/api/v1/resolve"), json=body, timeout=60, trust_env=False)
        graph.update(answer.json())
        return answer.status_code == 200

    wait_until(ready, seconds=60, what=f"the graph of {requirement}")
    return graph


def _leaf_of(lines: list[str]) -> str:
    """The version of `leaf` in such a list; "" where it is none of it."""
    return next((line.split(":")[3] for line in lines if f"{GROUP}:leaf:" in line), "")


@pytest.mark.timeout(300)  # mvn's plugins come through a cold Orchard
@pytest.mark.parametrize("tool", ["mvn", "mvn-3.9"])
def test_parents_and_boms_named_by_ranges__what_mvn_takes(
    orchard: Cluster, tmp_path: Path, tool: str
) -> None:
    maven = Maven(tmp_path, orchard)
    for case in CASES:
        folder = tmp_path / case
        folder.mkdir()
        (folder / "pom.xml").write_bytes(build_pom("demo", case, "1", [Dep(GROUP, case, "1")]))
    modules = "".join(f"<module>{case}</module>" for case in CASES)
    everything = build_pom("demo", "all", "1", packaging="pom", extra=f"<modules>{modules}</modules>")
    (tmp_path / "pom.xml").write_bytes(everything)
    said = maven.run(tool, "-q", "-fae", "-DoutputFile=list.txt", LIST, seconds=280)
    theirs, ours = {}, {}
    for case in CASES:
        listed = tmp_path / case / "list.txt"
        theirs[case] = _leaf_of(listed.read_text().splitlines()) if listed.exists() else ""
        graph = _resolved(orchard, f"{GROUP}:{case}:1")
        found = {node["name"].rpartition(":")[2]: node["version"] for node in graph["nodes"]}
        ours[case] = found.get("leaf", "")
        assert bool(graph["unresolved"]) is (not ours[case]), (case, graph["unresolved"])
    assert ours == theirs, said.stdout[-3000:]
    assert theirs["parent-half"] == "2" and theirs["bom-plain"] == "2" and not theirs["bom-half"]
