"""`overrides`: small registries, rules for them, and the trees that npm makes of both. Each table is given to
npm's own resolver too, where it is here."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from shared.protocols.npm.resolver.overrides import OverrideFault
from shared.protocols.npm.resolver.projects import project_of
from tests.shared.protocols.npm.resolver.npm_beside import (
    Case,
    beside_npm,
    generated,
    generated_overrides,
    npm_is_there,
)
from tests.shared.protocols.npm.resolver.resolution_support import Table, resolve, tree


def needs(**dependencies: str) -> dict[str, Any]:
    return {"dependencies": dependencies}


C: dict[str, dict[str, Any]] = {version: {} for version in ("1.0.0", "1.1.0", "2.0.0", "3.0.0")}
AB: Table = {"a": {"1.0.0": needs(c="^1")}, "b": {"1.0.0": needs(c="^2")}, "c": C}
DEEP: Table = {"a": {"1.0.0": needs(b="*", c="^1")}, "b": {"1.0.0": needs(c="^1")}, "c": C}

CASES: dict[str, tuple[Table, dict[str, str], dict[str, Any], dict[str, str]]] = {
    "by name, everywhere": (
        AB, {"a": "*", "b": "*"}, {"c": "3.0.0"}, {"a": "a@1.0.0", "b": "b@1.0.0", "c": "c@3.0.0"},
    ),
    "by name and range": (
        AB,
        {"a": "*", "b": "*"},
        {"c@^2": "3.0.0"},
        {"a": "a@1.0.0", "b": "b@1.0.0", "c": "c@1.1.0", "b/c": "c@3.0.0"},
    ),
    "below one package": (
        AB,
        {"a": "*", "b": "*"},
        {"b": {"c": "1.0.0"}},
        {"a": "a@1.0.0", "b": "b@1.0.0", "c": "c@1.1.0", "b/c": "c@1.0.0"},
    ),
    "below one package, at any depth": (
        {**DEEP, "a": {"1.0.0": needs(b="*")}},
        {"a": "*"},
        {"a": {"c": "2.0.0"}},
        {"a": "a@1.0.0", "b": "b@1.0.0", "c": "c@2.0.0"},
    ),
    "a package and what lies below it": (
        {"a": {"1.0.0": needs(b="1.0.0")}, "b": {"1.0.0": needs(c="^1"), "2.0.0": needs(c="^1")}, "c": C},
        {"a": "*"},
        {"b": {".": "2.0.0", "c": "3.0.0"}},
        {"a": "a@1.0.0", "b": "b@2.0.0", "c": "c@3.0.0"},
    ),
    "as the project asks": (
        {**AB, "c": C}, {"a": "*", "b": "*", "c": "^3"}, {"c": "$c"},
        {"a": "a@1.0.0", "b": "b@1.0.0", "c": "c@3.0.0"},
    ),
    "as the project asks for another": (
        {**AB, "d": {"2.0.0": {}}}, {"a": "*", "d": "2.0.0"}, {"c": "$d"},
        {"a": "a@1.0.0", "c": "c@2.0.0", "d": "d@2.0.0"},
    ),
    "another package in its place": (
        {**AB, "d": {"2.0.0": {}}}, {"a": "*"}, {"c": "npm:d@^2"}, {"a": "a@1.0.0", "c": "d@2.0.0"},
    ),
    "a version that no range would take": (
        {"a": {"1.0.0": needs(c="^1")}, "c": {"1.0.0": {}, "2.0.0-rc.1": {}}}, {"a": "*"},
        {"c": "2.0.0-rc.1"}, {"a": "a@1.0.0", "c": "c@2.0.0-rc.1"},
    ),
    "of rules for one name the first that fits": (
        AB, {"b": "*"}, {"c@>=2": "3.0.0", "c": "1.0.0"}, {"b": "b@1.0.0", "c": "c@3.0.0"},
    ),
    "the inner rule before the outer": (
        AB,
        {"a": "*", "b": "*"},
        {"c": "3.0.0", "b": {"c": "2.0.0"}},
        {"a": "a@1.0.0", "b": "b@1.0.0", "c": "c@3.0.0", "b/c": "c@2.0.0"},
    ),
    "a peer": (
        {"a": {"1.0.0": {"peerDependencies": {"c": "^1"}}}, "c": C}, {"a": "*", "c": "^2"}, {"c": "$c"},
        {"a": "a@1.0.0", "c": "c@2.0.0"},
    ),
    "a rule of a range without a value asks for the range": (
        {"a": {"1.0.0": needs(c=">=1")}, "c": C}, {"a": "*"}, {"c@^2": {"d": "1.0.0"}},
        {"a": "a@1.0.0", "c": "c@2.0.0"},
    ),
    "nothing that is there": (AB, {"a": "*"}, {"gone": "1"}, {"a": "a@1.0.0", "c": "c@1.1.0"}),
    "one package under two rules stays where the first put it": (
        {
            "x": {"1.0.0": needs(s="1.0.0")}, "y": {"1.0.0": needs(s="1.0.0")},
            "s": {"1.0.0": needs(c="^1")}, "c": C,
        },
        {"x": "*", "y": "*"},
        {"x": {"c": "2.0.0"}, "y": {"c": "3.0.0"}},
        {"x": "x@1.0.0", "y": "y@1.0.0", "s": "s@1.0.0", "c": "c@2.0.0"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_overrides__of_each_case__tree_as_npm_would_build_it(case: str) -> None:
    table, dependencies, overrides, expected = CASES[case]
    asked = [f"{name}@{wanted}" for name, wanted in dependencies.items()]
    assert tree(resolve(table, *asked, overrides=overrides)) == expected


@pytest.mark.timeout(300)
@pytest.mark.skipif(not npm_is_there(), reason="node or npm's own resolver is not here")
def test_overrides__tables_and_generated_ones__as_npm_resolves_them(tmp_path: Path) -> None:
    chance = random.Random(5)
    cases: list[Case] = [each[:3] for each in CASES.values()]
    for _ in range(80):
        table, dependencies = generated(chance)
        cases.append((table, dependencies, generated_overrides(chance, table, dependencies)))
    found = beside_npm(cases, tmp_path)
    assert found.differing == []
    assert found.conflicts < found.finite / 2
    assert found.finite > 80


FAULTS: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    "unknown reference": ({"c": "$d"}, ("c",), "'$d' names no direct dependency"),
    "references in a circle": ({"c": "$d", "d": "$c"}, ("c",), "'$d' names no direct dependency"),
    "inner reference": ({"b": {"c": "$"}}, ("b", "c"), "'$' names no direct dependency"),
    "direct dependency": ({"a": "2.0.0"}, ("a",), "direct dependency a@^1 (npm's EOVERRIDE)"),
    "direct dependency, by range": ({"a@1": {"c": "1"}}, ("a@1",), "EOVERRIDE"),
    "path for a name": ({"../x": "1"}, ("../x",), "no package has this name"),
    "prototype": ({"__proto__": "1"}, ("__proto__",), "no package has this name"),
    "control characters": ({"a\nb": "1"}, ("a\nb",), "no package has this name"),
    "tag behind a name": ({"c@latest": "1"}, ("c@latest",), "stands a range"),
    "alias behind a name": ({"c@npm:d@1": "1"}, ("c@npm:d@1",), "stands a range"),
    "address": ({"c": "git+https://git.example.com/c.git"}, ("c",), "only names are resolved"),
    "folder": ({"c": "file:../c"}, ("c",), "only names are resolved"),
    "no range": ({"c": "\u2603"}, ("c",), "is no range, version, tag or alias"),
    "dot outside": ({".": "1"}, (".",), "stands inside the table of a package"),
    "table for a value": ({"c": {".": {"d": "1"}}}, ("c",), "expected a range"),
    "thousands": ({f"c{n}": "1" for n in range(5000)}, ("c1000",), "at most 1000 rules"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_wrong_overrides__told_with_their_place(case: str) -> None:
    overrides, path, told = FAULTS[case]
    with pytest.raises(OverrideFault) as caught:
        project_of({"a": "^1"}, overrides)
    assert caught.value.path == path
    assert told in caught.value.reason


def test_deep_overrides__refused() -> None:
    overrides: dict[str, Any] = {}
    inner = overrides
    for _ in range(30):
        inner["c"] = inner = {}
    with pytest.raises(OverrideFault, match="tables inside one another"):
        project_of({}, overrides)


def test_overrides__one_spelling__rules_of_one_name_in_their_order() -> None:
    one = {"d": {".": ""}, "c@>=2": "3", "c": {".": " ^1   <2 ", "b": {}}}
    other = {"c@>=2": {".": "3"}, "c": {"b": "*", ".": "^1 <2"}, "d": "*"}
    swapped = {"c": {"b": "*", ".": "^1 <2"}, "c@>=2": "3", "d": "*"}
    assert project_of({}, one) == project_of({}, other)
    assert project_of({}, swapped) != project_of({}, other)
    assert project_of({}, {}) == ""
