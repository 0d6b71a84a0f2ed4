"""Maven's rules over small graphs: mediation, scopes, exclusions, management, ranges, relocations, bounds.

Expected graphs are what Maven 3.8 makes of the same POMs ("Introduction to the Dependency Mechanism").
"""

from __future__ import annotations

import re

import pytest

from shared.errors import (
    InvalidParameter,
    NotResolvable,
    ProjectNotFound,
    ResolutionConflict,
    ResolutionTooLarge,
)
from shared.models import SealedFile
from shared.protocols.derivation import DocumentName
from shared.protocols.maven.mediation import derived_scope
from shared.protocols.maven.resolve import files_of
from shared.protocols.resolution import Document, Known, RootFile, Unavailable
from tests.shared.protocols.maven.resolution_support import RESOLVER, Maven, dep, line, lines


@pytest.fixture
def maven() -> Maven:
    return Maven()


def leaves(maven: Maven, *coordinates: str) -> None:
    for each in coordinates:
        maven.add(each)


# --- mediation --------------------------------------------------------------------------------------


def test_nearest__wins_over_a_newer_one_further_away(maven: Maven) -> None:
    maven.add("g:a:1", "g:b:1", "g:x:1")
    maven.add("g:b:1", "g:x:2")
    leaves(maven, "g:x:1", "g:x:2")
    assert maven.lines("g:a:1") == ["b:1:compile", "x:1:compile"]


def test_equally_near__first_declared_wins(maven: Maven) -> None:
    maven.add("g:a:1", "g:b:1", "g:c:1")
    maven.add("g:b:1", "g:x:1")
    maven.add("g:c:1", "g:x:2")
    leaves(maven, "g:x:1", "g:x:2")
    assert maven.lines("g:a:1") == ["b:1:compile", "c:1:compile", "x:1:compile"]


def test_order_of_declaration__of_profiles_and_parents__after_the_own_ones(maven: Maven) -> None:
    profile = (
        "<profiles><profile><activation><jdk>[11,)</jdk></activation><dependencies>"
        "<dependency><groupId>g</groupId><artifactId>c</artifactId><version>1</version></dependency>"
        "</dependencies></profile></profiles>"
    )
    maven.add("g:up:1", "g:d:1", packaging="pom")
    maven.add("g:a:1", "g:b:1", parent="g:up:1", extra=profile)
    for name, version in (("b", "1"), ("c", "2"), ("d", "3")):
        maven.add(f"g:{name}:1", f"g:x:{version}")
        leaves(maven, f"g:x:{version}")
    assert "x:1:compile" in maven.lines("g:a:1")
    maven.add("g:a:1", "g:q:1", parent="g:up:1", extra=profile)
    leaves(maven, "g:q:1")
    assert "x:2:compile" in maven.lines("g:a:1")


def test_loser__takes_what_only_it_wished_for_with_it(maven: Maven) -> None:
    maven.add("g:a:1", "g:b:1", "g:x:1")
    maven.add("g:b:1", "g:x:2")
    maven.add("g:x:2", "g:only:1")
    leaves(maven, "g:x:1", "g:only:1")
    assert maven.lines("g:a:1") == ["b:1:compile", "x:1:compile"]


def test_roots__their_versions_win_everywhere_and_each_is_at_depth_0(maven: Maven) -> None:
    maven.add("g:a:1", "g:b:2")
    leaves(maven, "g:b:1", "g:b:2")
    found = maven.resolve("g:b:1", "g:a:1")
    assert [(node.name, node.version, node.depth) for node in found.nodes] == [
        ("g:a", "1", 0),
        ("g:b", "1", 0),
    ]


def test_type_and_classifier__are_artifacts_of_their_own(maven: Maven) -> None:
    maven.add("g:a:1", "g:x:1", "g:x:2:compile:jar:linux", "g:x:3:compile:test-jar", "g:x:4:compile:zip")
    leaves(maven, *(f"g:x:{version}" for version in range(1, 5)))
    found = maven.resolve("g:a:1")
    assert lines(found) == [
        "x:1:compile",
        "x:2-linux.jar:compile",
        "x:3-tests.jar:compile",
        "x:4.zip:compile",
    ]
    assert {node.purl for node in found.nodes if node.depth} == {
        "pkg:maven/g/x@1?type=jar",
        "pkg:maven/g/x@2?classifier=linux&type=jar",
        "pkg:maven/g/x@3?classifier=tests&type=jar",
        "pkg:maven/g/x@4?type=zip",
    }


# --- scopes -----------------------------------------------------------------------------------------

TABLE = {
    "compile": {"compile": "compile", "runtime": "runtime", "provided": "", "test": ""},
    "runtime": {"compile": "runtime", "runtime": "runtime", "provided": "", "test": ""},
    "provided": {"compile": "provided", "runtime": "provided", "provided": "", "test": ""},
    "test": {"compile": "test", "runtime": "test", "provided": "", "test": ""},
}
"""Rows: scope of what is near. Columns: of what it depends on ("Dependency Scope" of Maven's guide)."""


@pytest.mark.parametrize("near", ["compile", "runtime"])
@pytest.mark.parametrize("far", ["compile", "runtime", "provided", "test"])
def test_scope__of_what_is_below__by_the_table(maven: Maven, near: str, far: str) -> None:
    maven.add("g:a:1", f"g:b:1:{near}")
    maven.add("g:b:1", f"g:x:1:{far}")
    leaves(maven, "g:x:1")
    expected = TABLE[near][far]
    assert maven.lines("g:a:1") == [f"b:1:{near}", *([f"x:1:{expected}"] if expected else [])]


@pytest.mark.parametrize("near", list(TABLE))
def test_scope__derived_in_mediation__by_the_table(near: str) -> None:
    for far, expected in TABLE[near].items():
        if expected:
            assert derived_scope(near, far) == expected


def test_scope__of_the_winner__the_widest_of_all(maven: Maven) -> None:
    maven.add("g:a:1", "g:b:1:runtime", "g:c:1")
    maven.add("g:b:1", "g:x:1")
    maven.add("g:c:1", "g:d:1")
    maven.add("g:d:1", "g:x:2")
    leaves(maven, "g:x:1", "g:x:2")
    assert "x:1:compile" in maven.lines("g:a:1")


def test_scope__of_a_near_one__is_not_widened_by_others(maven: Maven) -> None:
    maven.add("g:a:1", "g:x:1")
    maven.add("g:b:1", "g:a:1")
    leaves(maven, "g:x:1")
    root = RootFile("g:top", "1", "top-1.jar", "a" * 64, 10)
    maven.add("g:top:1", "g:x:1:runtime", "g:b:1")
    assert lines(maven.resolve(root=root)) == ["a:1:compile", "b:1:compile", "x:1:runtime"]


def test_system__no_node_but_named_and_a_relative_path_voids_the_pom(maven: Maven) -> None:
    path = "<systemPath>{}</systemPath>"
    tools = dep("sun:tools:1:system")
    absolute = type(tools)(
        "sun", "tools", "1", scope="system", extra=path.format("${java.home}/../lib/tools.jar")
    )
    relative = type(tools)("sun", "tools", "1", scope="system", extra=path.format("${basedir}/tools.jar"))
    leaves(maven, "g:x:1")
    maven.add("g:a:1", absolute, "g:x:1")
    found = maven.resolve("g:a:1")
    assert lines(found) == ["x:1:compile"]
    assert [(each.name, each.passing) for each in found.unresolved] == [("sun:tools", False)]
    maven.add("g:b:1", relative, "g:x:1")
    found = maven.resolve("g:b:1")
    assert lines(found) == [] and "no absolute system path" in found.unresolved[0].reason


# --- exclusions and optional dependencies ----------------------------------------------------------


@pytest.mark.parametrize(
    ("excluded", "left"),
    [
        ("g:x", ["b:1:compile", "c:1:compile"]),
        ("g:*", []),
        ("*:*", []),
        ("*:x", ["b:1:compile", "c:1:compile"]),
        ("h:*", ["b:1:compile", "c:1:compile", "x:1:compile"]),
    ],
)
def test_exclusion__with_wildcards__at_any_depth(maven: Maven, excluded: str, left: list[str]) -> None:
    maven.add("g:a:1", dep("h:mid:1", excluded))
    maven.add("h:mid:1", "g:b:1")
    maven.add("g:b:1", "g:c:1")
    maven.add("g:c:1", "g:x:1")
    leaves(maven, "g:x:1")
    assert maven.lines("g:a:1") == sorted([*left, "mid:1:compile"])


def test_exclusion__holds_only_below_its_dependency(maven: Maven) -> None:
    maven.add("g:a:1", dep("g:b:1", "g:x"), "g:c:1")
    maven.add("g:b:1", "g:d:1")
    maven.add("g:c:1", "g:d:1")
    maven.add("g:d:1", "g:x:1")
    leaves(maven, "g:x:1")
    # The first d wins, and it has no x: Maven's known trap, kept.
    assert maven.lines("g:a:1") == ["b:1:compile", "c:1:compile", "d:1:compile"]


def test_optional__not_followed_below_roots_unless_asked(maven: Maven) -> None:
    maven.add("g:a:1", dep("g:b:1", optional=True), "g:c:1")
    maven.add("g:c:1", dep("g:d:1", optional=True))
    leaves(maven, "g:b:1", "g:d:1")
    assert maven.lines("g:a:1") == ["c:1:compile"]
    found = maven.resolve("g:a:1", include_optional=True)
    assert lines(found) == ["b:1:compile", "c:1:compile"]
    assert [node.optional for node in found.nodes] == [False, True, False]


# --- management -----------------------------------------------------------------------------------------


def test_management_of_a_dependency__does_not_reach_what_its_dependencies_wish(maven: Maven) -> None:
    maven.add("g:a:1", "g:b:1", managed=["g:x:9"])
    maven.add("g:b:1", "g:x:1")
    leaves(maven, "g:x:1", "g:x:9")
    assert maven.lines("g:a:1") == ["b:1:compile", "x:1:compile"]


def test_management_of_the_root_file__from_the_second_level_on(maven: Maven) -> None:
    maven.add(
        "g:top:1",
        "g:b:1",
        "g:y:1",
        managed=[
            "g:x:9:runtime",
            "g:y:9",
            dep("g:z:9:provided"),
            dep("g:b::", "g:ex"),
            dep("g:o:1", optional=True),
        ],
    )
    maven.add("g:b:1", "g:x:1", "g:z:1", "g:ex:1", "g:o:1", "g:y:2")
    leaves(maven, "g:x:9", "g:y:1", "g:z:9", "g:ex:1", "g:o:1", "g:y:9")
    root = RootFile("g:top", "1", "top-1.jar", "a" * 64, 10)
    found = maven.resolve(root=root)
    assert lines(found) == ["b:1:compile", "o:1:compile", "x:9:runtime", "y:1:compile", "z:9:provided"]
    assert {node.name for node in found.nodes if node.optional} == {"g:o"}


def test_bom_and_parent__give_versions(maven: Maven) -> None:
    maven.add("g:bom:1", managed=["g:x:${x}"], extra="<properties><x>4</x></properties>", packaging="pom")
    maven.add("g:up:1", managed=["g:y:5:runtime"], packaging="pom")
    maven.add("g:a:1", "g:x:", "g:y:", managed=["g:bom:1:import:pom"], parent="g:up:1")
    leaves(maven, "g:x:4", "g:y:5")
    found = maven.resolve("g:a:1")
    assert lines(found) == ["x:4:compile", "y:5:runtime"]
    assert {each.filename for each in found.documents} == {
        "a-1.pom", "up-1.pom", "bom-1.pom", "x-4.pom", "y-5.pom"
    }  # fmt: skip


# --- versions ------------------------------------------------------------------------------------------


def test_range__newest_that_fits_and_all_poms_named(maven: Maven) -> None:
    maven.publish("g:x", "0.9", "1.0", "1.5", "2.0-alpha", "2.0")
    leaves(maven, "g:x:1.0", "g:x:1.5", "g:x:2.0-alpha")
    maven.add("g:a:1", "g:x:[1.0,2.0)")
    found = maven.resolve("g:a:1")
    assert lines(found) == ["x:2.0-alpha:compile"]
    assert {each.filename for each in found.documents} == {
        "a-1.pom", "x-1.0.pom", "x-1.5.pom", "x-2.0-alpha.pom"
    }  # fmt: skip


def test_ranges__their_intersection__also_against_a_nearer_soft_version(maven: Maven) -> None:
    maven.publish("g:x", "1", "2", "3", "4")
    leaves(maven, *(f"g:x:{version}" for version in range(1, 5)))
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
    leaves(maven, "g:x:1", "g:x:2")
    with pytest.raises(ResolutionConflict) as caught:
        maven.resolve("g:a:1")
    assert "no version satisfies all wishes for g:x" in caught.value.message
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
    leaves(maven, "g:x:2")
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
    leaves(maven, "g:y:1")
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
    leaves(maven, "g:y:1")
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


# --- environments -------------------------------------------------------------------------------------

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
    leaves(maven, "g:on:1", "g:off:1")
    maven.add("g:a:1", extra=_PROFILE.format(activation))
    assert maven.lines("g:a:1", environment=environment) == ["on:1:compile" if active else "off:1:compile"]


# --- what cannot be known -----------------------------------------------------------------------------


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
    leaves(maven, "g:y:1")
    found = maven.resolve("g:a:1")
    assert "${nobody.knows}" in {node.version for node in found.nodes}
    assert [each.name for each in found.unresolved] == ["g:x"]
    assert "${nobody.knows}" in found.unresolved[0].reason


def test_dependency_without_version__voids_its_pom_as_in_maven(maven: Maven) -> None:
    maven.add("g:a:1", "g:b:1")
    maven.add("g:b:1", "g:x:", "g:y:1")
    leaves(maven, "g:y:1")
    found = maven.resolve("g:a:1")
    assert lines(found) == ["b:1:compile"]
    assert "no version of g:x" in found.unresolved[0].reason


def test_unknown_root__not_found_by_name(maven: Maven) -> None:
    for wanted in ("g:nobody:1", "g:nobody:[1,2)"):
        with pytest.raises(ProjectNotFound, match="maven: g:nobody"):
            maven.resolve(wanted)


# --- the request -----------------------------------------------------------------------------------------


def test_request__one_key_for_all_spellings() -> None:
    spellings = [("g:a:1", "g:b:2"), (" g:b:jar:2", "g:a:1", "g:a:jar:1")]
    requests = [RESOLVER.request(requirements=each) for each in spellings]
    assert requests[0] == requests[1]
    assert requests[0].requirements == ("g:a:1", "g:b:2")
    assert requests[0].environment == "jdk17-linux-x86_64"


@pytest.mark.parametrize(
    "requirement",
    ["g:a", "a", "g:a:b:c:d:e", "g::1", "g:a:", "g/x:a:1", "..:a:1", "g:a:../1", "g:a:[1", "g:a:(1)",
     "g:a:[2,1]", "g:a:[1,2,3]", "g:a:${v}", "g:a:jar:c/d:1", "g:a:j r:1", "x" * 2000],
)  # fmt: skip
def test_request__bad_requirement__named(requirement: str) -> None:
    with pytest.raises(InvalidParameter, match="requirements:"):
        RESOLVER.request(requirements=(requirement,))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"as_of": "2024-01-01"}, "as_of"),
        ({"environment": "cp311-linux"}, "environment"),
        ({"environment": "jdk7-linux-x86_64"}, "environment"),
        ({"max_depth": 0}, "max_depth"),
        ({"requirements": ("g:a:1", "g:a:2")}, "two versions"),
    ],
)
def test_request__bad_option__named(options: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidParameter, match=named):
        RESOLVER.request(**{"requirements": ("g:a:1",), **options})  # type: ignore[arg-type]


# --- the result -----------------------------------------------------------------------------------------


def test_result__edges_cycles_files_and_documents(maven: Maven) -> None:
    maven.add("g:a:1", "g:b:1")
    maven.add("g:b:1", "g:a:2", "g:c:1")
    leaves(maven, "g:c:1", "g:a:2")
    maven.stored["g:c", "c-1.jar"] = SealedFile("c-1.jar", "1", "c" * 64, 77)
    found = maven.resolve("g:a:1")
    a, b, c = (f"pkg:maven/g/{name}@1?type=jar" for name in "abc")
    assert [(edge.source, edge.target, edge.requirement) for edge in found.edges] == [
        ("", a, "g:a:1"), (a, b, "g:b:1"), (b, a, "g:a:2"), (b, c, "g:c:1")
    ]  # fmt: skip
    assert found.cycles == ((a, b),)
    assert [(node.sha256, node.size_bytes) for node in found.nodes] == [
        ("", None),
        ("", None),
        ("c" * 64, 77),
    ]
    assert [each.filename for each in files_of(found)] == [
        "a-1.jar", "b-1.jar", "c-1.jar", "a-1.pom", "a-2.pom", "b-1.pom", "c-1.pom"
    ]  # fmt: skip


def test_max_depth__truncates(maven: Maven) -> None:
    for number in range(5):
        maven.add(f"g:n{number}:1", f"g:n{number + 1}:1")
    leaves(maven, "g:n5:1")
    found = maven.resolve("g:n0:1", max_depth=2)
    assert found.truncated and [node.name for node in found.nodes] == ["g:n0", "g:n1", "g:n2"]


def test_same_documents__same_answer(maven: Maven) -> None:
    maven.add("g:a:1", *(f"g:n{number}:1" for number in range(20)))
    for number in range(20):
        maven.add(f"g:n{number}:1", f"g:n{(number * 7 + 1) % 20}:1", f"g:m:{number}")
        leaves(maven, f"g:m:{number}")
    assert maven.resolve("g:a:1") == maven.resolve("g:a:1")


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("x-1.jar", "x:1:compile"),
        ("x-1.pom", "x:1.pom:compile"),
        ("x-1-linux-x86_64.jar", "x:1-linux-x86_64.jar:compile"),
        ("x-1-src.tar.gz", "x:1-src.tar.gz:compile"),
    ],
)
def test_root_file__is_the_one_node_at_depth_0(maven: Maven, filename: str, expected: str) -> None:
    maven.add("g:x:1", "g:y:1", "g:t:1:test", dep("g:o:1", optional=True))
    leaves(maven, "g:y:1", "g:o:1")
    root = RootFile("g:x", "1", filename, "f" * 64, 5)
    found = maven.resolve(root=root)
    assert [line(node) for node in found.nodes] == [expected, "y:1:compile"]
    assert (found.nodes[0].sha256, found.nodes[0].filename) == ("f" * 64, filename)
    assert "o:1:compile" in lines(maven.resolve(root=root, include_optional=True))


def test_root_file__that_is_no_artifact__not_resolvable(maven: Maven) -> None:
    with pytest.raises(NotResolvable):
        maven.resolve(root=RootFile("g:x", "1", "y-1.jar", "f" * 64, 5))


def test_plugin__resolved_by_itself_with_its_own_management(maven: Maven) -> None:
    maven.add("g:p:1", "g:b:1", dep("g:o:1", optional=True), managed=["g:x:9"], packaging="maven-plugin")
    maven.add("g:b:1", "g:x:1")
    leaves(maven, "g:x:1", "g:x:9", "g:o:1")
    assert maven.lines("g:p:maven-plugin:1") == ["b:1:compile", "o:1:compile", "x:9:compile"]
    assert maven.lines("g:p:1") == ["b:1:compile", "x:1:compile"]


# --- bounds -----------------------------------------------------------------------------------------------


def test_deep_chain__ends(maven: Maven) -> None:
    for number in range(400):
        maven.add(f"g:n{number}:1", f"g:n{number + 1}:1")
    leaves(maven, "g:n400:1")
    assert len(maven.resolve("g:n0:1", max_depth=200).nodes) == 201


def test_diamonds__shared_not_multiplied(maven: Maven) -> None:
    """2^40 ways from top to bottom."""
    for number in range(40):
        for side in "ab":
            maven.add(f"g:{side}{number}:1", f"g:a{number + 1}:1", f"g:b{number + 1}:1")
    leaves(maven, "g:a40:1", "g:b40:1")
    assert len(maven.resolve("g:a0:1").nodes) == 81


def test_exclusions_that_multiply_the_graph__too_large(maven: Maven, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way down excludes something else, so that nothing can be shared."""
    monkeypatch.setattr("shared.protocols.maven.collect.MAX_GRAPH", 2000)
    for number in range(30):
        wishes = [dep(f"g:n{number + 1}:1:compile:jar:{side}", f"x:{number}{side}") for side in "ab"]
        maven.add(f"g:n{number}:1", *wishes)
    leaves(maven, "g:n30:1")
    with pytest.raises(ResolutionTooLarge):
        maven.resolve("g:n0:1")


def test_wide_knot__everyone_wishes_for_everyone(maven: Maven) -> None:
    names = [f"n{number}" for number in range(40)]
    for name in names:
        maven.add(f"g:{name}:1", *(f"g:{other}:1" for other in names))
    found = maven.resolve("g:n0:1")
    assert len(found.nodes) == 40
    assert [len(knot) for knot in found.cycles] == [40]


def test_told_to_give_up__too_large(maven: Maven) -> None:
    maven.add("g:a:1", *(f"g:n{number}:1" for number in range(400)))
    leaves(maven, *(f"g:n{number}:1" for number in range(400)))
    request = RESOLVER.request(requirements=("g:a:1",))
    known = Known()
    document = Document("metadata", "g:a", "1", "a-1.pom")
    known.documents[document] = maven.answer(document)
    with pytest.raises(ResolutionTooLarge):
        RESOLVER.resolve(request, None, known, give_up=lambda: True)
