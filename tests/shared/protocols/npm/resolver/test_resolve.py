"""A resolution of npm as others see it: requests, nodes, edges, what is missing, artifacts, bounds."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from shared.errors import InvalidParameter, NotResolvable, ProjectNotFound, ResolutionTooLarge
from shared.models import Dependency, Extraction, SealedFile
from shared.protocols.resolution import (
    Absent,
    Document,
    KnownDocuments,
    NeededDocuments,
    Resolution,
    RootFile,
    Unavailable,
)
from tests.shared.protocols.npm.resolver.resolution_support import ENVIRONMENT, RESOLVER, page, resolve, tree

SMALL: dict[str, dict[str, dict[str, Any]]] = {
    "a": {"1.0.0": {"dependencies": {"b": "^1", "@s/c": "*"}}},
    "b": {"1.0.0": {"optionalDependencies": {"d": "^1"}}, "1.1.0": {"dependencies": {"a": "*"}}},
    "@s/c": {"2.0.0": {"dependencies": {"b": "1.0.0"}}},
    "d": {"1.0.0": {"os": ["darwin"]}},
}


# --- requests -----------------------------------------------------------------------------------------


def test_request__one_spelling_whatever_the_order() -> None:
    one = RESOLVER.request(requirements=("express", " @s/b@ ^1   <2 ", "old@npm:new@^1"))
    other = RESOLVER.request(
        requirements=("old@npm:new@^1", "@s/b@^1 <2", "express@*", "express@"), include_optional=True
    )
    assert one.requirements == ("@s/b@^1 <2", "express@*", "old@npm:new@^1")
    assert one.key == other.key
    assert (one.environment, one.include_optional) == ("node22-linux-x64-glibc", False)
    assert one.key != RESOLVER.request(requirements=one.requirements, environment=ENVIRONMENT).key


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"requirements": ("",)}, "requirements"),
        ({"requirements": ("@scope",)}, "@scope"),
        ({"requirements": ("a b",)}, "requirements"),
        ({"requirements": ("a@git+https://git.example.com/a.git",)}, "address"),
        ({"requirements": ("someone/something",)}, "requirements"),
        ({"requirements": ("npm:a@1",)}, "requirements"),
        ({"requirements": ("a@^1", "a@^2")}, "a is asked for twice"),
        ({"requirements": ("a@" + "1" * 3000,)}, "longer"),
        ({"requirements": ("a",), "environment": "cp311"}, "node22-linux-x64-glibc"),
        ({"requirements": ("a",), "environment": "node22-linux-x64"}, "environment"),
        ({"requirements": ("a",), "environment": "node22-darwin-arm64-musl"}, "environment"),
        ({"requirements": ("a",), "environment": "node99-linux-x64-glibc"}, "environment"),
        ({"requirements": ("a",), "max_depth": 0}, "max_depth"),
        ({"requirements": ("a",), "as_of": "yesterday"}, "as_of"),
        ({"requirements": tuple(f"a{n}" for n in range(1001))}, "at most 1000"),
    ],
)
def test_bad_request__names_the_parameter(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidParameter, match=named):
        RESOLVER.request(**options)


# --- the graph ----------------------------------------------------------------------------------------


def test_graph__nodes_with_places_edges_with_requirements_cycles() -> None:
    found = resolve(SMALL, "a")
    by_purl = {node.purl: node for node in found.nodes}
    assert list(by_purl) == [
        "pkg:npm/a@1.0.0",
        "pkg:npm/%40s/c@2.0.0",
        "pkg:npm/b@1.1.0",
        "pkg:npm/b@1.0.0",
        "pkg:npm/d@1.0.0",
    ]
    nested = by_purl["pkg:npm/b@1.0.0"]
    assert nested.locations == ("node_modules/@s/c/node_modules/b",)
    assert (nested.name, nested.file_id, nested.filename) == ("b", "-", "b-1.0.0.tgz")
    assert nested.integrity == "sha512-b-1.0.0"
    assert by_purl["pkg:npm/%40s/c@2.0.0"].filename == "c-2.0.0.tgz"
    assert [node.depth for node in found.nodes] == [0, 1, 1, 2, 3]
    mac = by_purl["pkg:npm/d@1.0.0"]
    assert (mac.optional, mac.inert) == (True, True)
    assert not nested.optional
    assert not nested.inert
    assert [(e.source, e.target, e.requirement, e.kind) for e in found.edges] == [
        ("", "pkg:npm/a@1.0.0", "a@*", "prod"),
        ("pkg:npm/%40s/c@2.0.0", "pkg:npm/b@1.0.0", "b@1.0.0", "prod"),
        ("pkg:npm/a@1.0.0", "pkg:npm/%40s/c@2.0.0", "@s/c@*", "prod"),
        ("pkg:npm/a@1.0.0", "pkg:npm/b@1.1.0", "b@^1", "prod"),
        ("pkg:npm/b@1.0.0", "pkg:npm/d@1.0.0", "d@^1", "optional"),
        ("pkg:npm/b@1.1.0", "pkg:npm/a@1.0.0", "a@*", "prod"),
    ]
    assert found.cycles == (("pkg:npm/a@1.0.0", "pkg:npm/b@1.1.0"),)
    assert (found.complete, found.truncated, found.unresolved) == (True, False, ())


def test_max_depth__leaves_nodes_out_and_says_so() -> None:
    found = resolve(SMALL, "a", max_depth=1)
    assert found.truncated
    assert max(node.depth for node in found.nodes) == 1
    assert {edge.target for edge in found.edges} <= {node.purl for node in found.nodes}


def test_other_system__other_packages_are_inert() -> None:
    found = resolve(SMALL, "a", environment="node22-darwin-arm64")
    assert [node.inert for node in found.nodes if node.name == "d"] == [False]


def test_one_package_in_two_places__one_node() -> None:
    table: dict[str, dict[str, dict[str, Any]]] = {
        "a": {"1.0.0": {"dependencies": {"x": "^1"}}},
        "b": {"1.0.0": {"dependencies": {"x": "^1"}}},
        "x": {"1.0.0": {}, "2.0.0": {}},
    }
    found = resolve(table, "a", "b", "x@^2")
    (twice,) = [node for node in found.nodes if node.purl == "pkg:npm/x@1.0.0"]
    assert twice.locations == ("node_modules/a/node_modules/x", "node_modules/b/node_modules/x")


def test_answer__same_bytes_however_documents_arrive() -> None:
    whole = KnownDocuments()
    for name in reversed(list(SMALL)):
        whole.documents[Document("index", name)] = page(name, SMALL[name])
    assert msgspec.json.encode(resolve(SMALL, "a", known=whole)) == msgspec.json.encode(resolve(SMALL, "a"))


def test_as_of__picks_by_time() -> None:
    table: dict[str, dict[str, dict[str, Any]]] = {
        "a": {
            "1.0.0": {"published": "2020-01-01T00:00:00Z"},
            "1.1.0": {"published": "2022-01-01T00:00:00Z"},
        }
    }
    assert tree(resolve(table, "a", as_of="2021-01-01")) == {"a": "a@1.0.0"}


# --- what is missing ----------------------------------------------------------------------------------


def test_unknown_root__project_not_found_with_its_protocol() -> None:
    with pytest.raises(ProjectNotFound, match="npm: gone"):
        resolve(SMALL, "a", "gone")


def test_addresses__listed_as_unresolved() -> None:
    table: dict[str, dict[str, dict[str, Any]]] = {
        "a": {"1.0.0": {"dependencies": {"b": "someone/b", "c": "not a range at all"}}},
    }
    found = resolve(table, "a")
    assert [(each.name, each.wanted_by, each.requirement) for each in found.unresolved] == [
        ("b", "pkg:npm/a@1.0.0", "b@someone/b"),
        ("c", "pkg:npm/a@1.0.0", "c@not a range at all"),
    ]
    assert found.complete


def test_optional_that_cannot_be_had__unresolved_and_complete() -> None:
    found = resolve({"a": {"1.0.0": {"optionalDependencies": {"gone": "*"}}}}, "a")
    (missing,) = found.unresolved
    assert (missing.name, missing.passing) == ("gone", False)
    assert found.complete


@pytest.mark.parametrize("group", ["dependencies", "optionalDependencies", "peerDependencies"])
def test_document_away_for_a_passing_cause__incomplete(group: str) -> None:
    known = KnownDocuments()
    known.documents[Document("index", "away")] = Unavailable("upstream_unavailable: it does not answer")
    found = resolve({"a": {"1.0.0": {group: {"away": "^1"}}}}, "a", known=known)
    assert [(each.name, each.passing) for each in found.unresolved] == [("away", True)]
    assert not found.complete
    assert [node.name for node in found.nodes] == ["a"]


# --- artifacts ----------------------------------------------------------------------------------------

ROOT = RootFile("a", "-", "a-1.0.0.tgz", "f" * 64, 1234)


def test_artifact__that_version_is_the_root() -> None:
    table = {**SMALL, "a": {**SMALL["a"], "2.0.0": {}}}
    found = resolve(table, root=ROOT)
    assert found.nodes[0].purl == "pkg:npm/a@1.0.0"
    assert len(found.nodes) == 5  # b@1.1.0 asks for any "a", which the root is
    assert found.request.artifact == "f" * 64


def test_stored_tarballs__have_digest_and_size() -> None:
    known = KnownDocuments()
    sealed = {("-", "a-1.0.0.tgz"): SealedFile("a-1.0.0.tgz", "-", "e" * 64, 77)}
    known.documents[Document("index", "a")] = RESOLVER.with_sealed(page("a", SMALL["a"]), sealed)
    found = resolve(SMALL, "a", known=known)
    assert (found.nodes[0].sha256, found.nodes[0].size_bytes) == ("e" * 64, 77)
    assert (found.nodes[1].sha256, found.nodes[1].size_bytes) == ("", None)


def test_artifact__withdrawn_version__by_what_was_extracted() -> None:
    withdrawn = msgspec.structs.replace(ROOT, filename="a-0.9.0.tgz")
    request = RESOLVER.request(artifact="f" * 64, environment=ENVIRONMENT)
    known = KnownDocuments()
    known.documents[Document("index", "a")] = page("a", SMALL["a"])
    outcome = RESOLVER.resolve(request, withdrawn, known)
    document = Document("metadata", "a", "-", "a-0.9.0.tgz")
    assert outcome == NeededDocuments((document,))
    extraction = Extraction(
        sha256="f" * 64,
        state="extracted",
        name="a",
        version="0.9.0",
        dependencies=(
            Dependency(0, "@s/c@^2", "@s/c", "^2"),
            Dependency(1, "d@*", "d", "*", optional=True, kind="optional"),
            Dependency(2, "b@^1", "b", "^1", optional=True, kind="peer"),
        ),
    )
    known.documents[document] = RESOLVER.prepare_metadata(document, extraction)
    for name in ("@s/c", "b", "d"):
        known.documents[Document("index", name)] = page(name, SMALL[name])
    found = RESOLVER.resolve(request, withdrawn, known)
    assert isinstance(found, Resolution)
    assert tree(found) == {"a": "a@0.9.0", "@s/c": "@s/c@2.0.0", "b": "b@1.0.0", "d": "d@1.0.0"}


def test_artifact__of_which_nothing_can_be_told__not_resolvable() -> None:
    known = KnownDocuments()
    known.documents[Document("index", "a")] = Absent("no source knows this project")
    known.documents[Document("metadata", "a", "-", "a-1.0.0.tgz")] = Absent("package.json is no object")
    with pytest.raises(NotResolvable, match="is no object"):
        RESOLVER.resolve(RESOLVER.request(artifact="f" * 64), ROOT, known)


# --- bounds -------------------------------------------------------------------------------------------


def chain(length: int, **more: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Each package needs the next."""
    return {
        f"p{n}": {"1.0.0": {"dependencies": {f"p{n + 1}": "*"} if n + 1 < length else {}, **more}}
        for n in range(length)
    }


def test_deep_chain__resolved_within_its_depth() -> None:
    table = chain(150)
    found = resolve(table, "p0", max_depth=200)
    assert [node.depth for node in found.nodes] == list(range(150))
    assert resolve(table, "p0").truncated


@pytest.mark.parametrize(
    "bomb", ["wide", "peers in a chain", "peers all of each other", "endless pushing", "endless nesting"]
)
def test_bomb__typed_error_in_bounded_time(bomb: str) -> None:
    if bomb == "wide":
        leaves: dict[str, dict[str, dict[str, Any]]] = {f"p{n}": {"1.0.0": {}} for n in range(5100)}
        table: dict[str, dict[str, dict[str, Any]]] = {
            "a": {"1.0.0": {"dependencies": dict.fromkeys(leaves, "*")}},
            **leaves,
        }
    elif bomb == "peers in a chain":
        table = {
            f"p{n}": {"1.0.0": {"peerDependencies": {f"p{n + 1}": "*"} if n < 999 else {}}}
            for n in range(1000)
        }
        table["a"] = table["p0"]
    elif bomb == "peers all of each other":
        names = [f"p{n}" for n in range(14)]
        table = {
            name: {
                "1.0.0": {"peerDependencies": {each: "*" for each in names if each != name}},
                "2.0.0": {"peerDependencies": {each: "*" for each in names if each != name}},
            }
            for name in names
        }
        table["a"] = {"1.0.0": {"dependencies": dict.fromkeys(names, "*")}}
    elif bomb == "endless pushing":
        wary = {"peerDependencies": {"pushed": "^2"}, "peerDependenciesMeta": {"pushed": {"optional": True}}}
        table = {
            "a": {"1.0.0": {"dependencies": {"middle": "*"}}},
            "middle": {"1.0.0": {"dependencies": {"inner": "*"}}},
            "inner": {"1.0.0": {"peerDependencies": {"pushed": "^1"}}},
            "guard": {"1.0.0": wary},
            "pushed": {"1.0.0": {"optionalDependencies": {"guard": "^2"}}, "2.0.0": {}},
        }
    else:
        table = {
            "a": {f"{n}.0.0": {"dependencies": {"b": f"{n}.0.0"}} for n in range(60)},
            "b": {f"{n}.0.0": {"dependencies": {"a": f"{(n + 1) % 60}.0.0"}} for n in range(60)},
        }
        table = {name: {**versions, "tags": {"latest": "0.0.0"}} for name, versions in table.items()}
    known = KnownDocuments()
    for name, versions in table.items():
        known.documents[Document("index", name)] = page(name, versions)
    roots = ("a", "guard") if "guard" in table else ("a",)
    request = RESOLVER.request(requirements=roots, environment=ENVIRONMENT)
    started = time.monotonic()
    outcome: Any = None
    try:
        outcome = RESOLVER.resolve(request, None, known, give_up=lambda: time.monotonic() > started + 3)
    except ResolutionTooLarge as error:
        assert error.message
    assert time.monotonic() < started + 60
    if bomb != "endless nesting":  # links end that one
        assert outcome is None


def test_names__that_no_package_can_have__neither_asked_for_nor_placed() -> None:
    odd = ("../../up", "..", "@s/../x", "a/b/c", ".bin")
    table: dict[str, dict[str, dict[str, Any]]] = {
        "a": {"1.0.0": {"dependencies": dict.fromkeys(odd, "^1")}},
        "b": {"1.0.0": {"dependencies": dict.fromkeys(odd, "npm:c@1")}},
        "c": {"1.0.0": {}},
    }
    for root in ("a", "b"):
        known = KnownDocuments()
        found = resolve(table, root, known=known)
        assert {document.project for document in known.documents} <= {"a", "b", "c"}
        assert [node.locations for node in found.nodes] == [(f"node_modules/{root}",)]
        assert {each.name for each in found.unresolved} == set(odd)
