"""Projects with members: what is linked, what is shared, what lies below a member, beside npm's resolver."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from shared.errors import ResolutionConflict
from tests.shared.protocols.npm.resolver.npm_beside import (
    Whole,
    generated_workspaces,
    manifests_beside_npm,
    marks_of,
    npm_is_there,
    resolve_manifest,
)
from tests.shared.protocols.npm.resolver.resolution_support import Table, tree

TABLE: Table = {
    "x": {"1.0.0": {}, "2.0.0": {}},
    "p": {"1.0.0": {"peerDependencies": {"x": "^1"}}},
    "tool": {"1.0.0": {"dependencies": {"x": "^1"}}},
    "lib": {"1.0.0": {}, "3.0.0": {"dependencies": {"x": "^2"}}},
    "user": {"1.0.0": {"dependencies": {"lib": "^1"}}},
}


def project(root: dict[str, Any], **members: dict[str, Any]) -> dict[str, Any]:
    found = {
        f"packages/{name}": {"name": name, "version": "1.0.0", **about} for name, about in members.items()
    }
    return {"name": "shop", **root, "members": found}


def needs(**dependencies: str) -> dict[str, Any]:
    return {"dependencies": dependencies}


CASES: dict[str, tuple[dict[str, Any], dict[str, tuple[str, set[str]]]]] = {
    "shared at the top": (
        project({}, a=needs(x="^1"), b=needs(x="^1")),
        {"x": ("x@1.0.0", set())},
    ),
    "the root comes first": (
        project(needs(x="^2"), a=needs(x="^1")),
        {"x": ("x@2.0.0", set()), "packages/a/x": ("x@1.0.0", set())},
    ),
    "members exclude one another": (
        project({}, a=needs(x="^1"), b=needs(x="^2")),
        {"x": ("x@1.0.0", set()), "packages/b/x": ("x@2.0.0", set())},
    ),
    "development of a member": (
        project({}, a={"devDependencies": {"tool": "*"}}, b=needs(x="^2")),
        {
            "tool": ("tool@1.0.0", {"dev"}),
            "x": ("x@2.0.0", set()),
            "tool/x": ("x@1.0.0", {"dev"}),
        },
    ),
    "a member that another depends on": (project(needs(x="1"), lib={}, b=needs(lib="^1")), {
        "x": ("x@1.0.0", set()),
    }),
    "a member that does not meet the range": (
        project({}, lib={}, b=needs(lib="^3")),
        {"packages/b/lib": ("lib@3.0.0", set()), "x": ("x@2.0.0", set())},
    ),
    "a member that a package depends on": (
        project(needs(user="*"), lib={}),
        {"user": ("user@1.0.0", set())},
    ),
    "peers of a member": (
        project({}, a={"peerDependencies": {"x": "^1"}}, b=needs(x="^2")),
        {"x": ("x@1.0.0", {"peer"}), "packages/b/x": ("x@2.0.0", set())},
    ),
    "overridden by the root": (
        project({"overrides": {"x": "2.0.0"}}, a=needs(tool="*")),
        {"tool": ("tool@1.0.0", set()), "x": ("x@2.0.0", set())},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_workspaces__of_each_case__folders_and_marks_as_npm_writes_them(case: str) -> None:
    manifest, expected = CASES[case]
    found = resolve_manifest(TABLE, manifest)
    assert tree(found) == {place: is_ for place, (is_, _) in expected.items()}
    assert marks_of(TABLE, manifest, found) == {place: marks for place, (_, marks) in expected.items()}


def test_workspaces__peers_that_one_member_excludes__conflict() -> None:
    manifest = project({}, a={"dependencies": {"p": "*", "x": "^2"}})
    with pytest.raises(ResolutionConflict, match="no version satisfies all requirements on"):
        resolve_manifest(TABLE, manifest)


@pytest.mark.timeout(300)
@pytest.mark.skipif(not npm_is_there(), reason="node or npm's own resolver is not here")
def test_workspaces__tables_and_generated_ones__as_npm_resolves_them(tmp_path: Path) -> None:
    chance = random.Random(9)
    cases: list[Whole] = [(TABLE, manifest) for manifest, _ in CASES.values()]
    cases += [generated_workspaces(chance) for _ in range(60)]
    found = manifests_beside_npm(cases, tmp_path)
    assert found.differing == []
    assert found.conflicts < found.finite / 2
    assert found.finite > 60
