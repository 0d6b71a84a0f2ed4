"""Which artifacts stay, in which version and scope: mediation, scopes, exclusions, management.

Expected graphs are what Maven 3.8 makes of the same POMs ("Introduction to the Dependency Mechanism").
"""

from __future__ import annotations

import pytest

from shared.protocols.maven.resolver.selection import derived_scope
from shared.protocols.resolution import RootFile
from tests.shared.protocols.maven.resolver.resolution_support import Maven, dep, lines


@pytest.fixture
def maven() -> Maven:
    return Maven()


# --- mediation ---------------------------------------------------------------------------------------


def test_nearest__wins_over_a_newer_one_further_away(maven: Maven) -> None:
    maven.add("g:a:1", "g:b:1", "g:x:1")
    maven.add("g:b:1", "g:x:2")
    maven.leaves("g:x:1", "g:x:2")
    assert maven.lines("g:a:1") == ["b:1:compile", "x:1:compile"]


def test_equally_near__first_declared_wins(maven: Maven) -> None:
    maven.add("g:a:1", "g:b:1", "g:c:1")
    maven.add("g:b:1", "g:x:1")
    maven.add("g:c:1", "g:x:2")
    maven.leaves("g:x:1", "g:x:2")
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
        maven.leaves(f"g:x:{version}")
    assert "x:1:compile" in maven.lines("g:a:1")
    maven.add("g:a:1", "g:q:1", parent="g:up:1", extra=profile)
    maven.leaves("g:q:1")
    assert "x:2:compile" in maven.lines("g:a:1")


def test_loser__takes_what_only_it_required_with_it(maven: Maven) -> None:
    maven.add("g:a:1", "g:b:1", "g:x:1")
    maven.add("g:b:1", "g:x:2")
    maven.add("g:x:2", "g:only:1")
    maven.leaves("g:x:1", "g:only:1")
    assert maven.lines("g:a:1") == ["b:1:compile", "x:1:compile"]


def test_roots__their_versions_win_everywhere_and_each_is_at_depth_0(maven: Maven) -> None:
    maven.add("g:a:1", "g:b:2")
    maven.leaves("g:b:1", "g:b:2")
    found = maven.resolve("g:b:1", "g:a:1")
    assert [(node.name, node.version, node.depth) for node in found.nodes] == [
        ("g:a", "1", 0),
        ("g:b", "1", 0),
    ]


def test_type_and_classifier__are_artifacts_of_their_own(maven: Maven) -> None:
    maven.add("g:a:1", "g:x:1", "g:x:2:compile:jar:linux", "g:x:3:compile:test-jar", "g:x:4:compile:zip")
    maven.leaves(*(f"g:x:{version}" for version in range(1, 5)))
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


# --- scopes ------------------------------------------------------------------------------------------

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
    maven.leaves("g:x:1")
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
    maven.leaves("g:x:1", "g:x:2")
    assert "x:1:compile" in maven.lines("g:a:1")


def test_scope__of_a_near_one__is_not_widened_by_others(maven: Maven) -> None:
    maven.add("g:a:1", "g:x:1")
    maven.add("g:b:1", "g:a:1")
    maven.leaves("g:x:1")
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
    maven.leaves("g:x:1")
    maven.add("g:a:1", absolute, "g:x:1")
    found = maven.resolve("g:a:1")
    assert lines(found) == ["x:1:compile"]
    assert [(each.name, each.passing) for each in found.unresolved] == [("sun:tools", False)]
    maven.add("g:b:1", relative, "g:x:1")
    found = maven.resolve("g:b:1")
    assert lines(found) == [] and "no absolute system path" in found.unresolved[0].reason


# --- exclusions and optional dependencies ------------------------------------------------------------


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
    maven.leaves("g:x:1")
    assert maven.lines("g:a:1") == sorted([*left, "mid:1:compile"])


def test_exclusion__holds_only_below_its_dependency(maven: Maven) -> None:
    maven.add("g:a:1", dep("g:b:1", "g:x"), "g:c:1")
    maven.add("g:b:1", "g:d:1")
    maven.add("g:c:1", "g:d:1")
    maven.add("g:d:1", "g:x:1")
    maven.leaves("g:x:1")
    # The first d wins, and it has no x: Maven's known trap, kept.
    assert maven.lines("g:a:1") == ["b:1:compile", "c:1:compile", "d:1:compile"]


def test_optional__not_followed_below_roots_unless_asked(maven: Maven) -> None:
    maven.add("g:a:1", dep("g:b:1", optional=True), "g:c:1")
    maven.add("g:c:1", dep("g:d:1", optional=True))
    maven.leaves("g:b:1", "g:d:1")
    assert maven.lines("g:a:1") == ["c:1:compile"]
    found = maven.resolve("g:a:1", include_optional=True)
    assert lines(found) == ["b:1:compile", "c:1:compile"]
    assert [node.optional for node in found.nodes] == [False, True, False]


# --- management --------------------------------------------------------------------------------------


def test_management_of_a_dependency__does_not_reach_what_its_dependencies_require(maven: Maven) -> None:
    maven.add("g:a:1", "g:b:1", managed=["g:x:9"])
    maven.add("g:b:1", "g:x:1")
    maven.leaves("g:x:1", "g:x:9")
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
    maven.leaves("g:x:9", "g:y:1", "g:z:9", "g:ex:1", "g:o:1", "g:y:9")
    root = RootFile("g:top", "1", "top-1.jar", "a" * 64, 10)
    found = maven.resolve(root=root)
    assert lines(found) == ["b:1:compile", "o:1:compile", "x:9:runtime", "y:1:compile", "z:9:provided"]
    assert {node.name for node in found.nodes if node.optional} == {"g:o"}


def test_bom_and_parent__give_versions(maven: Maven) -> None:
    maven.add("g:bom:1", managed=["g:x:${x}"], extra="<properties><x>4</x></properties>", packaging="pom")
    maven.add("g:up:1", managed=["g:y:5:runtime"], packaging="pom")
    maven.add("g:a:1", "g:x:", "g:y:", managed=["g:bom:1:import:pom"], parent="g:up:1")
    maven.leaves("g:x:4", "g:y:5")
    found = maven.resolve("g:a:1")
    assert lines(found) == ["x:4:compile", "y:5:runtime"]
    assert {each.filename for each in found.documents} == {
        "a-1.pom", "up-1.pom", "bom-1.pom", "x-4.pom", "y-5.pom"
    }  # fmt: skip
