"""A pom.xml resolves as its project does: parents, management, profiles, scopes; what is local is told."""

from __future__ import annotations

import pytest

from shared.errors import NotResolvable, ProjectNotFound
from shared.protocols.resolution import Document, Unavailable
from tests.shared.protocols.maven.resolver.resolution_support import Maven, dep, line


def posted(*dependencies: str, parent: str = "", managed: str = "", extra: str = "") -> str:
    above = ""
    if parent:
        group, artifact, version = parent.split(":")
        above = f"<parent><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
        above += f"<version>{version}</version></parent>"
    management = f"<dependencyManagement><dependencies>{managed}</dependencies></dependencyManagement>"
    wanted = "".join(dep(each).xml() for each in dependencies)
    return (
        f"<project>{above}<groupId>own</groupId><artifactId>app</artifactId><version>${{revision}}</version>"
        f"{management if managed else ''}<dependencies>{wanted}</dependencies>{extra}</project>"
    )


@pytest.fixture
def maven() -> Maven:
    made = Maven()
    made.add(
        "p:top:1",
        packaging="pom",
        managed=["g:low:2", dep("g:b:1")],
        extra="<properties><v>3</v></properties>",
    )
    made.add("p:bom:1", packaging="pom", managed=["g:c:1"])
    made.add("g:a:1", "g:low:1", "g:d:1:test", dep("g:e:1", optional=True))
    made.add("g:a:3", "g:low:1")
    made.leaves("g:low:1", "g:low:2", "g:b:1", "g:c:1", "g:d:1", "g:e:1", "g:t:1")
    made.add("g:t:1", "g:c:1")
    return made


def test_parent_management_import_and_properties__as_in_the_project(maven: Maven) -> None:
    bom = dep("p:bom:1:import:pom").xml()
    found = maven.resolve(posted("g:a:${v}", "g:b:", "g:c:", "g:t:1:test", parent="p:top:1", managed=bom))
    assert sorted(map(line, found.nodes)) == [
        "a:3:compile", "b:1:compile", "c:1:compile", "low:2:compile", "t:1:test",
    ]  # fmt: skip
    assert found.complete and found.unresolved == ()
    assert {each.filename for each in found.documents} >= {"top-1.pom", "bom-1.pom", "a-3.pom"}
    assert all(each.project for each in found.documents), "its own POM lies in no repository"


def test_scopes_and_optional_ones__those_of_the_project_alone(maven: Maven) -> None:
    found = maven.resolve(posted("g:a:1", "g:b:1:provided"))
    assert sorted(map(line, found.nodes)) == ["a:1:compile", "b:1:provided", "low:1:compile"]


@pytest.mark.parametrize(
    ("activation", "is_active"),
    [
        ("<activeByDefault>true</activeByDefault>", True),
        ("<jdk>[11,)</jdk>", True),
        ("<jdk>1.8</jdk>", False),
        ("<property><name>x</name></property>", False),
    ],
)
def test_profiles__those_that_are_active_of_themselves(
    maven: Maven, activation: str, is_active: bool
) -> None:
    profile = (
        f"<id>x</id><activation>{activation}</activation><dependencies>{dep('g:c:1').xml()}</dependencies>"
    )
    text = posted("g:b:1", extra=f"<profiles><profile>{profile}</profile></profiles>")
    assert (len(maven.resolve(text).nodes) == 2) is is_active


def test_modules_and_files_of_the_machine__are_told__and_the_rest_resolved(maven: Maven) -> None:
    local = "<dependency><groupId>g</groupId><artifactId>local</artifactId><version>1</version>"
    local += "<scope>system</scope><systemPath>/lib/local.jar</systemPath></dependency>"
    modules = "<modules><module>core</module></modules>"
    text = posted("g:b:1", extra=modules).replace("</dependencies>", f"{local}</dependencies>")
    found = maven.resolve(text)
    assert found.complete and [node.name for node in found.nodes] == ["g:b"]
    told = {each.name: each.reason for each in found.unresolved}
    assert told["core"].startswith("a module of the project")
    assert told["g:local"].startswith("scope system: a file of the machine")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (posted("g:b:1", parent="own:gone:1"), "pom.xml: gone-1.pom: no source has it"),
        (
            posted("g:b:1", managed=dep("own:gone:1:import:pom").xml()),
            "pom.xml: gone-1.pom: no source has it",
        ),
        (posted("g:b:"), "pom.xml: unresolved: no version of g:b"),
        (posted("g:b:1", parent="own:app:1"), "pom.xml: app-1.pom: no source has it"),
    ],
)
def test_what_maven_could_not_build__is_refused_with_what_to_do(maven: Maven, text: str, said: str) -> None:
    with pytest.raises(NotResolvable) as error:
        maven.resolve(text)
    assert said in error.value.message and "effective-pom" in error.value.hint


def test_a_sibling_that_no_source_has__is_named(maven: Maven) -> None:
    with pytest.raises(ProjectNotFound, match="own:sibling:1"):
        maven.resolve(posted("own:sibling:1"))


def test_a_parent_that_cannot_be_had_now__is_no_end(maven: Maven) -> None:
    parent = Document("metadata", "p:top", "1", "top-1.pom")
    maven.answers[parent] = Unavailable("upstream_unavailable: 503")
    found = maven.resolve(posted("g:b:1", parent="p:top:1"))
    assert not found.complete and found.unresolved[0].passing


def test_two_poms_that_are_each_other_s_parent__end(maven: Maven) -> None:
    maven.add("p:one:1", packaging="pom", parent="p:two:1")
    maven.add("p:two:1", packaging="pom", parent="p:one:1")
    with pytest.raises(NotResolvable, match="is its own parent"):
        maven.resolve(posted("g:b:1", parent="p:one:1"))
