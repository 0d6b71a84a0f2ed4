"""Packages that bring an npm-shrinkwrap.json: small registries and the trees that npm makes of them. Each is
given to npm's own resolver too, where it is here."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from shared.errors import ResolutionConflict
from tests.shared.protocols.npm.resolver.inner_support import generated_locks, locked, locked_1, needs
from tests.shared.protocols.npm.resolver.npm_beside import Case, beside_npm, generated, npm_is_there
from tests.shared.protocols.npm.resolver.resolution_support import Table, resolve, tree

B: dict[str, dict[str, Any]] = {"1.0.0": needs(c="^1"), "1.1.0": {}, "2.0.0": {}}
C: dict[str, dict[str, Any]] = {"1.0.0": {}, "1.1.0": {}, "2.0.0": {}}


def a(inner: Any, **more: Any) -> dict[str, dict[str, Any]]:
    return {"1.0.0": {**needs(b="^1"), "npm-shrinkwrap": inner, **more}}


TWO = {"b": ("1.0.0", needs(c="^1")), "c": ("1.0.0", {})}
CASES: dict[str, tuple[Table, dict[str, str], dict[str, str]]] = {
    "as the file says, not the newest": (
        {"a": a(locked(TWO)), "b": B, "c": C},
        {"a": "*"},
        {"a": "a@1.0.0", "a/b": "b@1.0.0", "a/c": "c@1.0.0"},
    ),
    "lockfileVersion 1": (
        {"a": a(locked_1(TWO)), "b": B, "c": C},
        {"a": "*"},
        {"a": "a@1.0.0", "a/b": "b@1.0.0", "a/c": "c@1.0.0"},
    ),
    "lockfileVersion 1, nested": (
        {"a": a(locked_1({"b": ("1.0.0", needs(c="^1")), "b/c": ("1.0.0", {})})), "b": B, "c": C},
        {"a": "*"},
        {"a": "a@1.0.0", "a/b": "b@1.0.0", "a/b/c": "c@1.0.0"},
    ),
    "lockfileVersion 2": (
        {"a": a({**locked_1(TWO), **locked(TWO), "lockfileVersion": 2}), "b": B, "c": C},
        {"a": "*"},
        {"a": "a@1.0.0", "a/b": "b@1.0.0", "a/c": "c@1.0.0"},
    ),
    "nothing is hoisted out, nor taken from above": (
        {"a": a(locked(TWO)), "b": B, "c": C},
        {"a": "*", "b": "1.0.0", "c": "1.0.0"},
        {"a": "a@1.0.0", "b": "b@1.0.0", "c": "c@1.0.0", "a/b": "b@1.0.0", "a/c": "c@1.0.0"},
    ),
    "a version that its range would not take": (
        {"a": a(locked({"b": ("2.0.0", {})})), "b": B, "c": C},
        {"a": "*"},
        {"a": "a@1.0.0", "a/b": "b@2.0.0"},
    ),
    "what the file lacks is placed as usual": (
        {"a": a(locked({}), dependencies={"b": "1.0.0", "c": "^1"}), "b": B, "c": C},
        {"a": "*"},
        {"a": "a@1.0.0", "b": "b@1.0.0", "c": "c@1.1.0"},
    ),
    "what an entry lacks is not placed": (
        {"a": a(locked({"b": ("1.0.0", needs(c="^1"))})), "b": B, "c": C},
        {"a": "*"},
        {"a": "a@1.0.0", "a/b": "b@1.0.0"},
    ),
    "what nobody depends on": (
        {"a": a(locked({"b": ("1.1.0", {}), "c": ("1.0.0", {})})), "b": B, "c": C},
        {"a": "*"},
        {"a": "a@1.0.0", "a/b": "b@1.1.0"},
    ),
    "an alias and a scope": (
        {
            "a": a(locked({"b": ("1.1.0", {"name": "@s/b"})}), dependencies={"b": "npm:@s/b@1"}),
            "@s/b": B, "c": C,
        },
        {"a": "*"},
        {"a": "a@1.0.0", "a/b": "@s/b@1.1.0"},
    ),
    "the package below another": (
        {"x": {"1.0.0": needs(a="*")}, "a": a(locked(TWO)), "b": B, "c": C},
        {"x": "*"},
        {"x": "x@1.0.0", "a": "a@1.0.0", "a/b": "b@1.0.0", "a/c": "c@1.0.0"},
    ),
    "optional, for another system": (
        {
            "a": a(
                locked(
                    {
                        "b": ("1.0.0", {"optionalDependencies": {"c": "*"}}),
                        "c": ("1.0.0", {"os": ["win32"]}),
                    }
                ),
            ),
            "b": B, "c": C,
        },
        {"a": "*"},
        {"a": "a@1.0.0", "a/b": "b@1.0.0", "a/c": "c@1.0.0"},
    ),
    "no entries at all": (
        {"a": a({"lockfileVersion": 3}), "b": B, "c": C}, {"a": "*"}, {"a": "a@1.0.0", "b": "b@1.1.0"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_own_lock__of_each_case__tree_as_npm_would_build_it(case: str) -> None:
    table, dependencies, expected = CASES[case]
    found = resolve(table, *(f"{name}@{wanted}" for name, wanted in dependencies.items()))
    assert tree(found) == expected
    assert found.unresolved == ()


def test_own_lock__rules_of_the_project_do_not_reach_into_it() -> None:
    table, _, expected = CASES["as the file says, not the newest"]
    found = resolve(table, "a@*", overrides={"c": "2.0.0"})
    assert tree(found) == expected


@pytest.mark.timeout(300)
@pytest.mark.skipif(not npm_is_there(), reason="node or npm's own resolver is not here")
def test_own_locks__tables_and_generated_ones__as_npm_resolves_them(tmp_path: Path) -> None:
    chance = random.Random(7)
    cases: list[Case] = [(table, dependencies, {}) for table, dependencies, _ in CASES.values()]
    cases.append((*CASES["as the file says, not the newest"][:2], {"c": "2.0.0"}))
    for _ in range(15):
        table, dependencies = generated(chance)
        cases.append((generated_locks(chance, table), dependencies, {}))
    found = beside_npm(cases, tmp_path)
    assert found.differing == []
    assert found.conflicts < found.finite / 2
    assert found.finite > 25


FAULTS: dict[str, tuple[Any, str]] = {
    "no JSON": (b"{", "npm-shrinkwrap.json: it is no JSON object"),
    "nested without end": (b"[" * 100_000, "it is no JSON object"),
    "no object": ([], "it is no JSON object"),
    "packages is a list": ({"packages": []}, "packages or dependencies is no object"),
    "a path out of it": ({"packages": {"node_modules/../../b": {}}}, "no package has this name"),
    "outside node_modules": ({"packages": {"b": {"version": "1.0.0"}}}, "it lies outside node_modules"),
    "a link": ({"packages": {"node_modules/b": {"link": True, "resolved": "b"}}}, "node_modules/b: a link"),
    "in a folder that is not there": (
        {"packages": {"node_modules/x/node_modules/b": {"version": "1.0.0"}}}, "has no entry",
    ),
    "an entry is no object": ({"packages": {"node_modules/b": 1}}, "node_modules/b: it is no object"),
    "integrity is a number": (
        {"packages": {"node_modules/b": {"version": "1.0.0", "integrity": 1}}}, "integrity is no text",
    ),
    "a name that is none": (
        {"packages": {"node_modules/b": {"version": "1.0.0", "name": "../x"}}}, "no package has the name",
    ),
    "thousands of entries": (
        {"packages": {f"node_modules/b{n}": {"version": "1.0.0"} for n in range(5001)}},
        "more than 5000 entries",
    ),
    "lockfileVersion 1, a path": ({"dependencies": {"../b": {"version": "1"}}}, "no package has this name"),
    "other bytes": (
        locked({"b": ("1.0.0", {"integrity": "sha512-AAAA"})}),
        "its integrity is not that of b 1.0.0",
    ),
    "a version that is not there": (locked({"b": ("1.9.0", {})}), "there is no b 1.9.0"),
    "a package that is not there": (
        locked({"b": ("1.1.0", needs(gone="*")), "gone": ("1.0.0", {})}), "no source knows this project",
    ),
    "from git": (
        locked({"b": ("1.0.0", {"resolved": "git+ssh://git@git.example.com/b.git#0"})}),
        "comes from an address",
    ),
    "from elsewhere, unverified": (
        locked({"b": ("1.0.0", {"resolved": "https://example.com/x.tgz", "integrity": ""})}),
        "comes from an address",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_damaged_or_lying_lock__told_with_package_and_version(case: str) -> None:
    inner, told = FAULTS[case]
    with pytest.raises(ResolutionConflict) as caught:
        resolve({"a": a(inner), "b": B, "c": C}, "a@*")
    assert "npm-shrinkwrap.json of a 1.0.0" in caught.value.message
    assert told in caught.value.message


def test_damaged_lock_of_an_optional_package__it_is_left_out() -> None:
    table = {"x": {"1.0.0": {"optionalDependencies": {"a": "*"}}}, "a": a(b"{"), "b": B, "c": C}
    found = resolve(table, "x")
    assert tree(found) == {"x": "x@1.0.0"}
    assert [(each.name, each.wanted_by) for each in found.unresolved] == [("a", "pkg:npm/x@1.0.0")]


def test_wrong_entry_that_nobody_depends_on__does_not_count() -> None:
    inner = locked({"b": ("1.1.0", {}), "gone": ("1.0.0", {"dev": True})})
    assert tree(resolve({"a": a(inner), "b": B}, "a")) == {"a": "a@1.0.0", "a/b": "b@1.1.0"}


def test_integrity_of_an_older_algorithm__compared_with_the_shasum() -> None:
    shasum = "a9993e364706816aba3e25717850c26c9cd0d89d"
    address = "https://registry.example.com/b/-/b-1.0.0.tgz"
    page = {"1.0.0": {"dist": {"tarball": address, "integrity": "sha512-AAAA", "shasum": shasum}}}
    right = locked({"b": ("1.0.0", {"integrity": "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0="})})
    (node,) = [each for each in resolve({"a": a(right), "b": page}, "a").nodes if each.name == "b"]
    assert node.entries == {
        "node_modules/a/node_modules/b": {"integrity": "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0="}
    }
    wrong = locked({"b": ("1.0.0", {"integrity": "sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAA="})})
    with pytest.raises(ResolutionConflict, match="its integrity is not that of b"):
        resolve({"a": a(wrong), "b": page}, "a")


def test_thousands_of_entries_each_needing_the_next__resolved() -> None:
    names = [f"b{number}" for number in range(1500)]
    places = {name: ("1.0.0", needs(**{after: "*"})) for name, after in pairwise([*names, "b0"])}
    bundling = {**needs(b0="*"), "bundleDependencies": ["b0"], "npm-shrinkwrap": locked(places)}
    plain = {**needs(b0="*"), "npm-shrinkwrap": locked(places)}
    table = {"a": {"1.0.0": plain, "2.0.0": bundling}, **{name: {"1.0.0": {}} for name in names}}
    assert len(resolve(table, "a@1.0.0", max_depth=200).nodes) == 201
    assert sum(not each.filename for each in resolve(table, "a@2.0.0", max_depth=200).nodes) == 200


def test_bundled_entry__marked_and_not_fetched() -> None:
    inner = locked({"b": ("1.0.0", {"inBundle": True}), "c": ("1.0.0", {})})
    table = {"a": a(inner, bundleDependencies=["b"], dependencies={"b": "*", "c": "*"}), "b": B, "c": C}
    nodes = {each.name: each for each in resolve(table, "a").nodes}
    assert nodes["b"].filename == ""
    assert nodes["b"].entries["node_modules/a/node_modules/b"]["inBundle"] is True
    assert nodes["c"].filename == "c-1.0.0.tgz"
