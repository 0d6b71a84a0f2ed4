"""Whole package.json files: kinds of dependencies and marks, by table and beside npm's own resolver."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from shared.errors import ProjectNotFound, ResolutionConflict
from tests.shared.protocols.npm.resolver.npm_beside import (
    Whole,
    generated_manifest,
    manifests_beside_npm,
    marks_of,
    npm_is_there,
    resolve_manifest,
)
from tests.shared.protocols.npm.resolver.resolution_support import Table, tree

TABLE: Table = {
    "a": {"1.0.0": {"dependencies": {"shared": "*"}}, "2.0.0": {}},
    "b": {"1.0.0": {"dependencies": {"shared": "*"}}},
    "p": {"1.0.0": {"peerDependencies": {"q": "^1"}}},
    "q": {"1.0.0": {}, "2.0.0": {}},
    "shared": {"1.0.0": {}},
    "old": {"1.0.0": {}, "2.0.0": {}},
}

CASES: dict[str, tuple[dict[str, Any], dict[str, tuple[str, set[str]]]]] = {
    "development": (
        {"devDependencies": {"b": "*"}},
        {"b": ("b@1.0.0", {"dev"}), "shared": ("shared@1.0.0", {"dev"})},
    ),
    "development and optional": (
        {"devDependencies": {"b": "*"}, "optionalDependencies": {"a": "^1"}},
        {
            "a": ("a@1.0.0", {"optional"}),
            "b": ("b@1.0.0", {"dev"}),
            "shared": ("shared@1.0.0", {"devOptional"}),
        },
    ),
    "development and needed": (
        {"devDependencies": {"b": "*"}, "dependencies": {"a": "^1"}},
        {"a": ("a@1.0.0", set()), "b": ("b@1.0.0", {"dev"}), "shared": ("shared@1.0.0", set())},
    ),
    "peer": ({"peerDependencies": {"q": "^1"}}, {"q": ("q@1.0.0", {"peer"})}),
    "peer and development": (
        {"peerDependencies": {"q": "*"}, "devDependencies": {"q": "^1"}},
        {"q": ("q@1.0.0", {"dev"})},
    ),
    "peer of a development tool": (
        {"devDependencies": {"p": "*"}},
        {"p": ("p@1.0.0", {"dev"}), "q": ("q@1.0.0", {"dev", "peer"})},
    ),
    "peer that may be lacking": (
        {
            "dependencies": {"a": "2"},
            "peerDependencies": {"q": "*"},
            "peerDependenciesMeta": {"q": {"optional": True}},
        },
        {"a": ("a@2.0.0", set())},
    ),
    "optional that nobody has": (
        {"dependencies": {"a": "2"}, "optionalDependencies": {"gone": "*"}},
        {"a": ("a@2.0.0", set())},
    ),
    "accepted instead": (
        {"dependencies": {"old": "^2"}, "acceptDependencies": {"old": "^1"}},
        {"old": ("old@2.0.0", set())},
    ),
    "overridden": (
        {"devDependencies": {"p": "*"}, "overrides": {"q": "2.0.0"}},
        {"p": ("p@1.0.0", {"dev"}), "q": ("q@2.0.0", {"dev", "peer"})},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_manifest__of_each_case__folders_and_marks_as_npm_writes_them(case: str) -> None:
    manifest, expected = CASES[case]
    found = resolve_manifest(TABLE, manifest)
    assert tree(found) == {place: is_ for place, (is_, _) in expected.items()}
    assert marks_of(TABLE, manifest, found) == {place: marks for place, (_, marks) in expected.items()}


def test_manifest__a_peer_of_its_own_that_a_dependency_excludes__conflict() -> None:
    manifest = {"peerDependencies": {"q": "^2"}, "dependencies": {"p": "*"}}
    with pytest.raises(ResolutionConflict, match="no version satisfies all requirements on q"):
        resolve_manifest(TABLE, manifest)


@pytest.mark.parametrize("group", ["dependencies", "devDependencies", "peerDependencies"])
def test_manifest__required_and_nobody_has_it__not_found(group: str) -> None:
    with pytest.raises(ProjectNotFound, match="gone"):
        resolve_manifest(TABLE, {group: {"gone": "1"}})


@pytest.mark.timeout(300)
@pytest.mark.skipif(not npm_is_there(), reason="node or npm's own resolver is not here")
def test_manifests__tables_and_generated_ones__as_npm_resolves_them(tmp_path: Path) -> None:
    chance = random.Random(7)
    cases: list[Whole] = [(TABLE, manifest) for manifest, _ in CASES.values()]
    cases += [generated_manifest(chance) for _ in range(80)]
    found = manifests_beside_npm(cases, tmp_path)
    assert found.differing == []
    assert found.conflicts < found.finite / 2
    assert found.finite > 80
