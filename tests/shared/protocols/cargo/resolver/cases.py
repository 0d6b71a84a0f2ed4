"""Small registries, each for one rule. What cargo locks of them is recorded in golden/locks.json."""

from __future__ import annotations

from typing import Any, NamedTuple

Table = dict[str, dict[str, dict[str, Any]]]
"""Crate → version → what its index line says beside the two. `deps` may be short: see `dependency` in
resolution_support.py."""


class Case(NamedTuple):
    """A registry, the requirements of a package, and its `rust-version` if resolver "3" shall heed one."""

    table: Table
    requirements: tuple[str, ...]
    rust: str = ""


def deps(*found: Any) -> dict[str, Any]:
    """A version that only depends."""
    return {"deps": list(found)}


PLAIN: dict[str, Any] = {}

CASES: dict[str, Case] = {
    "newest of a compatible range": Case(
        {"a": {"1.0.0": PLAIN, "1.9.0": PLAIN, "1.10.0": PLAIN, "2.0.0": PLAIN}}, ("a@1",)
    ),
    "lines in any order": Case({"a": {"1.2.0": PLAIN, "1.0.0": PLAIN, "1.10.0": PLAIN}}, ("a",)),
    "one version per compatible range": Case(
        {
            "a": {"1.0.0": deps("c >=1.0,<1.3")},
            "b": {"1.0.0": deps("c ^1.1")},
            "c": {"1.1.0": PLAIN, "1.2.0": PLAIN, "1.3.0": PLAIN},
        },
        ("a", "b"),
    ),
    "incompatible ranges stand side by side": Case(
        {
            "a": {"1.0.0": deps("c ^0.1", "d ^1")},
            "b": {"1.0.0": deps("c ^0.2", "d ^2")},
            "c": {"0.1.5": PLAIN, "0.2.5": PLAIN},
            "d": {"1.0.0": PLAIN, "2.0.0": PLAIN},
        },
        ("a", "b"),
    ),
    "patches below 0.1 are each their own range": Case(
        {"a": {"1.0.0": deps("c ^0.0.1")}, "c": {"0.0.1": PLAIN, "0.0.2": PLAIN}}, ("a", "c@0.0.2")
    ),
    "yanked is never picked": Case({"a": {"1.0.0": PLAIN, "1.1.0": {"yanked": True}}}, ("a",)),
    "only a yanked one fits": Case({"a": {"1.0.0": PLAIN, "1.1.0": {"yanked": True}}}, ("a@=1.1.0",)),
    "prerelease only where it is named": Case(
        {"a": {"1.0.0": PLAIN, "1.1.0-rc.1": PLAIN, "2.0.0-rc.1": PLAIN}, "b": {"2.0.0-rc.1": PLAIN}},
        ("a@1", "b@2.0.0-rc.1"),
    ),
    "prerelease of another release": Case(
        {"a": {"1.0.0-rc.1": PLAIN, "1.0.1-rc.1": PLAIN}}, ("a@>=1.0.0-rc.1",)
    ),
    "only prereleases for a star": Case({"a": {"1.0.0-rc.1": PLAIN}}, ("a",)),
    "build metadata breaks the tie": Case(
        {"a": {"1.0.0+2": PLAIN, "1.0.0+10": PLAIN, "1.0.0": PLAIN}}, ("a@=1.0.0",)
    ),
    "goes back over a choice": Case(
        {
            "a": {"1.0.0": deps("c =1.0.0"), "1.1.0": deps("c =1.1.0")},
            "b": {"1.0.0": deps("c =1.0.0")},
            "c": {"1.0.0": PLAIN, "1.1.0": PLAIN},
        },
        ("a", "b"),
    ),
    "goes back where a dependency does not exist": Case(
        {"a": {"1.0.0": PLAIN, "1.1.0": deps("nowhere ^1")}}, ("a",)
    ),
    "nothing fits": Case(
        {
            "a": {"1.0.0": deps("c =1.0.0")},
            "b": {"1.0.0": deps("c =1.1.0")},
            "c": {"1.0.0": PLAIN, "1.1.0": PLAIN},
        },
        ("a", "b"),
    ),
    "fewest candidates first": Case(
        {
            "a": {"1.0.0": deps("c ^1")},
            "b": {"1.0.0": deps("c <1.2,>=1"), "1.1.0": deps("c <1.1,>=1")},
            "c": {"1.0.0": PLAIN, "1.1.0": PLAIN, "1.2.0": PLAIN},
        },
        ("a", "b"),
    ),
    "all platforms and build dependencies, none for development": Case(
        {
            "a": {
                "1.0.0": deps(
                    {"name": "w", "req": "^1", "target": "cfg(windows)"},
                    {"name": "u", "req": "^1", "target": "x86_64-unknown-linux-gnu", "kind": "build"},
                    "tool ^1 build",
                    "test ^1 dev",
                )
            },
            "w": {"1.0.0": PLAIN},
            "u": {"1.0.0": PLAIN},
            "tool": {"1.0.0": PLAIN},
            "test": {"1.0.0": PLAIN},
        },
        ("a",),
    ),
    "optional is off": Case(
        {"a": {"1.0.0": {"deps": ["b ^1 optional"], "features": {"x": ["b"]}}}, "b": {"1.0.0": PLAIN}}, ("a",)
    ),
    "optional by its implicit feature": Case(
        {"a": {"1.0.0": deps("b ^1 optional")}, "b": {"1.0.0": PLAIN}}, ("a --features b",)
    ),
    "optional by default": Case(
        {
            "a": {"1.0.0": {"deps": ["b ^1 optional"], "features": {"default": ["x"], "x": ["b"]}}},
            "b": {"1.0.0": PLAIN},
        },
        ("a",),
    ),
    "default features are off": Case(
        {"a": {"1.0.0": {"deps": ["b ^1 optional"], "features": {"default": ["b"]}}}, "b": {"1.0.0": PLAIN}},
        ("a --no-default-features",),
    ),
    "dep: hides the implicit feature": Case(
        {
            "a": {"1.0.0": {"deps": ["b ^1 optional"], "features2": {"x": ["dep:b"]}, "v": 2}},
            "b": {"1.0.0": PLAIN},
        },
        ("a --features b",),
    ),
    "dep: turns it on": Case(
        {
            "a": {"1.0.0": {"deps": ["b ^1 optional"], "features2": {"x": ["dep:b"]}, "v": 2}},
            "b": {"1.0.0": PLAIN},
        },
        ("a --features x",),
    ),
    "features2 counts whatever v says": Case(
        {
            "a": {"1.0.0": {"deps": ["b ^1 optional"], "features": {"x": []}, "features2": {"x": ["dep:b"]}}},
            "b": {"1.0.0": PLAIN},
        },
        ("a --features x",),
    ),
    "feature of a dependency turns it on": Case(
        {
            "a": {"1.0.0": {"deps": ["b ^1 optional"], "features": {"x": ["b/y"]}}},
            "b": {"1.0.0": {"deps": ["c ^1 optional"], "features": {"y": ["c"]}}},
            "c": {"1.0.0": PLAIN},
        },
        ("a --features x",),
    ),
    "weak feature is locked as if it turned it on": Case(
        {
            "a": {"1.0.0": {"deps": ["b ^1 optional"], "features2": {"x": ["b?/y"], "z": ["dep:b"]}, "v": 2}},
            "b": {"1.0.0": {"deps": ["c ^1 optional"], "features": {"y": ["c"]}}},
            "c": {"1.0.0": PLAIN},
        },
        ("a --features x",),
    ),
    "features of several add up": Case(
        {
            "a": {"1.0.0": deps("c ^1 [x]")},
            "b": {"1.0.0": deps("c ^1 [y] bare")},
            "c": {
                "1.0.0": {
                    "deps": ["d ^1 optional", "e ^1 optional", "f ^1 optional"],
                    "features": {"x": ["d"], "y": ["e"], "default": ["f"]},
                }
            },
            "d": {"1.0.0": PLAIN},
            "e": {"1.0.0": PLAIN},
            "f": {"1.0.0": PLAIN},
        },
        ("a", "b"),
    ),
    "an older version has the feature": Case(
        {"a": {"1.0.0": {"features": {"x": []}}, "1.1.0": PLAIN}}, ("a --features x",)
    ),
    "no version has the feature": Case({"a": {"1.0.0": PLAIN, "1.1.0": PLAIN}}, ("a --features x",)),
    "a required dependency is no feature": Case(
        {"a": {"1.0.0": deps("b ^1")}, "b": {"1.0.0": PLAIN}}, ("a --features b",)
    ),
    "the empty feature is none": Case(
        {"a": {"1.0.0": deps({"name": "b", "req": "^1", "features": [""]})}, "b": {"1.0.0": PLAIN}}, ("a",)
    ),
    "a feature that names itself": Case({"a": {"1.0.0": {"features": {"x": ["x"]}}}}, ("a --features x",)),
    "features in a circle": Case(
        {
            "a": {"1.0.0": {"features": {"x": ["y"], "y": ["x", "b"]}, "deps": ["b ^1 optional"]}},
            "b": {"1.0.0": PLAIN},
        },
        ("a --features x",),
    ),
    "one version links a library": Case(
        {
            "a": {"1.0.0": deps("z-sys ^1")},
            "b": {"1.0.0": deps("z-sys ^1"), "1.1.0": deps("z-sys ^2")},
            "z-sys": {"1.0.0": {"links": "z"}, "2.0.0": {"links": "z"}},
        },
        ("a", "b"),
    ),
    "two must link one library": Case(
        {
            "a": {"1.0.0": deps("z-sys ^1")},
            "b": {"1.0.0": deps("y-sys ^1")},
            "z-sys": {"1.0.0": {"links": "z"}},
            "y-sys": {"1.0.0": {"links": "z"}},
        },
        ("a", "b"),
    ),
    "renamed dependencies": Case(
        {
            "a": {
                "1.0.0": {
                    "deps": [
                        {"name": "old", "package": "b", "req": "^1"},
                        {"name": "new", "package": "b", "req": "^2", "optional": True},
                    ],
                    "features": {"default": ["new/x"]},
                }
            },
            "b": {"1.0.0": PLAIN, "2.0.0": {"features": {"x": ["c"]}, "deps": ["c ^1 optional"]}},
            "c": {"1.0.0": PLAIN},
        },
        ("a",),
    ),
    "names are spelled as they are": Case(
        {"Abc": {"1.0.0": PLAIN}, "x": {"1.0.0": deps("abc ^1"), "0.9.0": deps("Abc ^1")}}, ("x@>=0.9",)
    ),
    "hyphens are no underscores": Case({"a-b": {"1.0.0": PLAIN}, "x": {"1.0.0": deps("a_b ^1")}}, ("x",)),
    "a format that is not known": Case({"a": {"1.0.0": PLAIN, "1.1.0": {"v": 3}}}, ("a",)),
    "a line that is invalid": Case(
        {
            "a": {
                "1.0.0": PLAIN,
                "1.1.0": {"features": {"x": ["nowhere"]}},
                "1.2.0": deps("b not-a-requirement"),
                "1.3.0": {"deps": ["b ^1"], "features": {"x": ["b"]}},
                "1.4.0": {"features": {"-x": []}},
                "1.5.0": {"rust_version": "1.x"},
                "1.6.0": deps("b ^1 dev optional"),
                "1.7.0": {"features": {"x": ["b?/y"]}, "deps": ["b ^1"]},
                "1.8.0": {"features": {"x": ["dep:b/y"]}, "deps": ["b ^1 optional"]},
                "1.9.0": {"features": {"x": ["b/y/z"]}, "deps": ["b ^1 optional"]},
            },
            "b": {"1.0.0": PLAIN},
        },
        ("a",),
    ),
    "a cycle": Case({"a": {"1.0.0": deps("b ^1")}, "b": {"1.0.0": deps("a ^1")}}, ("a",)),
    "a cycle by development dependencies": Case(
        {"a": {"1.0.0": deps("b ^1")}, "b": {"1.0.0": deps("a ^1 dev")}}, ("a",)
    ),
    "an older major of itself": Case({"a": {"1.0.0": PLAIN, "2.0.0": deps("a ^1")}}, ("a@2",)),
    "rust-version has no say": Case({"a": {"1.0.0": PLAIN, "1.1.0": {"rust_version": "1.99"}}}, ("a",)),
    "what this Rust can build comes first": Case(
        {
            "a": {"1.0.0": {"rust_version": "1.60"}, "1.1.0": {"rust_version": "1.99"}},
            "b": {"1.0.0": {"rust_version": "1.99.1"}},
            "c": {"1.0.0": PLAIN, "1.1.0": {"rust_version": "1"}, "1.2.0": {"rust_version": "1.70.1"}},
        },
        ("a", "b", "c"),
        "1.70",
    ),
    "learned sets of conflicts": Case(
        {
            "a": {f"1.{n}.0": deps(f"x =1.{n}.0", "y ^1") for n in range(6)},
            "b": {f"1.{n}.0": deps(f"x =1.{n}.0") for n in range(3)},
            "x": {f"1.{n}.0": PLAIN for n in range(6)},
            "y": {f"1.{n}.0": deps(f"x =1.{n}.0") for n in range(2)},
        },
        ("a", "b"),
    ),
}
