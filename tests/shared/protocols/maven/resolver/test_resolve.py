"""Requests for Maven graphs, the shape of their answers, and the bounds that hold."""

from __future__ import annotations

import contextlib

import pytest

from shared.errors import (
    InvalidParameter,
    NotResolvable,
    ResolutionConflict,
    ResolutionTooLarge,
)
from shared.models import SealedFile
from shared.protocols.resolution import Document, KnownDocuments, RootFile
from tests.shared.protocols.maven.resolver.resolution_support import RESOLVER, Maven, dep, line, lines


@pytest.fixture
def maven() -> Maven:
    return Maven()


# --- the request -------------------------------------------------------------------------------------


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


# --- the result --------------------------------------------------------------------------------------


def test_result__edges_cycles_files_and_documents(maven: Maven) -> None:
    maven.add("g:a:1", "g:b:1")
    maven.add("g:b:1", "g:a:2", "g:c:1")
    maven.leaves("g:c:1", "g:a:2")
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
    assert [each.filename for each in found.documents] == ["a-1.pom", "a-2.pom", "b-1.pom", "c-1.pom"]


@pytest.mark.parametrize("version", ["[1,)", "LATEST", "1", "1-SNAPSHOT"])
def test_ids_that_make_no_path__never_asked_for(maven: Maven, version: str) -> None:
    maven.add("g:a:1", f"g:..:{version}", f"g..h:b:{version}", f".:b:{version}")
    with contextlib.suppress(ResolutionConflict):
        maven.resolve("g:a:1")
    assert {each.project for each in maven.asked if each.kind != "stored"} == {"g:a"}


def test_max_depth__truncates(maven: Maven) -> None:
    for number in range(5):
        maven.add(f"g:n{number}:1", f"g:n{number + 1}:1")
    maven.leaves("g:n5:1")
    found = maven.resolve("g:n0:1", max_depth=2)
    assert found.truncated and [node.name for node in found.nodes] == ["g:n0", "g:n1", "g:n2"]


def test_same_documents__same_answer(maven: Maven) -> None:
    maven.add("g:a:1", *(f"g:n{number}:1" for number in range(20)))
    for number in range(20):
        maven.add(f"g:n{number}:1", f"g:n{(number * 7 + 1) % 20}:1", f"g:m:{number}")
        maven.leaves(f"g:m:{number}")
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
    maven.leaves("g:y:1", "g:o:1")
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
    maven.leaves("g:x:1", "g:x:9", "g:o:1")
    added = "plexus-utils:1.1:runtime"
    assert maven.lines("g:p:maven-plugin:1") == ["b:1:compile", "o:1:compile", added, "x:9:compile"]
    assert maven.lines("g:p:1") == ["b:1:compile", "x:1:compile"]


def test_plugin_with_plexus_utils__none_is_added__latest_looked_up(maven: Maven) -> None:
    maven.publish("g:p", "1", "2")
    maven.add("g:p:2", "org.codehaus.plexus:plexus-utils:4.0.1", packaging="maven-plugin")
    maven.leaves("org.codehaus.plexus:plexus-utils:4.0.1")
    found = maven.resolve("g:p:maven-plugin:LATEST")
    assert [line(node) for node in found.nodes] == ["p:2:compile", "plexus-utils:4.0.1:compile"]


# --- bounds ------------------------------------------------------------------------------------------


def test_deep_chain__ends(maven: Maven) -> None:
    for number in range(400):
        maven.add(f"g:n{number}:1", f"g:n{number + 1}:1")
    maven.leaves("g:n400:1")
    assert len(maven.resolve("g:n0:1", max_depth=200).nodes) == 201


def test_diamonds__shared_not_multiplied(maven: Maven) -> None:
    """2^40 ways from top to bottom."""
    for number in range(40):
        for side in "ab":
            maven.add(f"g:{side}{number}:1", f"g:a{number + 1}:1", f"g:b{number + 1}:1")
    maven.leaves("g:a40:1", "g:b40:1")
    assert len(maven.resolve("g:a0:1").nodes) == 81


def test_exclusions_that_multiply_the_graph__too_large(maven: Maven, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way down excludes something else, so that nothing can be shared."""
    monkeypatch.setattr("shared.protocols.maven.resolver.collect.MAX_GRAPH", 2000)
    for number in range(30):
        dependencies = [dep(f"g:n{number + 1}:1:compile:jar:{side}", f"x:{number}{side}") for side in "ab"]
        maven.add(f"g:n{number}:1", *dependencies)
    maven.leaves("g:n30:1")
    with pytest.raises(ResolutionTooLarge):
        maven.resolve("g:n0:1")


def test_wide_cycle__all_depend_on_all(maven: Maven) -> None:
    names = [f"n{number}" for number in range(40)]
    for name in names:
        maven.add(f"g:{name}:1", *(f"g:{other}:1" for other in names))
    found = maven.resolve("g:n0:1")
    assert len(found.nodes) == 40
    assert [len(cycle) for cycle in found.cycles] == [40]


def test_told_to_give_up__too_large(maven: Maven) -> None:
    maven.add("g:a:1", *(f"g:n{number}:1" for number in range(400)))
    maven.leaves(*(f"g:n{number}:1" for number in range(400)))
    request = RESOLVER.request(requirements=("g:a:1",))
    known = KnownDocuments()
    document = Document("metadata", "g:a", "1", "a-1.pom")
    known.documents[document] = maven.answer(document)
    with pytest.raises(ResolutionTooLarge):
        RESOLVER.resolve(request, None, known, give_up=lambda: True)
