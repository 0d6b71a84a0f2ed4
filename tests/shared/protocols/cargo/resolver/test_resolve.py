"""A resolution of Cargo as others see it: requests, nodes, steps, what is missing, artifacts, bounds."""

from __future__ import annotations

import itertools
import random
from typing import Any

import msgspec
import pytest

from bench.resolution_oracle_cargo_random import Made
from shared.errors import (
    Blocked,
    InvalidParameter,
    NotResolvable,
    OrchardError,
    ProjectNotFound,
    ResolutionConflict,
    ResolutionTooLarge,
)
from shared.models import SealedFile
from shared.policy.policy import Policy
from shared.policy.rules import Block
from shared.protocols.cargo.index import read_index_file, without_blocked
from shared.protocols.cargo.resolver.learned import Learned
from shared.protocols.resolution import (
    Absent,
    Document,
    KnownDocuments,
    NeededDocuments,
    Resolution,
    RootFile,
    Unavailable,
)
from tests.shared.protocols.cargo.resolver.cases import CASES, PLAIN, Table, deps
from tests.shared.protocols.cargo.resolver.resolution_support import (
    RESOLVER,
    index_file,
    locked,
    page,
    resolve,
)

SMALL: Table = {
    "a": {"1.0.0": deps("b ^1", "Cc ^2 [x] build")},
    "b": {"1.0.0": PLAIN, "1.1.0": deps("d-d ^0.1")},
    "Cc": {"2.0.0+meta": {"features": {"default": ["x"], "x": [], "y": []}}},
    "d-d": {"0.1.7": PLAIN},
}


# --- requests -----------------------------------------------------------------------------------------


def test_request__one_spelling_whatever_the_order() -> None:
    one = RESOLVER.request(
        requirements=("serde", " tokio@1.0 --features net,rt", "c@>=1 , <2 -F b -F a --no-default-features")
    )
    other = RESOLVER.request(
        requirements=(
            "c@>=1, <2 --no-default-features --features=a,b",
            "tokio@^1.0 --features rt net",
            "serde@*",
        )
    )
    assert one.requirements == (
        "c@>=1, <2 --no-default-features --features a,b",
        "serde@*",
        "tokio@^1.0 --features net,rt",
    )
    assert one.key == other.key
    assert one.environment == "any"
    assert one.key != RESOLVER.request(requirements=one.requirements, environment="rust-1.80").key
    assert RESOLVER.request(requirements=one.requirements).requirements == one.requirements


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"requirements": ("",)}, "requirements"),
        ({"requirements": ("1a",)}, "requirements"),
        ({"requirements": ("../x",)}, "requirements"),
        ({"requirements": ("a@git",)}, "requirements"),
        ({"requirements": ("a@1 2",)}, "requirements"),
        ({"requirements": ("a@1 --locked",)}, "--locked"),
        ({"requirements": ("a --features",)}, "--features"),
        ({"requirements": ("a --features b/c",)}, "feature"),
        ({"requirements": ("a --features ../x",)}, "feature"),
        ({"requirements": ("a --features x!",)}, "feature"),
        ({"requirements": ("a --no-default-features x",)}, "--no-default-features"),
        ({"requirements": ("a@1", "A@2")}, "asked for twice"),
        ({"requirements": ("a@" + "1" * 3000,)}, "longer"),
        ({"requirements": ("a",), "environment": "cp311"}, "rust-1.85"),
        ({"requirements": ("a",), "environment": "rust-nightly"}, "environment"),
        ({"requirements": ("a",), "environment": "rust-1.85-beta"}, "environment"),
        ({"requirements": ("a",), "max_depth": 0}, "max_depth"),
        ({"requirements": ("a",), "as_of": "yesterday"}, "as_of"),
        ({"requirements": tuple(f"a{n}" for n in range(1001))}, "at most 1000"),
    ],
)
def test_bad_request__names_the_parameter(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidParameter, match=named):
        RESOLVER.request(**options)


# --- the graph ------------------------------------------------------------------------------------------


def test_graph__nodes_with_their_files_edges_with_their_requirements() -> None:
    found = resolve(SMALL, "a@1")
    assert [(node.name, node.version, node.depth, node.extras) for node in found.nodes] == [
        ("a", "1.0.0", 0, ()),
        ("b", "1.1.0", 1, ()),
        ("cc", "2.0.0+meta", 1, ("default", "x")),
        ("d-d", "0.1.7", 2, ()),
    ]
    cc = found.nodes[2]
    assert cc.purl == "pkg:cargo/Cc@2.0.0%2Bmeta"
    assert (cc.filename, cc.file_id) == ("cc-2.0.0+meta.crate", "2.0.0+meta")
    assert len(cc.sha256) == 64
    assert [(edge.source, edge.target, edge.requirement, edge.kind) for edge in found.edges] == [
        ("", "pkg:cargo/a@1.0.0", "^1", ""),
        ("pkg:cargo/a@1.0.0", "pkg:cargo/Cc@2.0.0%2Bmeta", "^2", "build"),
        ("pkg:cargo/a@1.0.0", "pkg:cargo/b@1.1.0", "^1", ""),
        ("pkg:cargo/b@1.1.0", "pkg:cargo/d-d@0.1.7", "^0.1", ""),
    ]
    assert found.complete
    assert not found.truncated
    assert not found.unresolved


def test_depth__leaves_out_what_is_further() -> None:
    found = resolve(SMALL, "a@1", max_depth=1)
    assert locked(found) == ["Cc 2.0.0+meta", "a 1.0.0", "b 1.1.0"]
    assert found.truncated
    assert all("d-d" not in edge.target for edge in found.edges)


def test_size__is_told_of_stored_files() -> None:
    stored = SealedFile("a-1.0.0.crate", "1.0.0", "e" * 64, 123)
    index = RESOLVER.with_sealed(page("a", {"1.0.0": PLAIN}), {("1.0.0", "a-1.0.0.crate"): stored})
    known = KnownDocuments()
    known.documents[Document("index", "a")] = index
    (node,) = resolve({}, "a", known=known).nodes
    assert node.size_bytes == 123


def test_include_optional__takes_all_features_of_the_roots_alone() -> None:
    table: Table = {
        "a": {"1.0.0": {"deps": ["b ^1 optional", "c ^1"], "features2": {"x": ["dep:b"]}}},
        "b": {"1.0.0": PLAIN},
        "c": {"1.0.0": deps("d ^1 optional")},
        "d": {"1.0.0": PLAIN},
    }
    assert locked(resolve(table, "a")) == ["a 1.0.0", "c 1.0.0"]
    assert locked(resolve(table, "a", include_optional=True)) == ["a 1.0.0", "b 1.0.0", "c 1.0.0"]


@pytest.mark.parametrize(
    ("value", "enabled"),
    [("b/f", ("b", "x")), ("b?/f", ("x",)), ("c/f", ("x",)), ("dep:b", ("x",))],
)
def test_feature_of_a_dependency__enables_the_feature_of_its_name_only_where_that_turns_it_on(
    value: str, enabled: tuple[str, ...]
) -> None:
    """The Cargo Book, "Features": `name/feature` enables an optional dependency, `name?/feature` does not."""
    table: Table = {
        "a": {
            "1.0.0": {
                "deps": ["b ^1 optional", "c ^1"],
                "features": {"b": ["dep:b"], "c": [], "x": [value]},
            }
        },
        "b": {"1.0.0": {"features": {"f": []}}},
        "c": {"1.0.0": {"features": {"f": []}}},
    }
    assert resolve(table, "a --features x").nodes[0].extras == enabled


@pytest.mark.parametrize(
    ("features", "why"),
    [
        ({"b": [], "x": ["dep:b"]}, "no optional dependency"),
        ({"x": ["b?/f"]}, "no optional dependency"),
        ({"x": ["b/f/g"]}, "several slashes"),
        ({"-ü": []}, "no feature's name"),
        ({"ü!": []}, "no feature's name"),
        ({"a!": []}, "no feature's name"),
        ({"ü-+.ß": []}, ""),
        ({"_a-+.9": []}, ""),
    ],
)
def test_feature_table_that_cargo_refuses__makes_the_version_no_candidate(
    features: dict[str, list[str]], why: str
) -> None:
    table: Table = {"a": {"1.0.0": {"deps": ["b ^1"], "features": features}}, "b": {"1.0.0": PLAIN}}
    if not why:
        assert locked(resolve(table, "a")) == ["a 1.0.0", "b 1.0.0"]
        return
    with pytest.raises(ResolutionConflict, match=why):
        resolve(table, "a")


def test_order__what_has_the_fewest_candidates_is_fulfilled_next_whoever_wants_it() -> None:
    """`d` has two candidates and `aa` three: `d` takes its best one, and `aa` has to fit."""
    table: Table = {
        "zz": {"1.0.0": deps("d ^1"), "1.1.0": deps("d ^1")},
        "aa": {"1.0.0": PLAIN, "1.1.0": PLAIN, "1.2.0": deps("d =1.0.0")},
        "d": {"1.0.0": PLAIN, "1.1.0": PLAIN},
    }
    assert locked(resolve(table, "aa", "zz")) == ["aa 1.1.0", "d 1.1.0", "zz 1.1.0"]


def test_as_of__leaves_out_what_was_published_later() -> None:
    table: Table = {
        "a": {
            "1.0.0": PLAIN,
            "1.1.0": {"pubtime": "2024-01-01T00:00:00Z"},
            "1.2.0": {"pubtime": "2024-03-01T00:00:00Z"},
        }
    }
    assert locked(resolve(table, "a", as_of="2024-02-01")) == ["a 1.1.0"]
    assert locked(resolve(table, "a", as_of="2023-02-01")) == ["a 1.0.0"]
    assert locked(resolve(table, "a")) == ["a 1.2.0"]


def test_environment__of_a_rust_version_prefers_what_it_builds() -> None:
    table: Table = {"a": {"1.0.0": {"rust_version": "1.60"}, "1.1.0": {"rust_version": "1.80"}}}
    assert locked(resolve(table, "a")) == ["a 1.1.0"]
    assert locked(resolve(table, "a", environment="rust-1.70")) == ["a 1.0.0"]
    assert locked(resolve(table, "a", environment="rust-1.80.0")) == ["a 1.1.0"]
    assert locked(resolve(table, "a@1.1", environment="rust-1.70")) == ["a 1.1.0"]


# --- steps ----------------------------------------------------------------------------------------------


def test_steps__ask_for_one_level_after_another() -> None:
    request = RESOLVER.request(requirements=("a",))
    known = KnownDocuments()
    asked = []
    while isinstance(outcome := RESOLVER.resolve(request, None, known), NeededDocuments):
        asked.append([document.project for document in outcome.documents])
        for document in outcome.documents:
            spelled = next(name for name in SMALL if name.lower() == document.project)
            known.documents[document] = page(spelled, SMALL[spelled])
    assert asked == [["a"], ["b", "cc"], ["d-d"]]


@pytest.mark.parametrize("seed", range(90_000, 90_020))
def test_answer__is_the_same_whatever_order_documents_come_in(seed: int) -> None:
    made = Made(seed)

    def run(known: KnownDocuments, shuffled: random.Random | None) -> bytes | str:
        request = RESOLVER.request(requirements=tuple(made.requirements))
        try:
            while isinstance(outcome := RESOLVER.resolve(request, None, known), NeededDocuments):
                wanted = list(outcome.documents)
                if shuffled is not None:  # one at a time, and not the first
                    wanted = [shuffled.choice(wanted)]
                for document in wanted:
                    known.documents[document] = prepared(document.project)
        except OrchardError as error:
            return f"{type(error).__name__}: {error}"
        return msgspec.json.encode(outcome)

    def prepared(project: str) -> Any:
        return RESOLVER.prepare_index(read_index_file(project, made.files[project]).body)

    together = run(KnownDocuments(), None)
    assert run(KnownDocuments(), random.Random(seed)) == together
    everything = KnownDocuments()
    everything.documents.update({Document("index", project): prepared(project) for project in made.files})
    assert run(everything, None) == together


# --- what is missing ------------------------------------------------------------------------------------


def test_root_that_no_source_knows__is_not_found_and_a_blocked_one_is_blocked() -> None:
    with pytest.raises(ProjectNotFound, match="cargo: nowhere"):
        resolve({}, "nowhere")
    known = KnownDocuments()
    known.documents[Document("index", "a")] = Absent("it is malware", blocked=True)
    with pytest.raises(Blocked, match="malware"):
        resolve({}, "a", known=known)


def test_crate_that_cannot_be_had_now__makes_the_answer_incomplete() -> None:
    known = KnownDocuments()
    known.documents[Document("index", "b")] = Unavailable("the upstream is down")
    found = resolve(SMALL, "a", known=known)
    assert not found.complete
    assert locked(found) == ["Cc 2.0.0+meta", "a 1.0.0"]
    (lacking,) = found.unresolved
    assert (lacking.name, lacking.reason, lacking.passing) == ("b", "the upstream is down", True)
    assert lacking.wanted_by == "pkg:cargo/a@1.0.0"


def test_dependency_of_another_registry__is_not_followed_and_said_so() -> None:
    elsewhere = {"name": "b", "req": "^1", "registry": "https://other.example.com/index"}
    found = resolve({"a": {"1.0.0": deps(elsewhere, "c ^1")}, "c": {"1.0.0": PLAIN}}, "a")
    assert locked(found) == ["a 1.0.0", "c 1.0.0"]
    (lacking,) = found.unresolved
    assert "another registry (https://other.example.com/index)" in lacking.reason
    assert not lacking.passing
    assert found.complete


def test_optional_dependency_of_another_registry__matters_only_when_it_is_on() -> None:
    elsewhere = {"name": "b", "req": "^1", "registry": "https://other.example.com/index", "optional": True}
    table: Table = {"a": {"1.0.0": deps(elsewhere)}}
    assert resolve(table, "a").unresolved == ()
    assert len(resolve(table, "a --features b").unresolved) == 1


def test_blocked_version__is_no_candidate() -> None:
    blocked = Policy([Block(1, "why", "cargo", "a", "1.1.0")]).of("cargo", "a")
    body = without_blocked(index_file("a", {"1.0.0": PLAIN, "1.1.0": PLAIN}), blocked)
    known = KnownDocuments()
    known.documents[Document("index", "a")] = RESOLVER.prepare_index(body)
    assert locked(resolve({}, "a", known=known)) == ["a 1.0.0"]


# --- conflicts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("nothing fits", ["request -> b 1.0.0 -> c =1.1.0", "request -> a 1.0.0 -> c =1.0.0"]),
        ("only a yanked one fits", ["request -> a =1.1.0", "a: 1.1.0: it is yanked"]),
        ("only prereleases for a star", ["a: there are 1.0.0-rc.1"]),
        ("two must link one library", ["request -> b 1.0.0 -> y-sys ^1", "z-sys 1.0.0: it links z already"]),
        ("no version has the feature", ["it wants of a 1.0.0 what that lacks: it has no feature x"]),
        ("dep: hides the implicit feature", ["its optional dependency b is no feature"]),
        ("a required dependency is no feature", ["its dependency b is not optional"]),
        ("a cycle", ["cycle: a 1.0.0, b 1.0.0"]),
        ("a feature that names itself", ["feature x names itself"]),
        ("hyphens are no underscores", ["request -> x 1.0.0 -> a_b ^1", "a_b: no source knows this project"]),
    ],
)
def test_conflict__says_who_wants_what_and_by_which_chain(name: str, lines: list[str]) -> None:
    case = CASES[name]
    with pytest.raises(ResolutionConflict) as caught:
        resolve(case.table, *case.requirements)
    for line in lines:
        assert line in str(caught.value)


def test_conflict_far_below__is_explained_where_it_is() -> None:
    table: Table = {
        "a": {"1.0.0": deps("b ^1")},
        "b": {"1.0.0": deps("c ^1"), "1.1.0": deps("c ^1")},
        "c": {"1.0.0": deps("d ^9")},
        "d": {"1.0.0": PLAIN},
    }
    with pytest.raises(ResolutionConflict) as caught:
        resolve(table, "a")
    assert "request -> a 1.0.0 -> b 1.1.0 -> c 1.0.0 -> d ^9" in str(caught.value)
    assert "d: there are 1.0.0" in str(caught.value)


def test_conflict__names_the_spelling_that_the_registry_has() -> None:
    with pytest.raises(ResolutionConflict, match="the registry spells it Abc"):
        resolve({"Abc": {"1.0.0": PLAIN}}, "abc")


# --- artifacts ------------------------------------------------------------------------------------------


def root(filename: str, project: str = "a") -> RootFile:
    return RootFile(project, "1.0.0", filename, "f" * 64, 10)


def test_artifact__is_the_root_though_yanked_and_older() -> None:
    table: Table = {
        "a": {"1.0.0": {"deps": ["b ^1", "t ^1 dev"], "yanked": True}, "1.1.0": PLAIN},
        "b": {"1.0.0": PLAIN},
    }
    found = resolve(table, root=root("a-1.0.0.crate"))
    assert locked(found) == ["a 1.0.0", "b 1.0.0"]
    assert found.nodes[0].yanked
    assert found.edges[0].source == ""


@pytest.mark.parametrize(
    ("filename", "versions", "why"),
    [
        ("a-2.0.0.crate", {"1.0.0": PLAIN}, "has no such version"),
        ("a-1.0.0.crate", {"1.0.0": {"features": {"x": ["nowhere"]}}}, "no feature and no dependency"),
    ],
)
def test_artifact_that_the_index_cannot_tell_of__is_not_resolvable(
    filename: str, versions: dict[str, Any], why: str
) -> None:
    with pytest.raises(NotResolvable, match=why):
        resolve({"a": versions}, root=root(filename))


def test_artifact_without_its_index__is_not_resolvable() -> None:
    with pytest.raises(NotResolvable, match="no source knows"):
        resolve({}, root=root("a-1.0.0.crate"))


# --- bounds ---------------------------------------------------------------------------------------------


def hard(size: int) -> Table:
    """Nothing fits, which is found out by trying: chains of rivals with no common part."""
    table: Table = {"z": {f"1.{n}.0": PLAIN for n in range(size)}}
    for at in range(size):
        table[f"r{at}"] = {
            f"1.{n}.0": deps(f"z =1.{(n + at) % size}.0", f"s{at} ^1") for n in range(size) if n != at
        }
        table[f"s{at}"] = {f"1.{n}.0": PLAIN for n in range(size)}
    return table


def test_rounds__are_bounded_by_the_caller_s_clock() -> None:
    table = hard(9)
    wanted = tuple(f"r{at}" for at in range(9))
    known = KnownDocuments()
    for name, versions in table.items():
        known.documents[Document("index", name)] = page(name, versions)
    looks = itertools.count()
    with pytest.raises(ResolutionTooLarge, match="time"):
        RESOLVER.resolve(RESOLVER.request(requirements=wanted), None, known, give_up=lambda: next(looks) >= 1)


def test_rounds__are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.protocols.cargo.resolver.solver.MAX_ROUNDS", 20)
    with pytest.raises(ResolutionTooLarge, match="20 rounds"):
        resolve(hard(9), *(f"r{at}" for at in range(9)))


def test_nodes__are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.protocols.cargo.resolver.solver.MAX_NODES", 3)
    with pytest.raises(ResolutionTooLarge, match="3 nodes"):
        resolve(SMALL, "a")


def test_documents__are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.protocols.cargo.resolver.resolve.MAX_DOCUMENTS", 2)
    with pytest.raises(ResolutionTooLarge, match="2 documents"):
        resolve(SMALL, "a")


def test_long_chain__needs_no_recursion() -> None:
    table: Table = {f"c{n}": {"1.0.0": deps(f"c{n + 1} ^1")} for n in range(1500)}
    table["c1500"] = {"1.0.0": {"features": {f"f{n}": [f"f{n + 1}"] for n in range(3000)} | {"f3000": []}}}
    table["c1499"] = {"1.0.0": deps("c1500 ^1 [f0]")}
    known = KnownDocuments()
    for name, versions in table.items():
        known.documents[Document("index", name)] = page(name, versions)
    found = resolve(table, "c1400", known=known, max_depth=200)
    assert len(found.nodes) == 101
    assert len(found.nodes[-1].extras) == 3001


def test_prepare_index__of_an_empty_file_has_no_versions() -> None:
    known = KnownDocuments()
    known.documents[Document("index", "a")] = RESOLVER.prepare_index(b"")
    with pytest.raises(ResolutionConflict, match="it has no versions"):
        resolve({}, "a", known=known)


def test_learned_sets__do_not_change_what_is_found() -> None:
    """Every named case again, with a search that forgets: the order of the search alone decides."""

    class Forgetful(Learned):
        def add(self, dependency: Any, conflicts: Any) -> None:
            """Nothing is kept."""

    def answer(case: Any) -> list[str] | None:
        try:
            return locked(resolve(case.table, *case.requirements))
        except ResolutionConflict:
            return None

    told = {name: answer(case) for name, case in CASES.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.protocols.cargo.resolver.resolve.Learned", Forgetful)
        assert {name: answer(case) for name, case in CASES.items()} == told


def test_resolution__goes_through_json_and_back() -> None:
    found = resolve(SMALL, "a")
    assert isinstance(found, Resolution)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Resolution) == found
