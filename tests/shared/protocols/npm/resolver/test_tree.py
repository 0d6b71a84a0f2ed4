"""Where packages are put: small registries and the trees that npm makes of them. Every table is given to
npm's own resolver too, where it is here."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from shared.errors import ResolutionConflict
from tests.shared.protocols.npm.resolver.npm_beside import Case, beside_npm, generated, npm_is_there
from tests.shared.protocols.npm.resolver.resolution_support import Table, resolve, tree


def needs(**dependencies: str) -> dict[str, Any]:
    return {"dependencies": dependencies}


def wants_peers(**peers: str) -> dict[str, Any]:
    return {"peerDependencies": peers}


CASES: dict[str, tuple[Table, dict[str, str], dict[str, str]]] = {
    "hoisted to the top": (
        {"a": {"1.0.0": needs(b="^1")}, "b": {"1.0.0": {}}},
        {"a": "^1"},
        {"a": "a@1.0.0", "b": "b@1.0.0"},
    ),
    "one copy where one will do": (
        {"a": {"1.0.0": needs(c="^1")}, "b": {"1.0.0": needs(c="^1.0.0")}, "c": {"1.0.0": {}, "1.1.0": {}}},
        {"a": "*", "b": "*"},
        {"a": "a@1.0.0", "b": "b@1.0.0", "c": "c@1.1.0"},
    ),
    "the first by name gets the top, others are nested": (
        {"a": {"1.0.0": needs(c="^1")}, "b": {"1.0.0": needs(c="^2")}, "c": {"1.0.0": {}, "2.0.0": {}}},
        {"a": "*", "b": "*"},
        {"a": "a@1.0.0", "b": "b@1.0.0", "c": "c@1.0.0", "b/c": "c@2.0.0"},
    ),
    "what the project asks for is at the top": (
        {"a": {"1.0.0": needs(c="^1")}, "c": {"1.0.0": {}, "2.0.0": {}}},
        {"a": "*", "c": "^2"},
        {"a": "a@1.0.0", "c": "c@2.0.0", "a/c": "c@1.0.0"},
    ),
    "a nested package is shared by those inside": (
        {
            "a": {"1.0.0": needs(b="*", d="^1")},
            "b": {"1.0.0": needs(d="^1")},
            "d": {"1.0.0": {}, "2.0.0": {}},
        },
        {"a": "*", "d": "^2"},
        {"a": "a@1.0.0", "b": "b@1.0.0", "d": "d@2.0.0", "a/d": "d@1.0.0", "b/d": "d@1.0.0"},
    ),
    "cycle": (
        {"a": {"1.0.0": needs(b="^1")}, "b": {"1.0.0": needs(a="^1")}},
        {"a": "^1"},
        {"a": "a@1.0.0", "b": "b@1.0.0"},
    ),
    "cycle through other versions ends in a link": (
        {
            "a": {"1.0.0": needs(b="1.0.0"), "2.0.0": needs(b="2.0.0")},
            "b": {"1.0.0": needs(a="2.0.0"), "2.0.0": needs(a="1.0.0")},
        },
        {"a": "1.0.0"},
        {"a": "a@1.0.0", "b": "b@1.0.0", "b/a": "a@2.0.0", "b/b": "b@2.0.0", "b/b/a": "a@1.0.0",
         "b/b/b": "b@1.0.0"},
    ),
    "scopes and aliases": (
        {"@s/a": {"1.0.0": {"dependencies": {"old-b": "npm:b@^1", "b": "^2"}}},
         "b": {"1.0.0": {}, "2.0.0": {}}},
        {"@s/a": "*"},
        {"@s/a": "@s/a@1.0.0", "old-b": "b@1.0.0", "b": "b@2.0.0"},
    ),
    "names that differ by case cannot lie side by side": (
        {"a": {"1.0.0": needs(JSON="*")}, "b": {"1.0.0": needs(json="*")}, "JSON": {"1.0.0": {}},
         "json": {"2.0.0": {}}},
        {"a": "*", "b": "*"},
        {"a": "a@1.0.0", "b": "b@1.0.0", "JSON": "JSON@1.0.0", "b/json": "json@2.0.0"},
    ),
    "peers are installed": (
        {"plugin": {"1.0.0": wants_peers(core="^2")}, "core": {"1.0.0": {}, "2.0.0": {}, "3.0.0": {}}},
        {"plugin": "*"},
        {"plugin": "plugin@1.0.0", "core": "core@2.0.0"},
    ),
    "a version that suits project and peer": (
        {"plugin": {"1.0.0": wants_peers(core="^1")}, "core": {"1.0.0": {}, "2.0.0": {}}},
        {"plugin": "*", "core": ">=1"},
        {"plugin": "plugin@1.0.0", "core": "core@1.0.0"},
    ),
    "optional peers are not installed": (
        {
            "plugin": {
                "1.0.0": {**wants_peers(core="^1"), "peerDependenciesMeta": {"core": {"optional": True}}}
            },
            "core": {"1.0.0": {}},
        },
        {"plugin": "*"},
        {"plugin": "plugin@1.0.0"},
    ),
    "an optional peer keeps another version away": (
        {
            "plugin": {
                "1.0.0": {**wants_peers(core="^1"), "peerDependenciesMeta": {"core": {"optional": True}}}
            },
            "app": {"1.0.0": needs(core="^2")},
            "core": {"1.0.0": {}, "2.0.0": {}},
        },
        {"plugin": "*", "app": "*"},
        {"plugin": "plugin@1.0.0", "app": "app@1.0.0", "core": "core@1.0.0", "app/core": "core@2.0.0"},
    ),
    "a package and its peers go deeper together": (
        {
            "tool": {"1.0.0": needs(plugin="^1", core="^1")},
            "plugin": {"1.0.0": wants_peers(core="^1"), "2.0.0": wants_peers(core="^2")},
            "core": {"1.0.0": {}, "2.0.0": {}},
        },
        {"tool": "*", "plugin": "^2", "core": "^2"},
        {"tool": "tool@1.0.0", "plugin": "plugin@2.0.0", "core": "core@2.0.0",
         "tool/plugin": "plugin@1.0.0", "tool/core": "core@1.0.0"},
    ),
    "peers of peers": (
        {
            "a": {"1.0.0": wants_peers(b="*")},
            "b": {"1.0.0": wants_peers(c="^1")},
            "c": {"1.0.0": {}, "2.0.0": {}},
        },
        {"a": "*"},
        {"a": "a@1.0.0", "b": "b@1.0.0", "c": "c@1.0.0"},
    ),
    "a conflict among strangers' peers is let be": (
        {
            "app": {"1.0.0": needs(x="*", y="*")},
            "x": {"1.0.0": wants_peers(core="^1")},
            "y": {"1.0.0": wants_peers(core="^2")},
            "core": {"1.0.0": {}, "2.0.0": {}},
        },
        {"app": "*"},
        {"app": "app@1.0.0", "x": "x@1.0.0", "core": "core@1.0.0", "app/y": "y@1.0.0",
         "app/core": "core@2.0.0"},
    ),
    "optional dependencies that cannot be had are left out": (
        {"a": {"1.0.0": {"optionalDependencies": {"gone": "*", "b": "^9", "c": "*"}}}, "b": {"1.0.0": {}},
         "c": {"1.0.0": {}}},
        {"a": "*"},
        {"a": "a@1.0.0", "c": "c@1.0.0"},
    ),
    "packages for other systems are locked": (
        {"a": {"1.0.0": {"optionalDependencies": {"mac": "*", "linux": "*"}}},
         "mac": {"1.0.0": {"os": ["darwin"], **needs(lib="*")}}, "linux": {"1.0.0": {"os": ["linux"]}},
         "lib": {"1.0.0": {}}},
        {"a": "*"},
        {"a": "a@1.0.0", "mac": "mac@1.0.0", "linux": "linux@1.0.0", "lib": "lib@1.0.0"},
    ),
    "bundled dependencies are the tarball's": (
        {"a": {"1.0.0": {**needs(b="*", c="*"), "bundleDependencies": ["b"]}}, "b": {"1.0.0": {}},
         "c": {"1.0.0": {}}},
        {"a": "*"},
        {"a": "a@1.0.0", "c": "c@1.0.0"},
    ),
    "devDependencies of packages are nobody's business": (
        {"a": {"1.0.0": {"devDependencies": {"b": "*"}}}, "b": {"1.0.0": {}}},
        {"a": "*"},
        {"a": "a@1.0.0"},
    ),
    "acceptDependencies will do as well": (
        {"a": {"1.0.0": {**needs(c="^1"), "acceptDependencies": {"c": "^1 || ^2"}}},
         "c": {"1.0.0": {}, "2.0.0": {}}},
        {"a": "*", "c": "^2"},
        {"a": "a@1.0.0", "c": "c@2.0.0"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_tree__of_each_case__is_as_npm_would_build_it(case: str) -> None:
    table, dependencies, expected = CASES[case]
    found = resolve(table, *(f"{name}@{wanted}" for name, wanted in dependencies.items()))
    assert tree(found) == expected
    assert found.complete


CONFLICTS: dict[str, tuple[Table, dict[str, str], tuple[str, ...]]] = {
    "peer against what the project asks for": (
        {"plugin": {"1.0.0": wants_peers(core="^1")}, "core": {"1.0.0": {}, "2.0.0": {}}},
        {"plugin": "*", "core": "^2"},
        ("request -> plugin 1.0.0 -> core@^1 (peer)", "request -> core@^2"),
    ),
    "two peers of the project's own": (
        {
            "x": {"1.0.0": wants_peers(core="^1")},
            "y": {"1.0.0": wants_peers(core="^2")},
            "core": {"1.0.0": {}, "2.0.0": {}},
        },
        {"x": "*", "y": "*"},
        ("request -> y@*", "request -> x 1.0.0 -> core@^1 (peer)", "request -> y 1.0.0 -> core@^2 (peer)"),
    ),
    "no such version": (
        {"a": {"1.0.0": needs(b="^2")}, "b": {"1.0.0": {}}},
        {"a": "*"},
        ("request -> a 1.0.0 -> b@^2", "b: no version is ^2; there are 1.0.0"),
    ),
    "no such package": (
        {"a": {"1.0.0": needs(gone="*")}},
        {"a": "*"},
        ("request -> a 1.0.0 -> gone@*", "gone: no source knows this project"),
    ),
    "required, and for another system": (
        {"a": {"1.0.0": needs(mac="*")}, "mac": {"1.0.0": {"os": ["darwin"]}}},
        {"a": "*"},
        ("mac 1.0.0 is not for node20.20.2-linux-x64-glibc", "request -> a 1.0.0 -> mac@*"),
    ),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_conflict__names_the_chain(case: str) -> None:
    table, dependencies, lines = CONFLICTS[case]
    with pytest.raises(ResolutionConflict) as caught:
        resolve(table, *(f"{name}@{wanted}" for name, wanted in dependencies.items()))
    assert [line for line in lines if line not in caught.value.message] == []


@pytest.mark.timeout(300)
@pytest.mark.skipif(not npm_is_there(), reason="node or npm's own resolver is not here")
def test_tables_and_generated_registries__as_npm_resolves_them(tmp_path: Path) -> None:
    chance = random.Random(2)
    cases: list[Case] = [
        (table, dependencies, {}) for table, dependencies, _ in (*CASES.values(), *CONFLICTS.values())
    ]
    cases += [(*generated(chance), {}) for _ in range(50)]
    found = beside_npm(cases, tmp_path)
    assert found.differing == []
    assert found.conflicts < found.finite / 2  # most say something of places
    assert found.finite > 60
