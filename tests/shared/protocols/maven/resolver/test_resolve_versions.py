"""Ranges, moving versions, snapshots, relocations, profiles, and what cannot be known of a POM."""

from __future__ import annotations

import re

import pytest

from shared.errors import (
    ProjectNotFound,
    ResolutionConflict,
)
from shared.protocols.resolution import Document, Unavailable
from shared.protocols.resource import DocumentName
from tests.shared.protocols.maven.resolver.resolution_support import Maven, lines


@pytest.fixture
def maven() -> Maven:
    return Maven()


# --- versions ----------------------------------------------------------------------------------------


def test_range__newest_that_fits_and_all_poms_named(maven: Maven) -> None:
    maven.publish("g:x", "0.9", "1.0", "1.5", "2.0-alpha", "2.0")
    maven.leaves("g:x:1.0", "g:x:1.5", "g:x:2.0-alpha")
    maven.add("g:a:1", "g:x:[1.0,2.0)")
    found = maven.resolve("g:a:1")
    assert lines(found) == ["x:2.0-alpha:compile"]
    assert {each.filename for each in found.documents} == {
        "a-1.pom", "x-1.0.pom", "x-1.5.pom", "x-2.0-alpha.pom"
    }  # fmt: skip


def test_ranges__their_intersection__also_against_a_nearer_soft_version(maven: Maven) -> None:
    maven.publish("g:x", "1", "2", "3", "4")
    maven.leaves(*(f"g:x:{version}" for version in range(1, 5)))
    maven.add("g:a:1", "g:b:1", "g:c:1")
    maven.add("g:b:1", "g:x:[1,3]")
    maven.add("g:c:1", "g:x:[2,4]")
    assert "x:3:compile" in maven.lines("g:a:1")
    maven.add("g:a:1", "g:b:1", "g:x:4")
    assert "x:3:compile" in maven.lines("g:a:1"), "a hard requirement beats a nearer soft one"
    maven.add("g:a:1", "g:b:1", "g:x:2")
    assert "x:2:compile" in maven.lines("g:a:1"), "a soft one that fits stays the nearest"


def test_hard_versions_that_exclude_each_other__conflict_with_chains(maven: Maven) -> None:
    maven.add("g:a:1", "g:b:1", "g:c:1")
    maven.add("g:b:1", "g:x:[1]")
    maven.add("g:c:1", "g:x:[2]")
    maven.leaves("g:x:1", "g:x:2")
    with pytest.raises(ResolutionConflict) as caught:
        maven.resolve("g:a:1")
    assert "no version satisfies all requirements on g:x" in caught.value.message
    assert "request -> g:a:1 -> g:b:1 -> g:x:[1]" in caught.value.message
    assert "request -> g:a:1 -> g:c:1 -> g:x:[2]" in caught.value.message


def test_range_without_a_version__conflict_naming_the_way_to_it(maven: Maven) -> None:
    maven.publish("g:x", "1")
    maven.add("g:a:1", "g:x:[5,)")
    with pytest.raises(ResolutionConflict, match=re.escape("request -> g:a:1 -> g:x:[5,)")):
        maven.resolve("g:a:1")


@pytest.mark.parametrize(("word", "version"), [("LATEST", "2"), ("RELEASE", "2")])
def test_moving_version__looked_up(maven: Maven, word: str, version: str) -> None:
    maven.publish("g:x", "1", "2")
    maven.leaves("g:x:2")
    maven.add("g:a:1", f"g:x:{word}")
    assert maven.lines("g:a:1") == [f"x:{version}:compile"]
    assert [node.version for node in maven.resolve(f"g:x:{word}").nodes] == [version]


def test_snapshot__newest_build_in_the_snapshots_folder(maven: Maven) -> None:
    files = "".join(
        f"<snapshotVersion><extension>{ending}</extension><value>1-20240102.030405-7</value></snapshotVersion>"
        for ending in ("jar", "pom")
    )
    maven.listings["metadata/g/x/1-SNAPSHOT"] = (
        f"<metadata><versioning><snapshotVersions>{files}</snapshotVersions></versioning></metadata>".encode()
    )
    maven.add("g:x:1-SNAPSHOT", "g:y:1")
    body = maven.poms.pop(("g:x", "1-SNAPSHOT", "x-1-SNAPSHOT.pom"))
    maven.poms["g:x", "1-SNAPSHOT", "x-1-20240102.030405-7.pom"] = body
    maven.leaves("g:y:1")
    maven.add("g:a:1", "g:x:1-SNAPSHOT")
    found = maven.resolve("g:a:1")
    snapshot = next(node for node in found.nodes if node.name == "g:x")
    assert (snapshot.version, snapshot.file_id) == ("1-20240102.030405-7", "1-SNAPSHOT")
    assert snapshot.filename == "x-1-20240102.030405-7.jar"
    assert DocumentName("g:x", "1-SNAPSHOT", "x-1-20240102.030405-7.pom") in found.documents
    assert "y:1:compile" in lines(found)


def relocation(**fields: str) -> str:
    inner = "".join(f"<{tag}>{text}</{tag}>" for tag, text in fields.items())
    return f"<distributionManagement><relocation>{inner}</relocation></distributionManagement>"


def test_relocation__followed_and_a_rival_of_its_new_name(maven: Maven) -> None:
    maven.add("old:x:1", extra=relocation(groupId="new"))
    maven.add("new:x:1", "g:y:1")
    maven.add("new:x:2")
    maven.leaves("g:y:1")
    maven.add("g:a:1", "old:x:1:runtime", "g:b:1")
    maven.add("g:b:1", "new:x:2")
    found = maven.resolve("g:a:1")
    assert [node.purl for node in found.nodes if node.name.endswith(":x")] == ["pkg:maven/new/x@1?type=jar"]
    assert lines(found) == ["b:1:compile", "x:1:compile", "y:1:compile"]
    assert {"x-1.pom", "a-1.pom"} <= {each.filename for each in found.documents}


def test_relocation_in_a_circle__ends(maven: Maven) -> None:
    maven.add("g:x:1", extra=relocation(artifactId="y"))
    maven.add("g:y:1", extra=relocation(artifactId="x"))
    maven.add("g:a:1", "g:x:1")
    found = maven.resolve("g:a:1")
    assert any("relocated to itself" in each.reason for each in found.unresolved)


# --- environments ------------------------------------------------------------------------------------

_PROFILE = (
    "<profiles><profile><activation>{}</activation><dependencies><dependency><groupId>g</groupId>"
    "<artifactId>on</artifactId><version>1</version></dependency></dependencies></profile>"
    "<profile><activation><activeByDefault>true</activeByDefault></activation><dependencies><dependency>"
    "<groupId>g</groupId><artifactId>off</artifactId><version>1</version></dependency></dependencies>"
    "</profile></profiles>"
)


@pytest.mark.parametrize(
    ("activation", "environment", "active"),
    [
        ("<jdk>17</jdk>", "", True),
        ("<jdk>1.8</jdk>", "jdk8-linux-x86_64", True),
        ("<jdk>!17</jdk>", "", False),
        ("<jdk>[11,)</jdk>", "", True),
        ("<jdk>(17,)</jdk>", "", True),
        ("<jdk>(,17]</jdk>", "", False),
        ("<jdk>[1.5,9)</jdk>", "jdk8-linux-x86_64", True),
        ("<jdk>[1.5,9)</jdk>", "", False),
        ("<os><family>unix</family></os>", "", True),
        ("<os><family>!windows</family><arch>amd64</arch></os>", "", True),
        ("<os><name>linux</name></os>", "jdk17-windows-x86_64", False),
        ("<os><family>Linux</family><arch>amd64</arch></os>", "", True),
        ("<os><family>dos</family></os>", "jdk17-windows-x86_64", True),
        ("<os><family>mac</family></os>", "jdk21-macos-aarch64", True),
        ("<property><name>!skip</name></property>", "", True),
        ("<property><name>release</name></property>", "", False),
        ("<property><name>release</name><value>!true</value></property>", "", True),
        ("<property><name>os.arch</name><value>aarch64</value></property>", "jdk17-linux-aarch64", True),
        ("<file><exists>/etc/hosts</exists></file>", "", False),
        ("<file><missing>${java.home}/lib/tools.jar</missing></file>", "", True),
        ("<file><missing>${basedir}/src</missing></file>", "", False),
        ("<jdk>17</jdk><property><name>release</name></property>", "", False),
    ],
)
def test_profile__active_in_the_environment_named__else_the_default_one(
    maven: Maven, activation: str, environment: str, active: bool
) -> None:
    maven.leaves("g:on:1", "g:off:1")
    maven.add("g:a:1", extra=_PROFILE.format(activation))
    assert maven.lines("g:a:1", environment=environment) == ["on:1:compile" if active else "off:1:compile"]


# --- what cannot be known ----------------------------------------------------------------------------


def test_missing_pom_below__node_kept_and_named(maven: Maven) -> None:
    maven.add("g:a:1", "g:gone:1")
    found = maven.resolve("g:a:1")
    assert lines(found) == ["gone:1:compile"] and found.complete
    assert [(each.name, each.passing) for each in found.unresolved] == [("g:gone", False)]


def test_unavailable_pom__incomplete(maven: Maven) -> None:
    maven.add("g:a:1", "g:x:1")
    maven.answers[Document("metadata", "g:x", "1", "x-1.pom")] = Unavailable("upstream_unavailable: 503")
    found = maven.resolve("g:a:1")
    assert not found.complete
    assert [(each.name, each.requirement, each.passing) for each in found.unresolved] == [
        ("g:x", "g:x:1", True)
    ]


def test_undefined_property__kept_as_written_and_named(maven: Maven) -> None:
    maven.add("g:a:1", "g:x:${nobody.knows}", "g:y:1")
    maven.leaves("g:y:1")
    found = maven.resolve("g:a:1")
    assert "${nobody.knows}" in {node.version for node in found.nodes}
    assert [each.name for each in found.unresolved] == ["g:x"]
    assert "${nobody.knows}" in found.unresolved[0].reason


def test_dependency_without_version__voids_its_pom_as_in_maven(maven: Maven) -> None:
    maven.add("g:a:1", "g:b:1")
    maven.add("g:b:1", "g:x:", "g:y:1")
    maven.leaves("g:y:1")
    found = maven.resolve("g:a:1")
    assert lines(found) == ["b:1:compile"]
    assert "no version of g:x" in found.unresolved[0].reason


def test_unknown_root__not_found_by_name(maven: Maven) -> None:
    for wanted in ("g:nobody:1", "g:nobody:[1,2)"):
        with pytest.raises(ProjectNotFound, match="maven: g:nobody"):
            maven.resolve(wanted)


def test_bom_that_imports_itself__voids_its_importer_relocation_and_all(maven: Maven) -> None:
    maven.add("g:bom:1", managed=["g:bom:1:import:pom"], packaging="pom")
    maven.add("g:x:1", "g:y:1", managed=["g:bom:1:import:pom"], extra=relocation(artifactId="z"))
    maven.add("g:a:1", "g:x:1")
    maven.leaves("g:y:1", "g:z:1")
    found = maven.resolve("g:a:1")
    assert lines(found) == ["x:1:compile"]
    assert "imported by itself" in found.unresolved[0].reason
